"""Compiled loops of the linear stage and of explanations; importing this module imports numba.

They compute what `models.pairs` says of one creator, without a table of every trend: most generators propose few
trends, and what they do not propose all has the same logarithm.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from models.interactions import Floats, Ints
from models.kernels import compiled

Bools = npt.NDArray[np.bool_]


@compiled
def propose(
    words: Ints, indptr: Ints, indices: npt.NDArray[Any], data: Floats, vocabulary: int, scores: Floats, seen: Bools
) -> None:
    """The proposals of every sparse generator, in the order in which scipy adds them.

    Args:
        words: columns of the vocabulary that speak for the creator, ascending.
        indptr, indices, data: the generators' rows, one generator after another, row g × vocabulary + word.
        scores: written, shape (g, n), zeros before.
        seen: set where any generator proposes, shape (n,).
    """
    for generator in range(len(scores)):
        row = scores[generator]
        for word in words:
            at = generator * vocabulary + word
            for i in range(indptr[at], indptr[at + 1]):
                row[indices[i]] += data[i]
                seen[indices[i]] = True


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
def squash(scores: Floats, recommendable: Bools, offset: float, places: Ints, inputs: Floats) -> None:
    """log(score ÷ the best recommendable one + offset) of every generator.

    Args:
        scores: shape (g, n).
        places: row of `inputs` that each generator fills, shape (g,).
        inputs: written, shape (at least g, n).
    """
    least = np.log(offset)
    for generator in range(len(scores)):
        row, written, best = scores[generator], inputs[places[generator]], 0.0
        for i in range(len(row)):
            if recommendable[i] and row[i] > best:
                best = row[i]
        best = max(best, 1e-12)
        for i in range(len(row)):
            written[i] = np.log(row[i] / best + offset) if row[i] != 0.0 else least


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
    features: Floats,
    roots: Ints,
    feature: Ints,
    threshold: Floats,
    left: Ints,
    right: Ints,
    nan_left: Bools,
    zero_apart: Bools,
    zero_left: Bools,
    value: Floats,
    zero: float,
    scale: float,
    out: Floats,
) -> None:
    """Walk every row down every tree, and credit each split's feature with how it moves the expected value.

    Args:
        features: shape (m, f).
        roots: node at which each tree begins, shape (t,).
        feature: of each node's split, −1 at a leaf; the other columns of the nodes likewise.
        value: expected value at each node.
        zero: what is no further from 0 than this counts as 0.
        scale: of every contribution.
        out: added to, shape (m, f).
    """
    for i in range(len(features)):
        for root in roots:
            node = root
            while feature[node] >= 0:
                x = features[i, feature[node]]
                if np.isnan(x):
                    goes_left = nan_left[node]
                elif zero_apart[node] and -zero <= x <= zero:
                    goes_left = zero_left[node]
                else:
                    goes_left = x <= threshold[node]
                child = left[node] if goes_left else right[node]
                out[i, feature[node]] += scale * (value[child] - value[node])
                node = child
