"""A history kept current in memory: events go in, in any order, and the rows that a batch would give come out."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from features.background import Background
from features.contract import COUNTS, trend_key
from features.creators import Reach, creator_features, creator_histories
from features.errors import EmptyLake
from features.history import DAY, Floats, History, Ints, Strings, micros
from features.lake import Lake
from features.lift import age_curve, grouped_median
from features.rolling.keys import KnownKeys
from features.rolling.market import PublicCount, PublicCounts
from features.rolling.pairs import Pairs
from features.rolling.parts import Touched, of_creators
from features.rolling.posts import NewPost, Observed, Posts, grown, inserted, place_of, places_of, regions_of
from features.rolling.words import Spoken
from features.trends import trend_features

if TYPE_CHECKING:
    import pandas as pd

    from configs import Settings
    from features.rolling.load import Base

Rows = Mapping[str, pa.Table]
"""Rows by table of the lake."""


class RollingHistory:
    """What is known now, by the rules of `load_history`, kept current by events.

    Time only moves forward. Arrays that it hands out change with the next event: a caller is done with them before.

    Args:
        settings: the pool, the lifecycle rule, the windows, and which clock makes a post known.
        now: the instant from which it starts, UTC.
    """

    def __init__(self, settings: Settings, now: datetime) -> None:
        self._settings = settings
        self._titles = frozenset(settings.trends.pool.original_titles)
        self._now = micros(now)
        self._creators: Strings = np.zeros(0, object)
        self._regions: Strings = np.zeros(0, object)
        self._trends = {name: np.zeros(0, object) for name in ("key", "type", "id", "name", "author")}
        self._use_post, self._use_trend = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._pairs = Pairs(self._use_post, self._use_trend, self._use_post)
        self._followers: dict[str, tuple[int, float]] = {}
        self._market = PublicCounts()
        self._spoken = Spoken(settings.trends.pool.original_titles)
        empty = {name: np.zeros(0, object if name == "id" else np.int64) for name in ("id", "creator", "region")}
        empty |= {"created": np.zeros(0, np.int64), "duration": np.zeros(0)}
        self._posts = Posts(empty, np.zeros(0, object), np.zeros(0, object), settings.trends.windows_days)
        self._waiting: dict[str, NewPost] = {}
        self._orphans: dict[str, list[Observed]] = {}
        self._keys = {name: KnownKeys() for name in ("video_metrics", "creator_metrics", "trend_snapshots")}
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()
        self._medians, self._stale = np.zeros(0), np.zeros(0, bool)
        self._touched = Touched()
        self._takers = {
            "videos": self._video,
            "video_metrics": self._metric,
            "creator_metrics": self._creator_metric,
            "trend_snapshots": self._snapshot,
        }

    @classmethod
    def load(cls, lake: Lake, now: datetime, settings: Settings) -> RollingHistory:
        """What the lake knows as of `now`; what it holds of later instants counts when they come."""
        from features.rolling.load import read

        rolling = cls(settings, now)
        rolling._start(read(lake.connect(), now, settings))
        return rolling

    def _start(self, base: Base) -> None:
        """Begin with what a lake held."""
        self._keys = base.keys
        if base.history is not None:
            known, windows = base.history, self._settings.trends.windows_days
            self._creators, self._regions, self._trends = known.creators, known.regions, dict(known.trends)
            self._posts = Posts(known.posts, base.titles, base.authors, windows)
            self._posts.load(base.observed["id"], base.observed["instant"], base.observed, self._now)
            self._use_post, self._use_trend = known.use_post, known.use_trend
            self._pairs = Pairs(known.use_creator, known.use_trend, known.use_created)
            self._medians, self._stale = np.full(len(known.creators), np.nan), np.ones(len(known.creators), bool)
        self._spoken.say(*base.spoken)
        self._followers = base.followers
        self._market.load(self._trends["key"], base.market)
        for name, take in self._takers.items():
            for row in base.later.get(name, ()):
                take(row)
        self._let_due()
        self.take_touched()

    @property
    def now(self) -> datetime:
        """The instant it speaks of, UTC."""
        return datetime.fromtimestamp(self._now // 1_000_000, UTC).replace(microsecond=self._now % 1_000_000)

    @property
    def is_empty(self) -> bool:
        """Whether no post is known."""
        return not len(self._posts)

    def take_touched(self) -> Touched:
        """Whose rows have changed since this was last asked, other than by the mere passing of time."""
        touched, self._touched = self._touched, Touched()
        return touched

    def add(self, rows: Rows) -> dict[str, pa.Table]:
        """Take in rows of the lake's tables, which may be late, early or known already.

        Returns:
            The rows whose key is new, table by table: what the lake has to keep.
        """
        accepted: dict[str, pa.Table] = {}
        for name, take in self._takers.items():
            if name in rows:
                new = [take(row) for row in rows[name].to_pylist()]
                accepted[name] = rows[name].filter(pa.array(new, pa.bool_()))
        self._let_due()
        return accepted

    def advance(self, now: datetime) -> None:
        """Let time pass until `now`; an earlier instant changes nothing."""
        self._now = max(self._now, micros(now))
        self._let_due()
        self._posts.advance(self._now)

    def history(self) -> History:
        """Everything known now: bit for bit what `load_history` reads from a lake with the same rows."""
        if not len(self._posts):
            raise EmptyLake(f"no post was known by {self.now:%Y-%m-%d %H:%M} UTC")
        words, said_by, said = self._spoken.of(self._creators.tolist(), len(self._creators))
        return replace(self._history(), words=words, said_by=said_by, said=said)

    def _history(self) -> History:
        """Everything known now but the words."""
        return History(
            as_of=self.now,
            creators=self._creators,
            followers=np.array([self._followers.get(name, (0, np.nan))[1] for name in self._creators.tolist()], float),
            regions=self._regions,
            posts=self._posts.history_columns(),
            use_post=self._use_post,
            use_trend=self._use_trend,
            words=np.zeros(0, object),
            said_by=np.zeros(0, np.int64),
            said=np.zeros(0, np.int64),
            trends=self._trends,
            market=self._market.history_columns(),
        )

    def live_keys(self) -> list[str]:
        """Keys of the trends that are live now, sorted."""
        return list(self._trends["key"][self._live()])

    def is_waiting(self, creator_id: str) -> bool:
        """Whether a post of theirs has been told that is not known yet."""
        return any(post.creator == creator_id for post in self._waiting.values())

    def trend_rows(self, keys: Iterable[str] | None = None) -> pd.DataFrame:
        """The rows of `trend_features` as of now, of the live ones of these trends; of all where not given."""
        history = self._history()
        only = None if keys is None else places_of(self._trends["key"], set(keys))
        return trend_features(history, self._settings.trends, self._background(history), only)

    def creator_rows(self, ids: Iterable[str] | None = None) -> pd.DataFrame:
        """The rows of `creator_features` and `creator_histories` as of now, of the known ones of these creators."""
        history = self._history()
        chosen = np.arange(len(self._creators)) if ids is None else places_of(self._creators, set(ids))
        if not len(chosen):
            return self.creator_rows(self._creators[:1]).iloc[:0]
        part, trends = of_creators(history, chosen)
        words, said_by, said = self._spoken.of(part.creators.tolist(), len(self._creators))
        part = replace(part, words=words, said_by=said_by, said=said)
        reach = Reach(self._pairs.reach(len(self._trends["key"]))[trends], self._pairs.creators())
        profiles = creator_features(part, reach)
        histories = creator_histories(part)  # of the same creators in the same order
        return profiles.assign(**{name: histories[name] for name in histories.columns[1:]})

    def _background(self, history: History) -> Background:
        """As `Background.of`, from what is kept."""
        live = self._live()
        return Background(
            live=live,
            used=self._pairs.used(live, len(self._creators), len(self._trends["key"])),
            active=self._pairs.active(self._now, 28),
            curve=age_curve(history, self._current_medians(history)),
        )

    def _live(self) -> Ints:
        """As `live_trends`, from what is kept."""
        pool = self._settings.trends.pool
        return self._pairs.live(self._now - pool.window_days * DAY, pool.min_creators, len(self._trends["key"]))

    def _current_medians(self, history: History) -> Floats:
        """As `creator_medians`, computed anew only for creators whose views changed."""
        if self._stale.any():
            views = history.posts["view_count"]
            chosen = np.flatnonzero(self._stale[history.posts["creator"]] & ~np.isnan(views))
            stale = np.flatnonzero(self._stale)
            place = np.zeros(len(self._stale), np.int64)
            place[stale] = np.arange(len(stale))
            group = place[history.posts["creator"][chosen]]
            self._medians[stale] = grouped_median(group, np.log1p(views[chosen]), len(stale))
            self._stale[:] = False
        return self._medians

    def _let_due(self) -> None:
        while self._due and self._due[0][0] <= self._now:
            heapq.heappop(self._due)[2]()
        known = self._settings.lake.posts_known
        ready = [post for post in self._waiting.values() if post.known_at(known) <= self._now]
        if ready:
            self._insert(ready)

    def _at(self, instant: int, act: Callable[[], None]) -> None:
        """Do it now, or when that instant comes."""
        if instant <= self._now:
            act()
        else:
            heapq.heappush(self._due, (instant, next(self._order), act))

    def _video(self, row: Mapping[str, Any]) -> bool:
        post = row["id"]
        if post in self._posts or post in self._waiting:
            return False
        observed = self._orphans.pop(post, [])
        seen = min([micros(row["observed_at"]), *(one.at for one in observed)])
        trends = {trend_key("hashtag", tag): ("hashtag", tag) for tag in row["hashtag_names"] or ()}
        sound = row["music_id"]
        if sound is not None and (row["music_title"] or "") not in self._titles:
            trends[trend_key("sound", sound)] = ("sound", sound)
        self._waiting[post] = NewPost(
            id=post,
            creator=row["username"],
            region=row["region_code"] or "",
            duration=np.nan if row["video_duration"] is None else float(row["video_duration"]),
            created=micros(row["create_time"]),
            first_seen=seen,
            trends=trends,
            sound=(row["music_title"], row["music_author"]),
            said={name: row[name] for name in ("username", "video_description", "music_id", "music_title")},
            observed=observed,
        )
        return True

    def _metric(self, row: Mapping[str, Any]) -> bool:
        post, at = row["id"], micros(row["observed_at"])
        if not self._keys["video_metrics"].add(post, at):
            return False
        seen = Observed(at, tuple(row[name] for name in COUNTS))
        self._observe(post, seen)
        return True

    def _observe(self, post: str, seen: Observed) -> None:
        """Counts of a post, now or later; a post that is still to come keeps them."""
        if post in self._posts:
            self._at(seen.at, lambda: self._count(post, seen))
        elif post in self._waiting:
            waiting = self._waiting[post]
            waiting.observed.append(seen)
            waiting.first_seen = min(waiting.first_seen, seen.at)
        else:
            self._orphans.setdefault(post, []).append(seen)

    def _count(self, post: str, seen: Observed) -> None:
        if self._posts.observe(post, seen, self._now):
            self._touch(self._posts.row(post))

    def _touch(self, row: int) -> None:
        creator = int(self._posts.columns["creator"][row])
        low, high = np.searchsorted(self._use_post, [row, row + 1])
        self._stale[creator] = True
        self._touched.creators.add(self._creators[creator])
        self._touched.trends.update(self._trends["key"][self._use_trend[low:high]].tolist())

    def _creator_metric(self, row: Mapping[str, Any]) -> bool:
        name, at, followers = row["username"], micros(row["observed_at"]), row["follower_count"]
        if not self._keys["creator_metrics"].add(name, at):
            return False
        if followers is not None:
            self._at(at, lambda: self._follow(name, at, float(followers)))
        return True

    def _follow(self, name: str, at: int, followers: float) -> None:
        if name not in self._followers or self._followers[name][0] < at:
            self._followers[name] = at, followers
            self._touched.creators.add(name)

    def _snapshot(self, row: Mapping[str, Any]) -> bool:
        key, at = trend_key(row["trend_type"], row["trend_id"]), micros(row["observed_at"])
        if not self._keys["trend_snapshots"].add(f"{key}\n{row['region']}", at):
            return False
        if row["trend_type"] != "creator":
            told = PublicCount(at, row["region"], row["value"], row["position"])
            self._at(at, lambda: self._publish(key, told))
        return True

    def _publish(self, key: str, told: PublicCount) -> None:
        if len(place := places_of(self._trends["key"], {key})):
            self._market.put(int(place[0]), told)
            self._touched.trends.add(key)
        else:
            self._market.put_unused(key, told)

    def _insert(self, posts: Sequence[NewPost]) -> None:
        """Make posts known: names first, then the posts, their uses and pairs, and what was observed of them."""
        posts = sorted(posts, key=lambda post: (post.created, post.id))
        self._name_creators({post.creator for post in posts})
        self._name_regions({post.region for post in posts} - {""})
        self._name_trends({key: kind for post in posts for key, kind in post.trends.items()})
        places = self._posts.places(posts)
        moved = np.cumsum(np.bincount(places, minlength=len(self._posts) + 1))
        creator = np.array([place_of(self._creators, post.creator) for post in posts], np.int64)
        self._posts.insert(posts, places, creator, regions_of(posts, self._regions))
        self._use_post = self._use_post + moved[self._use_post]
        rows = places + np.arange(len(posts))
        self._insert_uses(posts, rows)
        told = zip(posts, creator.tolist(), strict=True)
        self._pairs.use((of, self._trend(key), post.created) for post, of in told for key in post.trends)
        self._spoken.hear([post.said for post in posts])
        for post in posts:
            del self._waiting[post.id]
            for seen in post.observed:
                self._observe(post.id, seen)
        for row in rows.tolist():
            self._touch(row)

    def _insert_uses(self, posts: Sequence[NewPost], rows: Ints) -> None:
        trends = [sorted(self._trend(key) for key in post.trends) for post in posts]
        post = np.repeat(rows, [len(of) for of in trends])
        trend = np.array([place for of in trends for place in of], np.int64)
        at = np.searchsorted(self._use_post, post)
        self._use_post = inserted(self._use_post, at, post)
        self._use_trend = inserted(self._use_trend, at, trend)
        for place in {int(place) for place in trend if self._trends["type"][place] == "sound"}:
            self._name_sound(place)

    def _name_sound(self, trend: int) -> None:
        """The title and the author of the latest post that tells them."""
        rows = self._use_post[self._use_trend == trend]
        for name, column, unknown in (("name", "title", self._trends["id"][trend]), ("author", "author", None)):
            told = self._posts.columns[column][rows]
            known = [value for value in told.tolist() if value is not None]
            self._trends[name][trend] = known[-1] if known else unknown

    def _trend(self, key: str) -> int:
        return place_of(self._trends["key"], key)

    def _name_creators(self, names: set[str]) -> None:
        new = sorted(names - set(self._creators.tolist()))
        if new:
            self._creators, _, moved = grown(self._creators, new)
            self._posts.columns["creator"] = self._posts.columns["creator"] + moved[self._posts.columns["creator"]]
            self._pairs.renumber_creators(moved)
            there = np.arange(len(moved) - 1) + moved[:-1]
            medians, stale = np.full(len(self._creators), np.nan), np.zeros(len(self._creators), bool)
            medians[there], stale[there] = self._medians, self._stale
            self._medians, self._stale = medians, stale

    def _name_regions(self, codes: set[str]) -> None:
        new = sorted(codes - set(self._regions.tolist()))
        if new:
            self._regions, _, moved = grown(self._regions, new)
            region = self._posts.columns["region"]
            self._posts.columns["region"] = np.where(region < 0, region, region + moved[region])

    def _name_trends(self, kinds: Mapping[str, tuple[str, str]]) -> None:
        new = sorted(key for key in kinds if not len(places_of(self._trends["key"], {key})))
        if not new:
            return
        keys, at, moved = grown(self._trends["key"], new)
        told: dict[str, list[Any]] = {
            "key": new,
            "type": [kinds[key][0] for key in new],
            "id": [kinds[key][1] for key in new],
        }
        told |= {"name": told["id"], "author": [None] * len(new)}
        columns = {name: inserted(self._trends[name], at, told[name]) for name in self._trends}
        self._trends = columns | {"key": keys}
        self._use_trend = self._use_trend + moved[self._use_trend]
        self._pairs.renumber_trends(moved)
        self._market.renumber(moved)
        for key in new:
            self._market.use(key, self._trend(key))
