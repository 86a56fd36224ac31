"""Random walks of several lengths at once on the adoption graph, the longer the fainter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy.sparse as sp

from models.generators.forms import ItemToItem
from models.interactions import Floats, Interactions, Ints

BLOCK: Final = 512
"""Trends that are walked from at once: bounds the memory, changes no result."""


@dataclass(frozen=True)
class DampedWalkCandidates:
    """Walks trend → creator → trend → … of 1 to `steps` round trips, each longer one weighing `damping` of the last.

    Scores are a history's row sum of Σ damping^n × T^(n+1), n < steps, T = D_t^-a · U' · D_c^-b · U with the adoption
    graph U and its degrees D (RP3 with exponents, Paudel et al., 2016, summed as in a walk with restart).

    Attributes:
        steps: longest number of round trips, at least 1.
        damping: weight of a length against the one before.
        trend_exponent: a; below 1 the popular trends of a history speak louder.
        creator_exponent: b; above 1 creators who use everything speak softer.
        top_n: how many targets of a trend are kept, more where the last ones tie.
    """

    steps: int
    damping: float
    trend_exponent: float
    creator_exponent: float
    top_n: int

    def fit(self, interactions: Interactions) -> ItemToItem:
        """See `Candidates.fit`."""
        used = interactions.used
        there = (used @ _inverse(_sums(used, axis=0), self.trend_exponent)).tocsr()
        back = (used.T @ _inverse(_sums(used, axis=1), self.creator_exponent)).tocsr()
        starts = np.split(np.arange(used.shape[1]), range(BLOCK, used.shape[1], BLOCK))
        rows = [self._walked(there, back, start)[:, interactions.targets] for start in starts]
        return ItemToItem(sp.vstack([densest(block, self.top_n) for block in rows], format="csr"))

    def _walked(self, there: sp.csr_matrix, back: sp.csr_matrix, start: Ints) -> Floats:
        """The summed walks from some trends, shape (len(start), v)."""
        state = (back @ there[:, start]).toarray()
        total = state.copy()
        for step in range(1, self.steps):
            state = back @ (there @ state)
            total += self.damping**step * state
        return np.ascontiguousarray(total.T)


def chained(first: ItemToItem, second: ItemToItem, top_n: int) -> ItemToItem:
    """One generator's proposals as the history of the next; the targets of the first are the second's vocabulary.

    Args:
        first, second: fitted, in the order of the chain.
        top_n: how many targets of a trend are kept.
    """
    starts = np.split(np.arange(first.matrix.shape[0]), range(BLOCK, first.matrix.shape[0], BLOCK))
    blocks = [densest((first.matrix[start] @ second.matrix).toarray(), top_n) for start in starts]
    return ItemToItem(sp.vstack(blocks, format="csr"))


def densest(scores: Floats, top_n: int) -> sp.csr_matrix:
    """The `top_n` largest positive entries of each row of a dense table; what ties with the last of them stays."""
    kept = scores > 0
    crowded = np.flatnonzero(kept.sum(axis=1) > top_n)
    if len(crowded):
        least = -np.partition(-scores[crowded], top_n - 1, axis=1)[:, top_n - 1 : top_n]
        kept[crowded] &= scores[crowded] >= least
    ends = np.concatenate([[0], np.cumsum(kept.sum(axis=1))])
    return sp.csr_matrix((scores[kept], np.nonzero(kept)[1], ends), scores.shape)


def _sums(matrix: sp.csr_matrix, axis: int) -> Floats:
    return np.asarray(matrix.sum(axis=axis), float).ravel()


def _inverse(degrees: Floats, exponent: float) -> sp.dia_matrix:
    """The diagonal of degree^−exponent, 0 where the degree is 0."""
    return sp.diags(np.where(degrees > 0, np.maximum(degrees, 1e-12) ** -exponent, 0.0))
