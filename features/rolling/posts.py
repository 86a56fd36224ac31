"""The posts of a rolling history: their columns in canonical order, and their counts as known by each instant."""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from features.contract import COUNTS
from features.history import DAY, UNKNOWN_REGION, Floats, Ints, Strings

NEVER: Final = np.iinfo(np.int64).min
VIEWS: Final = COUNTS[0]


class Observed(NamedTuple):
    """One observation of a post: the instant (µs) and its counts in the order of `COUNTS`, None where unknown."""

    at: int
    counts: tuple[float | None, ...]


@dataclass
class NewPost:
    """A post that is not known yet, or only becomes known.

    Attributes:
        id, creator, region, duration, created: as in `History.posts`; the region is a code, empty where unknown.
        first_seen: µs.
        trends: key → (type, id) of the trends it uses.
        sound: title and author of its sound.
        said: what `features.captions` reads of it, by column.
        observed: what was observed of it so far.
    """

    id: str
    creator: str
    region: str
    duration: float
    created: int
    first_seen: int
    trends: dict[str, tuple[str, str]] = field(default_factory=dict)
    sound: tuple[str | None, str | None] = (None, None)
    said: dict[str, str | None] = field(default_factory=dict)
    observed: list[Observed] = field(default_factory=list)

    def known_at(self, posts_known: str) -> int:
        """The instant from which it counts, µs."""
        if posts_known == "created":
            return self.created
        return max(self.created, self.first_seen, NEVER)


class Posts:
    """Known posts, sorted by (created, id), with their latest counts and the counts of some days ago.

    Args:
        columns: as `History.posts`, without counts: id, creator, region, created, duration.
        titles, authors: of each post's sound, None where unknown.
        windows_days: how many days back earlier view counts are wanted.
    """

    def __init__(
        self, columns: dict[str, Any], titles: Strings, authors: Strings, windows_days: tuple[int, ...]
    ) -> None:
        n = len(columns["id"])
        self.columns = {name: columns[name] for name in ("id", "creator", "region", "created", "duration")}
        self.columns |= {"title": titles, "author": authors, "number": np.arange(n)}
        self.lags = {VIEWS: 0} | {f"view_count_{w}d_ago": w * DAY for w in windows_days}
        for name in (*COUNTS, *list(self.lags)[1:]):
            self.columns[name] = np.full(n, np.nan)
            self.columns[f"{name} clock"] = np.full(n, NEVER)
        self._row = np.arange(n)
        self._number = {post: number for number, post in enumerate(columns["id"].tolist())}
        self._base: tuple[Ints, Ints, Floats] = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
        self._reached = dict.fromkeys(list(self.lags)[1:], 0)
        self._later: list[tuple[int, str, int, int, float]] = []

    def __contains__(self, post: str) -> bool:
        return post in self._number

    def __len__(self) -> int:
        return len(self._row)

    def row(self, post: str) -> int:
        """The place of a known post."""
        return int(self._row[self._number[post]])

    def load(self, posts: Strings, at: Ints, counts: dict[str, Floats], now: int) -> None:
        """Take in what had been observed of the known posts by `now`, in one go.

        Args:
            posts: ids of known posts, shape (m,).
            at: when each was observed, µs, ascending, none after `now`.
            counts: one column per count, NaN where unknown.
            now: µs.
        """
        numbers = np.array([self._number[post] for post in posts.tolist()], np.int64)
        for name in COUNTS:
            known = ~np.isnan(counts[name])
            self._set_all(name, numbers[known], at[known], counts[name][known])
        told = ~np.isnan(counts[VIEWS])
        self._base = numbers[told], at[told], counts[VIEWS][told]
        self.advance(now)

    def observe(self, post: str, seen: Observed, now: int) -> bool:
        """Take in an observation of a known post by `now`; returns whether its latest counts changed."""
        number, changed = self._number[post], False
        for name, value in zip(COUNTS, seen.counts, strict=True):
            changed |= value is not None and self._set(name, number, seen.at, value)
        if (views := seen.counts[0]) is not None:
            for name, lag in list(self.lags.items())[1:]:
                if seen.at + lag <= now:
                    self._set(name, number, seen.at, views)
                else:
                    heapq.heappush(self._later, (seen.at + lag, name, number, seen.at, views))
        return changed

    def advance(self, now: int) -> None:
        """Let time pass: what was observed some days before `now` becomes a count of some days ago."""
        for name, lag in list(self.lags.items())[1:]:
            done, until = self._reached[name], int(np.searchsorted(self._base[1], now - lag, "right"))
            if until > done:
                numbers, seen_at, views = self._base
                self._set_all(name, numbers[done:until], seen_at[done:until], views[done:until])
                self._reached[name] = until
        while self._later and self._later[0][0] <= now:
            _, name, number, at, value = heapq.heappop(self._later)
            self._set(name, number, at, value)

    def _set_all(self, name: str, numbers: Ints, at: Ints, values: Floats) -> None:
        """As `_set`, for observations in the order of time."""
        rows = self._row[numbers]
        newer = at > self.columns[f"{name} clock"][rows]
        self.columns[name][rows[newer]] = values[newer]
        self.columns[f"{name} clock"][rows[newer]] = at[newer]

    def _set(self, name: str, number: int, at: int, value: float) -> bool:
        row, clock = self._row[number], self.columns[f"{name} clock"]
        if at <= clock[row]:
            return False
        changed = self.columns[name][row] != value
        clock[row], self.columns[name][row] = at, value
        return bool(changed) or name == VIEWS

    def places(self, posts: Sequence[NewPost]) -> Ints:
        """Before which of the present posts each new one belongs; the new ones are sorted by (created, id)."""
        created, ids = self.columns["created"], self.columns["id"]
        lows = np.searchsorted(created, [post.created for post in posts], "left")
        highs = np.searchsorted(created, [post.created for post in posts], "right")
        return np.array(
            [
                low + sum(other < post.id for other in ids[low:high])
                for post, low, high in zip(posts, lows, highs, strict=True)
            ],
            np.int64,
        )

    def insert(self, posts: Sequence[NewPost], places: Ints, creator: Ints, region: Ints) -> None:
        """Put new posts, without counts, before the `places` that `places` gave."""
        given: dict[str, Any] = {
            "id": [post.id for post in posts],
            "creator": creator,
            "region": region,
            "created": [post.created for post in posts],
            "duration": [post.duration for post in posts],
            "title": [post.sound[0] for post in posts],
            "author": [post.sound[1] for post in posts],
            "number": len(self) + np.arange(len(posts)),
        }
        for name, column in self.columns.items():
            self.columns[name] = inserted(column, places, given.get(name, NEVER if " clock" in name else np.nan))
        for post in posts:
            self._number[post.id] = len(self._number)
        self._row = np.empty(len(self.columns["id"]), np.int64)
        self._row[self.columns["number"]] = np.arange(len(self._row))

    def history_columns(self) -> dict[str, Any]:
        """The columns as `History.posts` has them."""
        wrong = (self.columns[VIEWS] == 0) & (self.columns["like_count"] > 0)
        clock = self.columns[f"{VIEWS} clock"]
        found = {name: self.columns[name] for name in ("id", "creator", "region", "created", "duration")}
        found["counted"] = np.where(clock == NEVER, 0, clock)
        found |= {name: self.columns[name] for name in (*COUNTS, *list(self.lags)[1:])}
        if wrong.any():
            found |= {name: np.where(wrong, np.nan, found[name]) for name in self.lags}
        return found


def regions_of(posts: Sequence[NewPost], codes: Strings) -> Ints:
    """Each post's region as an index of the sorted `codes`."""
    place = {code: i for i, code in enumerate(codes)}
    return np.array([place.get(post.region, UNKNOWN_REGION) for post in posts], np.int64)


def grown(names: Strings, new: Sequence[str]) -> tuple[Strings, Ints, Ints]:
    """Sorted names with new ones, sorted too, put in.

    Returns:
        The names, before which of the old ones each new one went, and by how much each old one moved,
        shape (len(names) + 1,).
    """
    at = np.array([place_of(names, name) for name in new], np.int64)
    moved = np.cumsum(np.bincount(at, minlength=len(names) + 1))
    return inserted(names, at, list(new)), at, moved


def inserted(column: npt.NDArray[Any], at: Ints, values: Any) -> npt.NDArray[Any]:
    """The column with values put in before the ascending places `at`: `np.insert`, fast where all go near the end."""
    if not len(at):
        return column
    first, target = int(at[0]), at + np.arange(len(at))
    whole = np.empty(len(column) + len(at), column.dtype)
    whole[:first] = column[:first]
    kept = np.ones(len(whole) - first, bool)
    kept[target - first] = False
    whole[first:][kept] = column[first:]
    whole[target] = values
    return whole


def place_of(names: Strings, name: str) -> int:
    """Where a name is among sorted names, or would be."""
    return bisect_left(names, name)


def places_of(names: Strings, wanted: set[str]) -> Ints:
    """Where those of the wanted names that there are stand among the sorted names, ascending."""
    places = ((place_of(names, name), name) for name in wanted)
    return np.array(sorted(at for at, name in places if at < len(names) and names[at] == name), np.int64)
