"""Labels: which live trends a creator used for the first time within the horizon, graded by how well that post did."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np

from features.history import History, Strings, micros
from features.lift import post_lifts
from models.interactions import Ints

UNKNOWN_LIFT_GRADE: Final = 2
GRADES: Final = 4


@dataclass(frozen=True)
class Adoptions:
    """First uses inside (cutoff, cutoff + horizon], one row per creator and trend.

    Attributes:
        cutoff: instant, UTC.
        creator_ids, trend_keys: text, shape (a,).
        grades: 1 to 4 by lift quartile, `UNKNOWN_LIFT_GRADE` where no count is known, shape (a,).
    """

    cutoff: datetime
    creator_ids: Strings
    trend_keys: Strings
    grades: Ints

    def by_creator(self) -> dict[str, dict[str, int]]:
        """creator_id → trend_key → grade."""
        table: dict[str, dict[str, int]] = {}
        for creator, key, grade in zip(self.creator_ids, self.trend_keys, self.grades, strict=True):
            table.setdefault(creator, {})[key] = int(grade)
        return table


def adoptions(known: History, cutoff: datetime, horizon_days: int) -> Adoptions:
    """Adoptions after `cutoff`, as told by what was known later.

    Args:
        known: history as of an instant at or after cutoff + horizon.
        cutoff: instant, UTC; a first use exactly then is not after it.
        horizon_days: length of the window.
    """
    start, end = micros(cutoff), micros(cutoff + timedelta(days=horizon_days))
    created = known.use_created
    inside = np.flatnonzero(known.first_uses() & (created > start) & (created <= end))
    return Adoptions(
        cutoff=cutoff,
        creator_ids=known.creators[known.use_creator[inside]],
        trend_keys=known.trends["key"][known.use_trend[inside]],
        grades=grade(post_lifts(known)[known.use_post[inside]]),
    )


def grade(lifts: np.ndarray) -> Ints:
    """Lift quartile 1 to 4 among the known ones, `UNKNOWN_LIFT_GRADE` for NaN, the shape of `lifts`."""
    grades = np.full(len(lifts), UNKNOWN_LIFT_GRADE)
    known = ~np.isnan(lifts)
    if known.any():
        edges = np.quantile(lifts[known], np.arange(1, GRADES) / GRADES)
        grades[known] = 1 + np.searchsorted(edges, lifts[known], side="left")
    return grades
