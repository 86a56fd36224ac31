"""Taste: a small vector space in which trends used by the same creators lie close, the same space on every day."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Final

import numpy as np
import scipy.sparse as sp

from features.history import Floats

TASTE_DIMENSIONS: Final = 32


@lru_cache(maxsize=1_000_000)
def _direction(key: str) -> Floats:
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little")
    vector = np.random.default_rng(seed).standard_normal(TASTE_DIMENSIONS)
    return np.asarray(vector / np.linalg.norm(vector))


def directions(keys: list[str]) -> Floats:
    """The fixed random direction of every trend, drawn from its name, shape (n, dimensions)."""
    return np.stack([_direction(key) for key in keys]) if keys else np.zeros((0, TASTE_DIMENSIONS))


def trend_tastes(used: sp.csr_matrix, keys: list[str], neighbours: int = 50) -> Floats:
    """Unit vectors of trends, shape (n, dimensions), by random indexing (Sahlgren, 2005).

    A trend's vector is its own direction plus its neighbours' by cosine of co-use, so that trends of one taste
    point the same way and no fit has to be aligned with yesterday's.

    Args:
        used: creators × trends, 1 where used.
        keys: trend keys in column order.
        neighbours: how many co-used trends count.
    """
    base = directions(keys)
    near = nearest_by_cosine(used, neighbours)
    near.sort_indices()
    vectors = base + np.asarray(near @ base)
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))


def nearest_by_cosine(used: sp.csr_matrix, top: int) -> sp.csr_matrix:
    """The `top` most co-used columns of each column by cosine (ties by column number), shape (n, n)."""
    together = (used.T @ used).tocsr()
    together.setdiag(0)
    together.eliminate_zeros()
    together.sort_indices()
    scale = 1 / np.sqrt(np.maximum(np.asarray(used.multiply(used).sum(axis=0)).ravel(), 1e-12))
    together = (sp.diags(scale) @ together @ sp.diags(scale)).tocsr()
    together.sort_indices()
    row = np.repeat(np.arange(together.shape[0]), np.diff(together.indptr))
    order = np.lexsort((together.indices, -together.data, row))
    place = np.arange(len(order)) - together.indptr[row[order]]
    kept = order[place < top]
    return sp.csr_matrix((together.data[kept], (row[kept], together.indices[kept])), together.shape)
