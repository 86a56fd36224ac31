"""Lift of a post: log views above its creator's trailing median at the same age."""

from __future__ import annotations

from typing import Final

import numpy as np

from features.history import DAY, Floats, History, Ints

BASELINE_POSTS: Final = 20
"""How many earlier posts of the creator a post is compared with."""
LEAST_BASELINE: Final = 3
"""Below this many known earlier posts there is no baseline, hence no lift."""
AGE_EDGES_DAYS: Final = np.array([0.04, 0.25, 0.5, 1, 2, 4, 7, 14, 28, 56])
"""Ages, at the observation, between which posts count as equally old."""


def post_lifts(history: History) -> Floats:
    """Log of (1 + views) over the creator's trailing median at the same age, shape (p,); NaN where unknown."""
    known = np.flatnonzero(~np.isnan(history.posts["view_count"]))
    lifts = np.full(len(history.posts["created"]), np.nan)
    if len(known) == 0:
        return lifts
    creator = history.posts["creator"][known]
    views = np.log1p(history.posts["view_count"][known])
    age = (history.posts["counted"] - history.posts["created"])[known]
    level = views - _age_curve(creator, views, age, len(history.creators))
    lifts[known] = level - _trailing_median(creator, level)
    return lifts


def grouped_median(group: Ints, values: Floats, groups: int) -> Floats:
    """Median of `values` by `group` number, shape (groups,); NaN for a group without values."""
    order = np.lexsort((values, group))
    ordered, size = values[order], np.bincount(group, minlength=groups)
    start = np.concatenate([[0], np.cumsum(size)[:-1]])
    low, high = start + np.maximum(size - 1, 0) // 2, start + size // 2
    result = np.full(groups, np.nan)
    some = size > 0
    result[some] = (ordered[low[some]] + ordered[high[some]]) / 2
    return result


def _age_curve(creator: Ints, views: Floats, age: Ints, creators: int) -> Floats:
    """How far posts of this age lie above their creator's median, per post; 0 where an age has no peers."""
    bucket = np.searchsorted(AGE_EDGES_DAYS * DAY, age)
    above = views - grouped_median(creator, views, creators)[creator]
    return np.nan_to_num(grouped_median(bucket, above, len(AGE_EDGES_DAYS) + 1))[bucket]


def _trailing_median(creator: Ints, level: Floats) -> Floats:
    """Median of the creator's up to `BASELINE_POSTS` earlier levels; posts arrive oldest first."""
    order = np.argsort(creator, kind="stable")
    sorted_creator, sorted_level = creator[order], level[order]
    earlier = np.full((len(order), BASELINE_POSTS), np.nan)
    for lag in range(1, min(BASELINE_POSTS, len(order) - 1) + 1):
        same = sorted_creator[lag:] == sorted_creator[:-lag]
        earlier[lag:, lag - 1] = np.where(same, sorted_level[:-lag], np.nan)
    enough = (~np.isnan(earlier)).sum(axis=1) >= LEAST_BASELINE
    medians = np.full(len(order), np.nan)
    if enough.any():
        medians[enough] = np.nanmedian(earlier[enough], axis=1)
    result = np.empty(len(order))
    result[order] = medians
    return result
