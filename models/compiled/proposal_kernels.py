"""Compiled loops over what sparse generators propose to one creator; importing this module imports numba.

Most generators propose few trends, and what one does not propose all has the same logarithm: only what any of them
proposes is touched, and nothing of the market's size is allocated.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.compiled.lines import compiled, logarithm, prefetch, reduced
from models.interactions import Floats, Ints

Bools = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.uint32]

ENTRIES: Final = 16
"""Of a generator's row in one cache line."""


@compiled
def propose(
    words: Ints,
    indptr: tuple[npt.NDArray[Any], ...],
    indices: tuple[Rows, ...],
    data: tuple[Floats, ...],
    weights: Floats,
    recommendable: Bools,
    offset: float,
    sums: Floats,
    rows: Rows,
    logs: Floats,
    counts: Ints,
    totals: Floats,
    scores: Floats,
) -> None:
    """What every sparse generator proposes, and what that adds to the scores of a creator who is proposed nothing.

    Args:
        words: columns of the vocabulary that speak for the creator, ascending.
        indptr, indices, data: the generators' compressed rows, values above 0.
        weights: of the generators, shape (g,).
        offset: added to a score ÷ the best recommendable one.
        sums: scratch, zeros before and after, shape (n,).
        rows: written: the trends that each generator proposes, shape (g, n + 1).
        logs: written: by how much that raises its input above that of a trend it does not propose, shape (g, n).
        counts: written: how many those are, shape (g,).
        totals: written: the sums of `logs` over the recommendable trends, shape (g,).
        scores: added to, shape (n,).
    """
    for g in range(len(indptr)):
        counts[g] = _gather(words, indptr[g], indices[g], data[g], sums, rows[g])
        proposed, raised = rows[g, : counts[g]], logs[g, : counts[g]]
        best = _take(proposed, recommendable, sums, raised)
        totals[g] = _add(proposed, raised, best, weights[g], recommendable, offset, scores)


@compiled
def _gather(words: Ints, starts: npt.NDArray[Any], columns: Rows, values: Floats, sums: Floats, rows: Rows) -> np.int64:
    """Add up one generator's proposals in the order in which scipy adds them; which rows, and how many there are."""
    count = np.uint64(0)
    for w in range(len(words)):
        begin, end = starts[words[w]], starts[words[w] + 1]
        after = words[min(w + 1, len(words) - 1)]
        for i in range(starts[after], starts[after + 1], ENTRIES):
            prefetch(columns, i)
            prefetch(values, i)
        here, of_word = columns[begin:end], values[begin:end]
        for i in range(len(here)):
            at = here[i]
            before = sums[at]
            rows[count] = at
            count += np.uint64(before == 0.0)
            sums[at] = before + of_word[i]
    return np.int64(count)


@compiled
def _take(proposed: Rows, recommendable: Bools, sums: Floats, taken: Floats) -> float:
    """Move the sums of some rows together, leave zeros behind, and say which is the best recommendable one."""
    best = 1e-12
    for k in range(len(proposed)):
        at = proposed[k]
        score = sums[at]
        sums[at], taken[k] = 0.0, score
        if recommendable[at] and score > best:
            best = score
    return best


@compiled
def _add(
    proposed: Rows, raised: Floats, best: float, weight: float, recommendable: Bools, offset: float, scores: Floats
) -> float:
    floor, scale = logarithm(offset), 1 / best
    for k in range(len(raised)):
        raised[k] = logarithm(raised[k] * scale + offset) - floor
    for k in range(len(raised)):
        scores[proposed[k]] += weight * raised[k]
    return _total_of(raised, proposed, recommendable)


@compiled
def fill_proposed(
    chosen: Ints, proposed: Rows, logs: Floats, counts: Ints, places: Ints, offset: float, spots: Rows, inputs: Floats
) -> None:
    """The sparse generators' inputs of some rows.

    Args:
        chosen: different rows of the market, shape (m,).
        proposed, logs, counts: see `propose`.
        places: column of each generator, shape (g,).
        spots: scratch, zeros before and after, shape (n,).
        inputs: written from its second row on, the first one takes what nobody asked for, shape (m + 1, at least the
            generators' columns).
    """
    floor = logarithm(offset)
    for k in range(len(chosen)):
        spots[chosen[k]] = np.uint32(k + 1)
        for g in range(len(places)):
            inputs[k + 1, places[g]] = floor
    for g in range(len(places)):
        column = places[g]
        for i in range(counts[g]):
            inputs[spots[proposed[g, i]], column] = floor + logs[g, i]
    for row in chosen:
        spots[row] = np.uint32(0)


@reduced
def _total_of(inputs: Floats, rows: Rows, recommendable: Bools) -> float:
    total = 0.0
    for k in range(len(rows)):
        total += inputs[k] if recommendable[rows[k]] else 0.0
    return total
