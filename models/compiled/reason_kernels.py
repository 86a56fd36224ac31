"""The compiled loops of what is told of each item; importing this module imports numba."""

from __future__ import annotations

import numpy as np

from models.compiled.lines import compiled
from models.compiled.mask_kernels import find_leaves
from models.compiled.mask_tables import ForestArrays
from models.compiled.path_kernels import Singles, add_ways
from models.interactions import Floats, Ints

WayArrays = tuple[Ints, Singles, int]


@compiled
def explain_rows(
    numeric: Floats, of_trends: Floats, profile: Floats, rows: Ints, cross: Floats, pairs: int, forest: ForestArrays,
    ways: WayArrays, scale: float, inputs: int, usual: Floats, weights: Floats, roles: Ints, reads: Ints,
    bounds: Floats, sigmoid: Floats, raw: Floats, most: int,
) -> tuple[bool, Floats, Ints, Floats]:  # fmt: skip
    """See `models.explain.explain`: features, leaves, what the ways to them add, and what `tell` says of it.

    Args:
        numeric, of_trends: of the market, shapes (n, ·).
        profile: of the creator, shape (1, c).
        rows: of the market, shape (m,).
        cross: of those rows, shape (m, ·); the first `pairs` columns come before the trend's.
        forest: of trees that share blocks.
        ways: see `models.compiled.path_kernels.add_ways`.
        scale: of the trees' contributions.
        inputs: where the linear inputs begin among the features.
        usual, weights: of the linear inputs, shape (i,).
        roles, reads, bounds, sigmoid, raw, most: see `tell`.

    Returns:
        Whether all rows are of the market, and what `tell` returns.
    """
    a = numeric.shape[1]
    b = a + profile.shape[1]
    c = b + pairs
    d = c + of_trends.shape[1]
    features = np.empty((len(rows), d + cross.shape[1] - pairs))
    total = np.zeros(features.shape)
    trend, own, crossed, first_tree, _, _, kind = forest
    first, steps, lines = ways
    leaves = np.empty((len(rows), len(first)), np.uint16)
    found = find_leaves(profile, rows, cross, trend, own, crossed, first_tree, kind, leaves)
    if found:
        for i in range(len(rows)):
            features[i, :a] = numeric[rows[i]]
            features[i, a:b] = profile[0]
            features[i, b:c] = cross[i, :pairs]
            features[i, c:d] = of_trends[rows[i]]
            features[i, d:] = cross[i, pairs:]
        add_ways(leaves, first, steps, lines, scale, total)
        for i in range(len(rows)):
            for j in range(len(usual)):
                total[i, inputs + j] += (features[i, inputs + j] - usual[j]) * weights[j]
    numbers, phrases, values = tell(features, total, roles, reads, bounds, sigmoid, raw, most)
    return found, numbers, phrases, values


@compiled
def tell(
    features: Floats, contributions: Floats, roles: Ints, reads: Ints, bounds: Floats, sigmoid: Floats, raw: Floats,
    most: int,
) -> tuple[Floats, Ints, Floats]:  # fmt: skip
    """See `models.explain.explained`.

    Args:
        features, contributions: shape (m, f).
        roles: of each feature its side (0 neither, 1 the creator's, 2 the trend's), and its phrase or −1, shape (f, 2).
        reads: of each phrase the feature that decides, shape (p,).
        bounds: between which that one has to lie, both left out, shape (p, 2).
        sigmoid: slope and intercept of the probability.
        raw: scores, shape (m,).
        most: phrases a row.

    Returns:
        Probability to 6 digits, fit and heat to 4, shape (m, 3); phrases, −1 where there is none, shape (m, most); and
        the numbers that these read, shape (m, most).
    """
    m = len(features)
    numbers = np.empty((m, 3))
    phrases = np.full((m, most), -1, np.int64)
    values = np.zeros((m, most))
    strengths, sides = np.empty(len(reads)), np.empty(3)
    for i in range(m):
        strengths[:] = 0.0
        sides[:] = 0.0
        for j in range(len(roles)):
            added = contributions[i, j]
            sides[roles[j, 0]] += added
            phrase = roles[j, 1]
            if phrase >= 0 and added > strengths[phrase]:
                strengths[phrase] = added
        numbers[i, 0] = np.rint(1.0 / (1.0 + np.exp(-(sigmoid[0] * raw[i] + sigmoid[1]))) * 1e6) / 1e6
        for side in (1, 2):
            numbers[i, side] = np.rint(1.0 / (1.0 + np.exp(-sides[side])) * 1e4) / 1e4
        for place in range(most):
            best = -1
            for phrase in range(len(reads)):
                x = features[i, reads[phrase]]
                speaks = strengths[phrase] > 0.0 and bounds[phrase, 0] < x < bounds[phrase, 1]
                if speaks and (best < 0 or strengths[phrase] > strengths[best]):
                    best = phrase
            if best < 0:
                break
            phrases[i, place], values[i, place] = best, features[i, reads[best]]
            strengths[best] = 0.0
    return numbers, phrases, values
