"""Compiled loops that say what features add to the scores of trees; importing this module imports numba."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from models.compiled.forest_dump import NAN_LEFT, ZERO_APART, ZERO_LEFT
from models.compiled.lines import compiled, prefetch
from models.interactions import Floats, Ints

Small = npt.NDArray[np.uint16]

STEPS: Final = 4
"""In one cache line."""
SUMS: Final = 4
"""Of each feature: an addition waits for the one before it, and neighbouring trees look at the same features."""


@compiled
def add_paths(leaves: Small, first: Ints, starts: Ints, steps: Floats, scale: float, out: Floats) -> None:
    """Credit features with what the ways to some leaves add.

    Args:
        leaves: of every row in each tree, counted from the left, shape (m, t).
        first: number of each tree's first leaf among all, shape (t,).
        starts: of each leaf's steps, shape (all leaves + 1,).
        steps: number of a feature, and what it adds, one step after another, shape (k, 2).
        scale: of every contribution.
        out: added to, shape (m, f).
    """
    trees = leaves.shape[1]
    ways = np.empty(trees, np.int64)
    for i in range(len(leaves)):  # the ways lie far apart: all are on their way to the cache before the first is needed
        for tree in range(trees):
            ways[tree] = first[tree] + leaves[i, tree]
            prefetch(starts, ways[tree])
        for tree in range(trees):
            for k in range(starts[ways[tree]], starts[ways[tree] + 1], STEPS):
                prefetch(steps, 2 * k)
        sums = np.zeros((SUMS, out.shape[1]))
        for tree in range(trees):
            of_tree = sums[tree % SUMS]
            for k in range(starts[ways[tree]], starts[ways[tree] + 1]):
                of_tree[np.int64(steps[k, 0])] += steps[k, 1]
        for j in range(sums.shape[1]):
            for of_trees in sums:
                out[i, j] += scale * of_trees[j]


@compiled
def add_contributions(
    features: Floats, roots: Ints, splits: npt.NDArray[np.int32], levels: Floats, zero: float, scale: float, out: Floats
) -> None:
    """Walk every row down every tree, and credit each split's feature with how it moves the expected value.

    Args:
        features: shape (m, f).
        roots: node at which each tree begins, shape (t,).
        splits: of each node the feature (−1 at a leaf), the children to the left and right, and `NAN_LEFT`,
            `ZERO_APART` and `ZERO_LEFT` where they hold, shape (n, 4).
        levels: of each node the threshold and the expected value, shape (n, 2).
        zero: what is no further from 0 than this counts as 0.
        scale: of every contribution.
        out: added to, shape (m, f).
    """
    for root in roots:  # the rows of one tree after another: its nodes stay near
        for i in range(len(features)):
            node = root
            while splits[node, 0] >= 0:
                feature, left, right, how = splits[node]
                x = features[i, feature]
                if np.isnan(x):
                    goes_left = how & NAN_LEFT != 0
                elif how & ZERO_APART != 0 and -zero <= x <= zero:
                    goes_left = how & ZERO_LEFT != 0
                else:
                    goes_left = x <= levels[node, 0]
                child = left if goes_left else right
                out[i, feature] += scale * (levels[child, 1] - levels[node, 1])
                node = child
