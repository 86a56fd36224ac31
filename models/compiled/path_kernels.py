"""Compiled loops that say what features add to the scores of trees; importing this module imports numba."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from models.compiled.forest_dump import NAN_LEFT, ZERO_APART, ZERO_LEFT
from models.compiled.lines import compiled, prefetch
from models.interactions import Floats, Ints

Small = npt.NDArray[np.uint16]
Singles = npt.NDArray[np.float32]

STEPS: Final = 8
"""In one cache line."""
AHEAD: Final = 16
"""How many trees before their use the ways are asked for: they lie far apart."""
SUMS: Final = 4
"""Of each feature: an addition waits for the one before it, and neighbouring trees look at the same features."""


@compiled
def add_ways(leaves: Small, first: Ints, ways: Singles, lines: int, scale: float, out: Floats) -> None:
    """Credit features with what the ways to some leaves add.

    Args:
        leaves: of every row in each tree, counted from the left, shape (m, t).
        first: number of each tree's first leaf among all, shape (t,).
        ways: see `models.compiled.contributions.Ways`, shape (all leaves × lines, STEPS, 2).
        lines: of each leaf.
        scale: of every contribution.
        out: added to, shape (m, f).
    """
    trees = leaves.shape[1]
    sums, at = np.empty((SUMS, out.shape[1] + STEPS)), np.empty(trees + AHEAD, np.int64)
    for i in range(len(leaves)):
        for tree in range(trees + AHEAD):
            known = min(tree, trees - 1)
            at[tree] = lines * (first[known] + leaves[i, known])
        for tree in range(AHEAD):
            prefetch(ways, at[tree] * 2 * STEPS)
        sums[:] = 0.0
        for tree in range(trees):
            prefetch(ways, at[tree + AHEAD] * 2 * STEPS)
            _add_way(ways, at[tree], sums[tree % SUMS])
        for j in range(out.shape[1]):
            total = 0.0
            for k in range(SUMS):
                total += sums[k, j]
            out[i, j] += scale * total


@compiled
def _add_way(ways: Singles, line: int, sums: Floats) -> None:
    """All steps of a line whatever they are: a branch that nobody can foretell takes longer than what it saves."""
    while True:
        steps = ways[line]
        for k in range(STEPS - 1):
            sums[np.uint32(steps[k, 0])] += np.float64(steps[k, 1])
        feature, added = steps[STEPS - 1, 0], np.float64(steps[STEPS - 1, 1])
        if feature >= 0:
            sums[np.uint32(feature)] += added
            return
        sums[np.uint32(-1 - feature)] += added
        line += 1


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
