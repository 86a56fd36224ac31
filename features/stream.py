"""The consumer of events: tails the log and keeps the history, the market's patches, creators and the lake current."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from features.commits import QUARANTINE, sync
from features.errors import EmptyLake, LakeBusy
from features.eventlog.log import EventLog, shard_of
from features.eventlog.rows import lake_rows
from features.events import Entry, Post, creator_of, marks
from features.lake import Lake
from features.merge import INPUT_ROW
from features.patches.log import PatchLog, TrendRows
from features.rolling.history import RollingHistory
from features.rolling.parts import Touched
from features.schemas import FEEDBACK
from features.views import CREATOR_HISTORY, CREATOR_PROFILE, TREND_ACTIVITY

if TYPE_CHECKING:
    import pandas as pd

    from configs import Settings

SWEEP_ROWS: Final = 96
"""Trends whose rows are computed anew at once: short enough that events hardly wait for it."""
IDLE_SECONDS: Final = 0.005
SETTLE_SECONDS: Final = 0.15
"""How long the rows of creators may wait for those of others: until then the overlays speak for them."""

PutCreators = Callable[["pd.DataFrame", datetime, int], None]
"""Keeps the rows of `RollingHistory.creator_rows` as of an instant, which hold all events up to a place."""


WriteLake = Callable[[Lake, Mapping[str, pa.Table]], tuple[int, int]]


@dataclass(frozen=True)
class Consumed:
    """What the lake holds of the event log.

    Attributes:
        places: shard → every event up to this place is in the lake.
        as_of: the instant that the consumer spoke of then, UTC; None before the first event.
    """

    places: Mapping[int, int] = field(default_factory=dict)
    as_of: datetime | None = None

    @classmethod
    def read(cls, path: Path) -> Consumed:
        """What `write` kept; nothing where there is no file."""
        if not path.exists():
            return cls()
        told = json.loads(path.read_text())
        return cls({int(shard): seq for shard, seq in told["places"].items()}, datetime.fromisoformat(told["as_of"]))

    def write(self, path: Path) -> None:
        """Keep it durably, all of it or nothing."""
        assert self.as_of is not None
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps({"places": dict(self.places), "as_of": self.as_of.isoformat()}))
        sync(draft)
        os.replace(draft, path)  # noqa: PTH105
        sync(path.parent)


def consumed_path(home: Path) -> Path:
    """Where `Consumed` is kept."""
    return home / "events" / "consumed.json"


class Consumer:
    """Applies events in the order of the log; killed at any moment it loses none and applies none twice.

    What it knows is in memory alone: it starts from the lake and reads the log on from what the lake holds of it.
    Rows of the lake are idempotent, so what was written just before a kill is recognised.

    Args:
        log: the event log.
        lake: where events come to stay.
        patches: the market's changes, for all who serve.
        put: keeps creators.
        settings: of the project.
        clock: the present instant, UTC.
    """

    def __init__(
        self,
        log: EventLog,
        lake: Lake,
        patches: PatchLog,
        put: PutCreators,
        settings: Settings,
        clock: Callable[[], datetime],
    ) -> None:
        self._log, self._lake, self._patches, self._put = log, lake, patches, put
        self._settings, self._clock = settings, clock
        self._path = consumed_path(settings.home)
        self._kept = Consumed.read(self._path)
        self._applied = {shard: self._place(shard) for shard in range(log.shards)}
        self._reached = self._kept
        self._untold: list[dict[str, pa.Table]] = []
        self._creators: set[str] = set()
        self._authors: dict[int, set[str]] = {}
        self._settle_due = 0.0
        self._pending: list[dict[str, pa.Table]] = []
        self._changed: dict[str, list[pd.DataFrame]] = {}
        self._mutex = threading.Lock()
        self._commit = lake.head().number
        self._sweep_after = ""
        self._sweep_first: int | None = None
        self._sweep_due = 0.0
        self.rolling = RollingHistory.load(lake, self._begin(), settings)
        self.sweep_all()

    @property
    def kept_as_of(self) -> datetime | None:
        """The instant that the consumer spoke of when the lake was last written, UTC."""
        return self._kept.as_of

    def _place(self, shard: int) -> int:
        """From where the log is read on; from its start where it was lost and has begun anew."""
        place = self._kept.places.get(shard, 0)
        return place if place <= self._log.last_seq(shard) else 0

    @property
    def applied(self) -> Mapping[int, int]:
        """Shard → every event up to this place is in the market and in the creators."""
        return self._applied

    def _begin(self) -> datetime:
        if self._settings.stream.clock == "wall":
            return self._clock()
        from features.materialize import latest_instant

        try:
            latest = latest_instant(self._lake, self._settings.lake.posts_known)
        except EmptyLake:
            return self._kept.as_of or datetime.fromtimestamp(0, UTC)
        return max(latest, self._kept.as_of or latest)

    def step(self, wait_seconds: float) -> int:
        """Apply the next events of every shard, waiting for the first; returns how many there were.

        Raises:
            LogUnavailable: the log does not answer.
        """
        limit, until = self._settings.stream.batch_events, time.monotonic() + wait_seconds
        until = min(until, self._settle_due) if self._untold else until
        while True:
            alone = self._log.shards == 1
            done = 0
            for shard in range(self._log.shards):
                wait = max(until - time.monotonic(), 0.0) if alone else 0.0
                if entries := self._log.read(self._applied[shard], limit, shard, wait):
                    self._apply(shard, entries)
                    done += len(entries)
            if done or time.monotonic() >= until:
                if not done or time.monotonic() >= self._settle_due:
                    self.settle()
                return done
            if not alone:
                time.sleep(IDLE_SECONDS)

    def _apply(self, shard: int, entries: Sequence[Entry]) -> None:
        rows = lake_rows(entries)
        self._advance(rows.get("videos"))
        accepted = self.rolling.add(rows)
        touched = self.rolling.take_touched()
        titles = self._settings.trends.pool.original_titles
        posts = [entry.event for entry in entries if isinstance(entry.event, Post)]
        touched.creators |= {post.creator_id for post in posts}
        touched.trends |= {key for post in posts for _, key in marks(post, titles)}
        self._applied[shard] = entries[-1].seq
        self._tell(touched, shard)
        self._authors.setdefault(shard, set()).update(
            name for entry in entries if (name := creator_of(entry.event)) is not None
        )
        others = {name: rows[name] for name in (FEEDBACK.name, QUARANTINE.name) if name in rows}
        self._untold.append(accepted | others)

    def settle(self) -> None:
        """Bring the creators of all applied events up to date; then their overlays may go, and the lake comes next."""
        self._settle_due = time.monotonic() + SETTLE_SECONDS
        if not self._untold and not self._creators:
            return
        if self._creators and not self.rolling.is_empty:
            self._put_creators(self._creators, self.rolling.now)
        for shard, names in self._authors.items():
            known = [name for name in names if not self.rolling.is_waiting(name)]
            self._log.forget_through(self._applied[shard], known, shard)
        self._creators, self._authors = set(), {}
        with self._mutex:
            self._pending += self._untold
            self._reached = Consumed(dict(self._applied), self.rolling.now)
        self._untold = []

    def _advance(self, videos: pa.Table | None) -> None:
        """Let time pass: as it does, or up to the latest post that is no prophecy, by no more than a stride at once.

        One post that is months later than all others would otherwise leave a market in which nothing lives.
        """
        now = self._clock()
        if self._settings.stream.clock == "wall":
            self.rolling.advance(now)
        elif videos is not None:
            past = [created for created in videos["create_time"].to_pylist() if created <= now]
            stride = timedelta(days=self._settings.stream.stride_days)
            furthest = now if self.rolling.is_empty else self.rolling.now + stride
            self.rolling.advance(min(max(past, default=self.rolling.now), furthest))

    def _tell(self, touched: Touched, shard: int) -> None:
        """Bring everybody's view of the trends that were touched up to date; creators follow with `settle`."""
        now = self.rolling.now
        if touched.trends and not self.rolling.is_empty:
            frame = self.rolling.trend_rows(touched.trends)
            gone = sorted(touched.trends - set(frame["trend_key"]))
            self._patches.append([TrendRows.of(frame, now, gone)], self._applied[shard])
            self._remember(TREND_ACTIVITY, frame, now)
        self._creators |= touched.creators

    def _put_creators(self, names: Collection[str], now: datetime) -> None:
        """Each under the place of the shard that its own events are in."""
        by_shard: dict[int, list[str]] = {}
        for name in names:
            by_shard.setdefault(shard_of(name, self._log.shards), []).append(name)
        for shard, theirs in by_shard.items():
            frame = self.rolling.creator_rows(theirs)
            self._put(frame, now, self._applied[shard])
            for view in (CREATOR_PROFILE, CREATOR_HISTORY):
                self._remember(view, frame, now)

    def _remember(self, view: str, frame: pd.DataFrame, now: datetime) -> None:
        """For the next push."""
        with self._mutex:
            self._changed.setdefault(view, []).append(frame.assign(event_timestamp=now))

    def take_changed(self) -> dict[str, pd.DataFrame]:
        """View → the latest of the rows that changed since this was last asked, with `event_timestamp`, for Feast."""
        import pandas as pd

        with self._mutex:
            changed, self._changed = self._changed, {}
        whole = {view: pd.concat(frames, ignore_index=True) for view, frames in changed.items()}
        return {view: frame.drop_duplicates(frame.columns[0], keep="last") for view, frame in whole.items()}

    def flush(self, write: WriteLake | None = None) -> int:
        """Keep in the lake what was applied, then move the consumed place; returns how many batches.

        May be called from another thread than `step`. While another process writes to the lake, everything waits.

        Args:
            write: does the work of `write_lake`, maybe in another process.
        """
        with self._mutex:
            pending, self._pending = self._pending, []
            reached = self._reached
        if not pending:
            return 0
        names = sorted({name for batch in pending for name in batch})
        tables = {name: pa.concat_tables([_bare(batch[name]) for batch in pending if name in batch]) for name in names}
        try:
            before, after = (write or write_lake)(self._lake, tables)
        except LakeBusy:
            with self._mutex:
                self._pending = pending + self._pending
            return 0
        self.own(before, after)
        reached.write(self._path)
        self._kept = reached
        return len(pending)

    def own(self, before: int, after: int) -> None:
        """The commits from one to the other tell this consumer nothing new; another's would make it stale."""
        if before == self._commit:  # else somebody else has written since: `is_stale`
            self._commit = after

    def is_stale(self) -> bool:
        """Whether another process has added to the lake: then only a new consumer knows everything."""
        return self._lake.head().number != self._commit

    def prune(self) -> None:
        """Forget events that the lake has held for longer than the settings keep them."""
        from datetime import timedelta

        before = self._clock() - timedelta(days=self._settings.events.retention_days)
        for shard, seq in self._kept.places.items():
            self._log.prune(seq, before, shard)

    def sweep_all(self) -> None:
        """Compute every live trend's row anew: the picture from which a new reader begins."""
        if self._settings.stream.clock == "wall":
            self.rolling.advance(self._clock())
        self._sweep_after, self._sweep_first = "", None
        while not self.rolling.is_empty and not self._sweep():
            pass
        self.rolling.take_touched()

    def sweep_some(self) -> None:
        """A part of a sweep, where one is due, so that all of them are done within `refresh_seconds`."""
        if time.monotonic() < self._sweep_due or self.rolling.is_empty:
            return
        if self._settings.stream.clock == "wall":
            self.rolling.advance(self._clock())
        if touched := self.rolling.take_touched():  # a post was told before its time, which has come
            self._tell(touched, 0)
        self._sweep()
        parts = len(self.rolling.live_keys()) // SWEEP_ROWS + 1
        self._sweep_due = time.monotonic() + self._settings.stream.refresh_seconds / parts

    def _sweep(self) -> bool:
        """The next part; whether it was the last."""
        keys = [key for key in self.rolling.live_keys() if key > self._sweep_after]
        chunk, is_last = keys[:SWEEP_ROWS], len(keys) <= SWEEP_ROWS
        through = None if is_last else chunk[-1]
        rows = TrendRows.of(self.rolling.trend_rows(chunk), self.rolling.now, covers=(self._sweep_after, through))
        seq = self._patches.append([rows], max(self._applied.values()))
        self._sweep_first = self._sweep_first or seq
        self._sweep_after = through or ""
        if is_last:
            self._patches.mark_whole(self._sweep_first)
            self._sweep_first = None
        return is_last


def write_lake(lake: Lake, tables: Mapping[str, pa.Table]) -> tuple[int, int]:
    """Add rows to a lake; returns the number of its latest commit before and after.

    Raises:
        LakeBusy: another process is writing.
    """
    with lake.writer() as writer:
        before = lake.head().number
        for name, rows in tables.items():
            writer.stage(name, rows)
        writer.commit()
        return before, lake.head().number


def _bare(rows: pa.Table) -> pa.Table:
    """Without the number of the input row, which means something in one batch only."""
    return rows.drop_columns([INPUT_ROW]) if INPUT_ROW in rows.schema.names else rows
