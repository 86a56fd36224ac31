"""Compiled loops of the linear stage and of explanations; importing this module imports numba.

They compute what `models.pairs` says of one creator, without a table of every trend: most generators propose few
trends, and what they do not propose all has the same logarithm.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from models.forest_dump import NAN_LEFT, ZERO_APART, ZERO_LEFT
from models.interactions import Floats, Ints
from models.kernels import compiled

Bools = npt.NDArray[np.bool_]


@compiled
def propose(
    words: Ints,
    indptr: tuple[npt.NDArray[Any], ...],
    indices: tuple[npt.NDArray[Any], ...],
    data: tuple[Floats, ...],
    scores: Floats,
    seen: Bools,
) -> None:
    """The proposals of every sparse generator, in the order in which scipy adds them.

    Args:
        words: columns of the vocabulary that speak for the creator, ascending.
        indptr, indices, data: the generators' compressed rows.
        scores: written, shape (g, n), zeros before.
        seen: set where any generator proposes, shape (n,).
    """
    for generator in range(len(scores)):
        row, starts, columns, values = scores[generator], indptr[generator], indices[generator], data[generator]
        for word in words:
            for i in range(starts[word], starts[word + 1]):
                row[columns[i]] += values[i]
                seen[columns[i]] = True


@compiled
def place(words: Ints, vectors: Floats, out: Floats) -> None:
    """The sum of a history's vectors, added in the order of its words.

    Args:
        vectors: of the vocabulary, shape (v, d).
        out: written, shape (d,), zeros before.
    """
    for word in words:
        for j in range(len(out)):
            out[j] += vectors[word, j]


@compiled
def project(vector: Floats, table: Floats, out: Floats) -> None:
    """vector · table, added in the order of the dimensions as scipy's product does.

    Args:
        vector: shape (d,).
        table: shape (d, n).
        out: written, shape (n,), zeros before.
    """
    for j in range(len(vector)):
        weight = vector[j]
        if weight != 0.0:
            for i in range(len(out)):
                out[i] += weight * table[j, i]


@compiled
def level(scores: Floats, recommendable: Bools, offset: float, places: Ints, levels: Floats) -> None:
    """score ÷ the best recommendable one + offset of every generator: what the inputs are the logarithms of.

    Args:
        scores: shape (g, n).
        places: row of `levels` that each generator fills, shape (g,).
        levels: written, shape (at least g, n).
    """
    for generator in range(len(scores)):
        row, written, best = scores[generator], levels[places[generator]], 0.0
        for i in range(len(row)):
            if recommendable[i] and row[i] > best:
                best = row[i]
        best = max(best, 1e-12)
        for i in range(len(row)):
            written[i] = row[i] / best + offset


@compiled
def weigh(
    inputs: Floats, weights: Floats, base: Floats, columns: Floats, amounts: Floats, allowed: Bools, scores: Floats
) -> None:
    """The linear stage's score of every trend, −inf where it is not allowed.

    Args:
        inputs: of the generators, shape (g, n).
        weights: of the generators, shape (g,).
        base: what the trend side adds, shape (n,).
        columns: trend-side columns that the creator weighs, shape (c, n).
        amounts: their weights for this creator, shape (c,).
        scores: written, shape (n,).
    """
    for i in range(len(scores)):
        scores[i] = base[i] if allowed[i] else -np.inf
    for column in range(len(columns)):
        amount = amounts[column]
        if amount != 0.0:
            for i in range(len(scores)):
                scores[i] += amount * columns[column, i]
    for generator in range(len(inputs)):
        weight = weights[generator]
        for i in range(len(scores)):
            scores[i] += weight * inputs[generator, i]


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
