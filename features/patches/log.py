"""Patches of the market: rows of trends as they stand now, from the one who computes them to all who serve them."""

from __future__ import annotations

import sqlite3
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import numpy as np
import orjson

from features.history import Floats, Strings
from features.recency import FIRST_USED_AT, LAST_USED_AT
from features.taste import TASTE_DIMENSIONS
from features.trends import NUMERIC

if TYPE_CHECKING:
    import pandas as pd

TEXTS: Final = ("trend_key", "trend_type", "trend_id", "name", "author", "stage")
COLUMNS: Final = (*(spec.name for spec in NUMERIC), FIRST_USED_AT, LAST_USED_AT)
DAYS: Final = 28
WIDTH: Final = len(COLUMNS) + TASTE_DIMENSIONS + DAYS
POLL_SECONDS: Final = 0.01


@dataclass(frozen=True)
class TrendRows:
    """Rows of `features.trends.trend_features` as of one instant, ready to travel.

    Attributes:
        as_of: the instant they speak of, UTC.
        texts: the columns of `TEXTS`, each of shape (n,).
        numbers: `COLUMNS`, then the taste, then the daily uses, shape (n, WIDTH).
        regions: codes and shares of each row.
        gone: keys of trends that are no longer live.
        covers: where these are *all* live trends with keys in a range: above the first, up to the second, which is
            None for no end.
    """

    as_of: datetime
    texts: dict[str, Strings]
    numbers: Floats
    regions: tuple[tuple[tuple[str, ...], tuple[float, ...]], ...]
    gone: tuple[str, ...] = ()
    covers: tuple[str, str | None] | None = None

    def __len__(self) -> int:
        return len(self.numbers)

    @classmethod
    def of(
        cls,
        frame: pd.DataFrame,
        as_of: datetime,
        gone: Sequence[str] = (),
        covers: tuple[str, str | None] | None = None,
    ) -> TrendRows:
        """From rows of `trend_features`."""
        stacks = [_stack(frame["taste"], TASTE_DIMENSIONS), _stack(frame["daily_uses"], DAYS)]
        regions = zip(frame["region_codes"], frame["region_shares"], strict=True)
        return cls(
            as_of=as_of,
            texts={name: frame[name].to_numpy(object) for name in TEXTS},
            numbers=np.hstack([frame[list(COLUMNS)].to_numpy(float), *stacks]),
            regions=tuple((tuple(codes), tuple(map(float, shares))) for codes, shares in regions),
            gone=tuple(gone),
            covers=covers,
        )

    def pack(self) -> bytes:
        """As bytes; floats keep every bit."""
        head = {
            "as_of": self.as_of.isoformat(),
            "texts": {name: column.tolist() for name, column in self.texts.items()},
            "regions": self.regions,
            "gone": self.gone,
            "covers": self.covers,
        }
        text = orjson.dumps(head)
        return struct.pack("<II", len(text), len(self)) + text + np.ascontiguousarray(self.numbers, "<f8").tobytes()

    @classmethod
    def unpack(cls, body: bytes) -> TrendRows:
        """The inverse of `pack`."""
        length, rows = struct.unpack_from("<II", body)
        head = orjson.loads(body[8 : 8 + length])
        numbers = np.frombuffer(body, "<f8", offset=8 + length).reshape(rows, WIDTH)
        covers = head["covers"]
        return cls(
            as_of=datetime.fromisoformat(head["as_of"]),
            texts={name: np.array([*column, None], object)[:-1] for name, column in head["texts"].items()},
            numbers=numbers,
            regions=tuple((tuple(codes), tuple(shares)) for codes, shares in head["regions"]),
            gone=tuple(head["gone"]),
            covers=(covers[0], covers[1]) if covers else None,
        )


def _stack(column: pd.Series[Any], width: int) -> Floats:
    return np.stack([np.asarray(row, float) for row in column]) if len(column) else np.zeros((0, width))


class Patch(NamedTuple):
    """One entry of the log: its place, the place in the event log that it covers, and the rows."""

    seq: int
    through_seq: int
    rows: TrendRows


class PatchLog(Protocol):
    """Patches in order, one writer and many readers; what an old picture of everything precedes is forgotten."""

    def append(self, patches: Sequence[TrendRows], through_seq: int) -> int:
        """Adds patches at once; returns the place of the last.

        Args:
            patches: in order.
            through_seq: every event up to this place of the event log is in them.
        """
        ...

    def mark_whole(self, first: int) -> None:
        """From this place on the log holds a picture of everything: new readers begin there, not before."""
        ...

    def read(self, after_seq: int) -> list[Patch]:
        """What came after a place; from the latest picture of everything where the place is before that one."""
        ...

    def wait(self, after_seq: int, seconds: float) -> bool:
        """Returns as soon as there is more after a place, or when time is up; whether there is."""
        ...


class SqlitePatchLog:
    """See `PatchLog`, in a SQLite file; not synced: whoever restarts computes a picture of everything.

    Args:
        path: the file; made by the first append.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()

    def append(self, patches: Sequence[TrendRows], through_seq: int) -> int:
        """See `PatchLog.append`."""
        bodies = [(through_seq, rows.pack()) for rows in patches]
        with self._writing() as connection:
            connection.executemany("INSERT INTO patch (through_seq, body) VALUES (?, ?)", bodies)
            return _last(connection)

    def mark_whole(self, first: int) -> None:
        """See `PatchLog.mark_whole`; what the mark before this one made needless is dropped."""
        with self._writing() as connection:
            connection.execute("DELETE FROM patch WHERE seq < (SELECT max(first) FROM whole)")
            connection.execute("DELETE FROM whole")
            connection.execute("INSERT INTO whole VALUES (?)", (first,))

    def read(self, after_seq: int) -> list[Patch]:
        """See `PatchLog.read`."""
        reader = self._reader()
        if reader is None:
            return []
        after_seq = after_seq if after_seq <= _last(reader) else 0  # a new log has begun
        rows = reader.execute(
            "SELECT seq, through_seq, body FROM patch WHERE seq > max(?, coalesce((SELECT first FROM whole), 1) - 1) "
            "ORDER BY seq",
            (after_seq,),
        ).fetchall()
        return [Patch(seq, through, TrendRows.unpack(body)) for seq, through, body in rows]

    def wait(self, after_seq: int, seconds: float) -> bool:
        """See `PatchLog.wait`; asks every few milliseconds whether the file has changed at all."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if (reader := self._reader()) is not None:
                looked = reader.execute("PRAGMA data_version").fetchone()[0], after_seq
                if looked != getattr(self._local, "looked", None):
                    self._local.looked = looked
                    if _last(reader) not in (0, after_seq):
                        return True
            time.sleep(POLL_SECONDS)
        return False

    def _reader(self) -> sqlite3.Connection | None:
        """This thread's own connection; None while there is no file."""
        reader: sqlite3.Connection | None = getattr(self._local, "reader", None)
        if reader is None and self.path.exists():
            reader = sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)
            try:
                reader.execute("SELECT 1 FROM whole, patch LIMIT 1")
            except sqlite3.OperationalError:  # it is being made
                reader.close()
                return None
            self._local.reader = reader
        return reader

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        writer: sqlite3.Connection | None = getattr(self._local, "writer", None)
        if writer is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            writer = sqlite3.connect(self.path, timeout=30)
            writer.execute("PRAGMA journal_mode = WAL")
            writer.execute("PRAGMA synchronous = NORMAL")
            writer.execute(
                "CREATE TABLE IF NOT EXISTS patch "
                "(seq INTEGER PRIMARY KEY AUTOINCREMENT, through_seq INTEGER NOT NULL, body BLOB NOT NULL)"
            )
            writer.execute("CREATE TABLE IF NOT EXISTS whole (first INTEGER NOT NULL)")
            self._local.writer = writer
        with writer:
            yield writer

    def close(self) -> None:
        """Lets go of this thread's connections."""
        for name in ("reader", "writer"):
            connection = getattr(self._local, name, None)
            if connection is not None:
                with closing(connection):
                    setattr(self._local, name, None)


def _last(reader: sqlite3.Connection) -> int:
    return int(reader.execute("SELECT max(seq) FROM patch").fetchone()[0] or 0)
