"""Compiled loops over every trend of a market; importing this module imports numba, so only what runs them should."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from models.interactions import Floats, Ints
from models.kernels import compiled
from models.mask_tables import frozen


def sum_of_rows(matrix: Any, words: Ints, weights: Floats) -> Floats:
    """The weighted sum of some rows of a sparse matrix, added in the order of `words` as scipy's product does.

    Args:
        matrix: `scipy.sparse.csr_matrix`, shape (v, n).
        words: rows of it, shape (w,).
        weights: of each, shape (w,).

    Returns:
        Shape (n,).

    Raises:
        IndexError: the matrix has no such row.
    """
    total = np.zeros(matrix.shape[1])
    words, weights = np.ascontiguousarray(words, np.int64), np.ascontiguousarray(weights, np.float64)
    indptr, indices, data = frozen(matrix.indptr), frozen(matrix.indices), frozen(matrix.data)
    if not _add_rows(indptr, indices, data, frozen(words), frozen(weights), total):
        raise IndexError(f"rows must be 0 to {matrix.shape[0] - 1}")
    return total


def best_rows(scores: Floats, allowed: npt.NDArray[np.bool_], most: int) -> Ints:
    """The rows of the `most` highest finite scores among the allowed ones, best first, ties by row, shape (≤ most,).

    Args:
        scores: shape (n,).
        allowed: shape (n,).
        most: how many at most.
    """
    if scores.shape != allowed.shape:
        raise ValueError(f"{scores.shape} scores, but {allowed.shape} are said to be allowed or not")
    heap = np.empty(max(min(most, len(scores)), 0), np.int64)
    scores, allowed = np.ascontiguousarray(scores, np.float64), np.ascontiguousarray(allowed, np.bool_)
    return heap[: _best_rows(frozen(scores), frozen(allowed), heap)]


@compiled
def _add_rows(
    indptr: npt.NDArray[Any], indices: npt.NDArray[Any], data: Floats, words: Ints, weights: Floats, total: Floats
) -> bool:
    for i in range(len(words)):
        word, weight = words[i], weights[i]
        if not 0 <= word < len(indptr) - 1:
            return False
        for at in range(indptr[word], indptr[word + 1]):
            total[indices[at]] += weight * data[at]
    return True


@compiled
def _best_rows(scores: Floats, allowed: npt.NDArray[np.bool_], heap: Ints) -> int:
    """Fill `heap` with the best rows, best first; how many there are."""
    size = 0
    for row in range(len(scores)):
        if not allowed[row] or not np.isfinite(scores[row]):
            continue
        if size < len(heap):
            heap[size] = row
            size += 1
            if size == len(heap):
                for top in range(size // 2 - 1, -1, -1):
                    _sink(scores, heap, top, size)
        elif size and scores[row] > scores[heap[0]]:  # an equal one comes later, and so loses to what is there
            heap[0] = row
            _sink(scores, heap, 0, size)
    if size < len(heap):
        for top in range(size // 2 - 1, -1, -1):
            _sink(scores, heap, top, size)
    for end in range(size - 1, 0, -1):
        heap[0], heap[end] = heap[end], heap[0]
        _sink(scores, heap, 0, end)
    return size


@compiled
def _sink(scores: Floats, heap: Ints, top: int, size: int) -> None:
    """Restore the order below `top`: no row is better than the two below it."""
    row = heap[top]
    while True:
        child = 2 * top + 1
        if child >= size:
            break
        if child + 1 < size and _worse(scores, heap[child + 1], heap[child]):
            child += 1
        if not _worse(scores, heap[child], row):
            break
        heap[top] = heap[child]
        top = child
    heap[top] = row


@compiled
def _worse(scores: Floats, one: int, other: int) -> bool:
    return scores[one] < scores[other] or (scores[one] == scores[other] and one > other)
