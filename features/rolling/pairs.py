"""Who uses what in a rolling history: one entry per creator and trend, with the latest use, in order."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import scipy.sparse as sp

from features.history import DAY, Floats, Ints
from features.rolling.posts import inserted

_BITS = 32
_TREND = (1 << _BITS) - 1


class Pairs:
    """Pairs of a creator and a trend, sorted by both.

    Args:
        creator, trend, created: of every use there is; the instant in µs.
    """

    def __init__(self, creator: Ints, trend: Ints, created: Ints) -> None:
        self._codes, place = np.unique((creator << _BITS) | trend, return_inverse=True)
        self._last = np.zeros(len(self._codes), np.int64)
        np.maximum.at(self._last, place, created)

    def use(self, uses: Iterable[tuple[int, int, int]]) -> None:
        """Take in uses: creator, trend and instant (µs)."""
        latest: dict[int, int] = {}
        for creator, trend, created in uses:
            code = (creator << _BITS) | trend
            latest[code] = max(latest.get(code, created), created)
        codes = np.array(sorted(latest), np.int64)
        last = np.array([latest[code] for code in codes.tolist()], np.int64)
        at = np.searchsorted(self._codes, codes)
        there = np.zeros(len(codes), bool)
        inside = at < len(self._codes)
        there[inside] = self._codes[at[inside]] == codes[inside]
        self._last[at[there]] = np.maximum(self._last[at[there]], last[there])
        self._codes = inserted(self._codes, at[~there], codes[~there])
        self._last = inserted(self._last, at[~there], last[~there])

    def renumber_creators(self, moved: Ints) -> None:
        """Creator i is now i + moved[i]."""
        self._codes = self._codes + (moved[self._codes >> _BITS] << _BITS)

    def renumber_trends(self, moved: Ints) -> None:
        """Trend i is now i + moved[i]."""
        self._codes = self._codes + moved[self._codes & _TREND]

    def live(self, after: int, least: int, trends: int) -> Ints:
        """Which of so many trends have `least` creators who used them after an instant (µs), ascending."""
        size = np.bincount(self._codes[self._last > after] & _TREND, minlength=trends)
        return np.flatnonzero(size >= least)

    def used(self, live: Ints, creators: int, trends: int) -> sp.csr_matrix:
        """Creators × live trends, 1 where ever used; columns ascending in each row."""
        number = np.full(trends, -1)
        number[live] = np.arange(len(live))
        column = number[self._codes & _TREND]
        kept = column >= 0
        size = np.bincount(self._codes[kept] >> _BITS, minlength=creators)
        indptr = np.concatenate([[0], np.cumsum(size)])
        return sp.csr_matrix((np.ones(int(kept.sum())), column[kept], indptr), (creators, len(live)))

    def active(self, now: int, days: int) -> int:
        """How many creators used anything in the last days before `now` (µs)."""
        return int(np.count_nonzero(np.bincount(self._codes[self._last > now - days * DAY] >> _BITS)))

    def reach(self, trends: int) -> Floats:
        """How many creators ever used each of so many trends."""
        return np.bincount(self._codes & _TREND, minlength=trends).astype(float)

    def creators(self) -> int:
        """How many creators ever used any trend."""
        return int(np.count_nonzero(np.bincount(self._codes >> _BITS)))
