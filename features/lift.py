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


def post_lifts(history: History, curve: Floats | None = None, posts: Ints | None = None) -> Floats:
    """Log of (1 + views) over the creator's trailing median at the same age; NaN where unknown.

    Args:
        history: what was known.
        curve: its `age_curve`, where that is known already.
        posts: the posts that are asked for, ascending; all of them where not given.

    Returns:
        Shape (p,); NaN for posts that were not asked for.
    """
    views = np.log1p(history.posts["view_count"])
    lifts = np.full(len(views), np.nan)
    asked = np.arange(len(views)) if posts is None else posts
    asked = asked[~np.isnan(views[asked])]
    if len(asked) == 0:
        return lifts
    curve = age_curve(history, creator_medians(history)) if curve is None else curve
    theirs = np.zeros(len(history.creators), bool)
    theirs[history.posts["creator"][asked]] = True
    known = np.flatnonzero(theirs[history.posts["creator"]] & ~np.isnan(views))
    level = views[known] - curve[_ages(history, known)]
    at = np.searchsorted(known, asked)
    lifts[asked] = level[at] - _trailing_median(history.posts["creator"][known], level, at)
    return lifts


def creator_medians(history: History) -> Floats:
    """Median log views of every creator's posts, shape (c,); NaN where no views are known."""
    views = np.log1p(history.posts["view_count"])
    known = ~np.isnan(views)
    return grouped_median(history.posts["creator"][known], views[known], len(history.creators))


def age_curve(history: History, medians: Floats) -> Floats:
    """How far posts of an age lie above their creator's median, by bucket of age; 0 where an age has no posts.

    Args:
        history: what was known.
        medians: its `creator_medians`.
    """
    known = np.flatnonzero(~np.isnan(history.posts["view_count"]))
    above = np.log1p(history.posts["view_count"][known]) - medians[history.posts["creator"][known]]
    bucket = _ages(history, known)
    curve = np.zeros(len(AGE_EDGES_DAYS) + 1)
    for number in np.unique(bucket):
        curve[number] = _middle(above[bucket == number])
    return curve


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


def _ages(history: History, posts: Ints) -> Ints:
    """The bucket of each post's age when its views were counted."""
    age = history.posts["counted"][posts] - history.posts["created"][posts]
    return np.asarray(np.searchsorted(AGE_EDGES_DAYS * DAY, age))


def _middle(values: Floats) -> float:
    """The median, as `grouped_median` takes it."""
    low, high = (len(values) - 1) // 2, len(values) // 2
    parted = np.partition(values, (low, high))
    return float((parted[low] + parted[high]) / 2)


def _trailing_median(creator: Ints, level: Floats, at: Ints) -> Floats:
    """Median of the creator's up to `BASELINE_POSTS` levels before each post in `at`; posts come oldest first."""
    order = np.argsort(creator, kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    start = np.concatenate([[0], np.cumsum(np.bincount(creator))])[creator[at]]
    earlier = place[at][:, None] - np.arange(1, BASELINE_POSTS + 1)
    levels = np.where(earlier >= start[:, None], level[order][np.maximum(earlier, 0)], np.nan)
    size = np.minimum(place[at] - start, BASELINE_POSTS)
    levels.sort(axis=1)  # what is missing goes last
    every, half = np.arange(len(at)), np.maximum(size - 1, 0) // 2
    medians = (levels[every, half] + levels[every, np.minimum(size // 2, BASELINE_POSTS - 1)]) / 2
    return np.where(size >= LEAST_BASELINE, medians, np.nan)
