"""Taste: a small vector space in which trends used by the same creators lie close, the same space on every day."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Final

import numpy as np
import scipy.sparse as sp

from features.history import Floats, Ints

TASTE_DIMENSIONS: Final = 32
TASTE_NEIGHBOURS: Final = 50
"""How many co-used trends a trend's direction is mixed with."""


@lru_cache(maxsize=1_000_000)
def _direction(key: str) -> Floats:
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little")
    vector = np.random.default_rng(seed).standard_normal(TASTE_DIMENSIONS)
    return np.asarray(vector / np.linalg.norm(vector))


def directions(keys: list[str]) -> Floats:
    """The fixed random direction of every trend, drawn from its name, shape (n, dimensions)."""
    return np.stack([_direction(key) for key in keys]) if keys else np.zeros((0, TASTE_DIMENSIONS))


def trend_tastes(
    used: sp.csr_matrix, keys: list[str], of: Ints | None = None, near: sp.csr_matrix | None = None
) -> Floats:
    """Unit vectors of trends, shape (n, dimensions), by random indexing (Sahlgren, 2005).

    A trend's vector is its own direction plus its neighbours' by cosine of co-use, so that trends of one taste
    point the same way and no fit has to be aligned with yesterday's.

    Args:
        used: creators × trends, 1 where used.
        keys: trend keys in column order.
        of: the columns whose vectors are wanted, ascending; all of them where not given.
        near: their `nearest_by_cosine`, `TASTE_NEIGHBOURS` of them, where that is known already.
    """
    of = np.arange(used.shape[1]) if of is None else of
    near = nearest_by_cosine(used, TASTE_NEIGHBOURS, of) if near is None else near
    needed = np.union1d(near.indices, of)
    base = directions([keys[column] for column in needed])
    place = np.zeros(near.shape[1], np.int64)
    place[needed] = np.arange(len(needed))
    near = sp.csr_matrix((near.data, place[near.indices], near.indptr), (near.shape[0], len(needed)))
    vectors = base[place[of]] + np.asarray(near @ base)
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))


def nearest_by_cosine(used: sp.csr_matrix, top: int, of: Ints | None = None) -> sp.csr_matrix:
    """The `top` most co-used columns by cosine (ties by column number) of some columns.

    Args:
        used: creators × trends, 1 where used.
        top: how many neighbours a trend may have.
        of: the columns whose neighbours are wanted, ascending; all of them where not given.

    Returns:
        Shape (len(of), n), columns ascending in each row; a column is no neighbour of itself.
    """
    wanted = used if of is None else used[:, of]
    together = (wanted.T @ used).tocsr()
    row = np.repeat(np.arange(together.shape[0]), np.diff(together.indptr))
    column = together.indices
    apart = column != (row if of is None else of[row])
    row, column, counts = row[apart], column[apart], together.data[apart]
    scale = 1 / np.sqrt(np.maximum(np.bincount(used.indices, used.data**2, minlength=used.shape[1]), 1e-12))
    cosine = (scale if of is None else scale[of])[row] * counts * scale[column]
    return strongest_of_rows(row, column, cosine, top, (together.shape[0], used.shape[1]))


def strongest_of_rows(row: Ints, column: Ints, values: Floats, top: int, shape: tuple[int, int]) -> sp.csr_matrix:
    """The `top` largest values of each row, ties by column number, as a matrix with sorted columns."""
    order = np.lexsort((column, -values, row))
    start = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=shape[0]))])
    kept = order[np.arange(len(order)) - start[row[order]] < top]
    matrix = sp.csr_matrix((values[kept], (row[kept], column[kept])), shape)
    matrix.sort_indices()
    return matrix
