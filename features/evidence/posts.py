"""The posts of a history with what is asked about ways of posting."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from features.history import DAY, SECOND, Floats, History, Ints
from features.lift import post_lifts

Bools = npt.NDArray[np.bool_]

BIN_HOURS: Final = 4


class Posts:
    """A history's posts with what the queries ask about them; everything is worked out once.

    Args:
        history: what was known.
    """

    def __init__(self, history: History) -> None:
        self.history = history
        self.n = len(history.posts["created"])
        self.creator: Ints = history.posts["creator"]
        self.created: Ints = history.posts["created"]
        self.lift = post_lifts(history)
        self.is_sound = history.trends["type"][history.use_trend] == "sound"
        self.trends = len(history.trends["key"])

    @cached_property
    def reach(self) -> Ints:
        """Creators who ever used each trend, shape (t,)."""
        first = self.history.first_uses()
        return np.asarray(np.bincount(self.history.use_trend[first], minlength=self.trends))

    @cached_property
    def since_first_days(self) -> Floats:
        """How old each use's trend was in the lake, in days, shape (u,)."""
        first = np.full(self.trends, np.iinfo(np.int64).max)
        np.minimum.at(first, self.history.use_trend, self.history.use_created)
        return np.asarray((self.history.use_created - first[self.history.use_trend]) / DAY)

    @cached_property
    def opened_by(self) -> Ints:
        """The creator who used each trend first, shape (t,)."""
        opened = np.full(self.trends, -1, np.int64)
        trend, at = np.unique(self.history.use_trend, return_index=True)
        opened[trend] = self.history.use_creator[at]
        return opened

    @cached_property
    def places(self) -> Ints:
        """Which use of its trend by its creator each use is, from 0, shape (u,)."""
        pair = self.history.use_creator * max(self.trends, 1) + self.history.use_trend
        order = np.argsort(pair, kind="stable")
        start = np.r_[True, pair[order][1:] != pair[order][:-1]] if len(order) else np.zeros(0, bool)
        opens = np.maximum.accumulate(np.where(start, np.arange(len(order)), 0))
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order)) - opens
        return place

    @cached_property
    def gap_days(self) -> Floats:
        """Days since the creator's post before, NaN for the first known, shape (p,)."""
        order = np.argsort(self.creator, kind="stable")
        gap = np.full(self.n, np.nan)
        same = self.creator[order][1:] == self.creator[order][:-1]
        gap[order[1:][same]] = (self.created[order][1:] - self.created[order][:-1])[same] / DAY
        return gap

    @cached_property
    def pace(self) -> Floats:
        """Uses of each use's trend in the 7 days before it ÷ in the 7 days before those (plus one each), shape (u,)."""
        trend, at = self.history.use_trend, self.history.use_created
        span = np.int64(2) ** 51
        ordered = np.sort(trend * span + at // 4)

        def before(days: int) -> Ints:
            return np.asarray(np.searchsorted(ordered, trend * span + np.maximum(at - days * DAY, 0) // 4))

        now, week, fortnight = before(0), before(7), before(14)
        return np.asarray((now - week + 1) / (week - fortnight + 1))

    @property
    def hour_bin(self) -> Ints:
        """The part of the day (UTC) of each post, `BIN_HOURS` long, shape (p,)."""
        return np.asarray(self.created // (3600 * SECOND) % 24 // BIN_HOURS)

    def with_use(self, uses: Bools) -> Bools:
        """Posts with at least one of these uses, shape (p,)."""
        found = np.zeros(self.n, bool)
        found[self.history.use_post[uses]] = True
        return found

    @cached_property
    def sounds(self) -> Bools:
        """Posts with a named sound."""
        return self.with_use(self.is_sound)

    @cached_property
    def tags(self) -> Ints:
        """Hashtags per post, shape (p,)."""
        return np.bincount(self.history.use_post[~self.is_sound], minlength=self.n)

    def words(self, *words: str) -> Bools:
        """Posts with a hashtag that holds one of these words."""
        pattern = re.compile("|".join(words))
        ids, types = self.history.trends["id"], self.history.trends["type"]
        hit = np.array([t == "hashtag" and bool(pattern.search(i)) for t, i in zip(types, ids, strict=True)], bool)
        return self.with_use(hit[self.history.use_trend])

    def titled(self, *words: str) -> Bools:
        """Posts whose sound has one of these words in its title."""
        pattern = re.compile(r"\b(" + "|".join(words) + r")\b")
        names, types = self.history.trends["name"], self.history.trends["type"]
        hit = np.array(
            [t == "sound" and bool(pattern.search(n.casefold())) for t, n in zip(types, names, strict=True)], bool
        )
        return self.with_use(hit[self.history.use_trend])
