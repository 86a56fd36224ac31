"""Compiled loops over every trend: what the linear stage says of one creator; importing this module imports numba."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.compiled.lines import compiled, logarithm, reduced
from models.interactions import Floats, Ints

Bools = npt.NDArray[np.bool_]

TILE: Final = 1024
"""Trends that are projected together."""

LOWEST: Final = -30.0
"""What the trees see of a linear score is not further below the best."""


@compiled
def place(words: Ints, vectors: Floats, out: Floats) -> bool:
    """The unit vector of a history, and whether it is anywhere.

    Args:
        words: columns of the vocabulary that speak for the creator, ascending.
        vectors: of the vocabulary, shape (v, d).
        out: written, shape (d,).
    """
    out[:] = 0.0
    for word in words:
        for j in range(len(out)):
            out[j] += vectors[word, j]
    squares = 0.0
    for j in range(len(out)):
        squares += out[j] * out[j]
    length = max(np.sqrt(squares), 1e-9)
    for j in range(len(out)):
        out[j] /= length
    return squares > 0.0


@compiled
def nearest(vector: Floats, centres: Floats, lengths: Floats) -> int:
    """The centre that a vector is nearest to; ties by row.

    Args:
        vector: shape (d,).
        centres: shape (g, d).
        lengths: their squared lengths, shape (g,).
    """
    best, least = 0, np.inf
    for group in range(len(centres)):
        along = 0.0
        for j in range(len(vector)):
            along += vector[j] * centres[group, j]
        if lengths[group] - 2 * along < least:
            best, least = group, lengths[group] - 2 * along
    return best


@compiled
def approach(vector: Floats, market: npt.NDArray[Any], units: Floats, recommendable: Bools, near: Floats) -> float:
    """How near a creator is to every trend, and 1 ÷ the nearness of the nearest recommendable one.

    Args:
        vector: of the creator, shape (d,).
        market, units: see `models.generators.forms.Latent`, shapes (d, n) and (n,).
        near: written, shape (n,).
    """
    for begin in range(0, len(near), TILE):
        here = near[begin : begin + TILE]
        _project(vector, market, begin, here)
        for i in range(len(here)):
            here[i] *= units[begin + i]
    return 1 / _best(near, recommendable)


@compiled
def as_inputs(near: Floats, scale: float, offset: float, recommendable: Bools) -> float:
    """Turn nearness into an input of the linear stage, in place, and add up what is recommendable."""
    for i in range(len(near)):
        near[i] = logarithm(max(near[i], 0.0) * scale + offset)
    return _total(near, recommendable)


@compiled
def weigh(
    base: Floats,
    near: Floats,
    of_cluster: Floats,
    sounds: Bools,
    adopters: Floats,
    match: Floats,
    amounts: Floats,
    every: float,
    allowed: Bools,
    scores: Floats,
) -> None:
    """The scores of a creator to whom no sparse generator proposes anything.

    Args:
        base: what the trend side adds, shape (n,).
        near, of_cluster, sounds, adopters, match: what else a score is made of, shape (n,) each.
        amounts: their weights for this creator, shape (5,).
        every: added to every score.
        allowed: shape (n,).
        scores: written, −inf where not allowed or unknown, shape (n,).
    """
    a, b, c, d, e = amounts[0], amounts[1], amounts[2], amounts[3], amounts[4]
    for i in range(len(scores)):
        score = base[i] + a * near[i] + b * of_cluster[i] + c * sounds[i] + d * adopters[i] + e * match[i] + every
        scores[i] = score if allowed[i] and score - score == 0.0 else -np.inf


@compiled
def _project(vector: Floats, table: npt.NDArray[Any], begin: int, out: Floats) -> None:
    """vector · table for some of its columns, shapes (d,), (d, n) and (m,)."""
    end = begin + len(out)
    out[:] = 0.0
    j = 0
    while j + 8 <= len(vector):  # eight at a time, because what has been added lies in memory in between
        x, y, z, w = vector[j], vector[j + 1], vector[j + 2], vector[j + 3]
        a, b, c, d = table[j, begin:end], table[j + 1, begin:end], table[j + 2, begin:end], table[j + 3, begin:end]
        k, p, q, r = vector[j + 4], vector[j + 5], vector[j + 6], vector[j + 7]
        e, f, g, h = table[j + 4, begin:end], table[j + 5, begin:end], table[j + 6, begin:end], table[j + 7, begin:end]
        for i in range(len(out)):
            near = x * a[i] + y * b[i] + z * c[i] + w * d[i]
            out[i] += near + (k * e[i] + p * f[i] + q * g[i] + r * h[i])
        j += 8
    while j < len(vector):
        row = table[j, begin:end]
        for i in range(len(out)):
            out[i] += vector[j] * row[i]
        j += 1


@reduced
def _best(scores: Floats, recommendable: Bools) -> float:
    best = 1e-12
    for i in range(len(scores)):
        best = max(best, scores[i] if recommendable[i] else 0.0)
    return best


@reduced
def _total(inputs: Floats, recommendable: Bools) -> float:
    total = 0.0
    for i in range(len(inputs)):
        total += inputs[i] if recommendable[i] else 0.0
    return total


@compiled
def fill_pairs(
    chosen: Ints,
    scores: Floats,
    columns: Ints,
    near: Floats,
    of_cluster: Floats,
    sounds: Bools,
    adopters: Floats,
    match: Floats,
    shares: Floats,
    followers: Floats,
    creator: Floats,
    region: int,
    pairs: Floats,
) -> None:
    """What else the trees see of a creator and some rows together; see `models.compiled.prepared.CROSS`.

    Args:
        chosen: rows of the market, best first, shape (m,).
        scores: of the linear stage, shape (m,).
        columns: of the inputs for nearness, cluster and walk, and the first of the others.
        near, of_cluster, sounds, adopters, match, followers: of all trends, shape (n,).
        shares: of the regions, shape (n, r).
        creator: lean to sounds, knowledge, followers.
        region: column of `shares`, −1 where it is unknown.
        pairs: written but for the sparse generators' inputs, shape (m, c).
    """
    near_at, cluster_at, walk_at, others = columns[0], columns[1], columns[2], columns[3]
    lean, known, own = creator[0], creator[1], creator[2]
    place = 0
    for k in range(len(chosen)):
        row, above = chosen[k], scores[k] - scores[0]
        if scores[k] != scores[place]:
            place = k
        pairs[k, near_at] = near[row]
        pairs[k, cluster_at] = of_cluster[row]
        pairs[k, others] = sounds[row] * lean
        pairs[k, others + 1] = pairs[k, walk_at] * known
        pairs[k, others + 2] = adopters[row] * known
        pairs[k, others + 3] = match[row]
        pairs[k, others + 4] = shares[row, region] if region >= 0 else np.nan
        pairs[k, others + 5] = own - followers[row]
        pairs[k, others + 6] = max(above, LOWEST)
        pairs[k, others + 7] = place
