"""A panel: the creators who ask at one cut-off, every trend of its market, and what each adopted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from models.creator import Creator
from models.interactions import Floats, Ints
from models.market import Market
from models.pairs import creator_terms, query
from models.queries import Bools, Query


@dataclass(frozen=True)
class Panel:
    """Queries × market at one cut-off; `models.queries.Queries` of the ranker of trends.

    Attributes:
        cutoff: instant, UTC; features speak of it, labels of the horizon after it.
        market: its trends, n of them.
        creators: one per query, q of them.
        inputs: of the linear stage, float32, shape (q, n, len(INPUTS)).
        allowed: what may be recommended, shape (q, n).
        grades: 0 not adopted, 1 to 4 by lift; 0 where not allowed, shape (q, n).
        weight: how much its queries count in training.
    """

    cutoff: datetime
    market: Market
    creators: tuple[Creator, ...]
    inputs: npt.NDArray[np.float32]
    allowed: Bools
    grades: npt.NDArray[np.int8]
    weight: float = 1.0

    def __len__(self) -> int:
        return len(self.creators)

    def query(self, number: int) -> Query:
        """One creator's question."""
        inputs = self.inputs[number].astype(np.float64)
        return query(self.market, self.creators[number], inputs, self.allowed[number])

    @property
    def terms(self) -> Floats:
        """Each creator's own pace, shape (q, len(TERMS))."""
        return np.stack([creator_terms(creator) for creator in self.creators])

    @property
    def wanted(self) -> Ints:
        """Adoptions per query, at least 1, shape (q,)."""
        return np.asarray((self.grades > 0).sum(axis=1))


Ranking = Callable[[Panel], Floats]
"""Scores of every trend for every query of a panel, shape (q, n); only allowed trends count."""


def best_places(scores: Floats, allowed: Bools, k: int) -> Ints:
    """Rows of the market on the k best places of each query, −1 where it has fewer, shape (q, k); ties by row."""
    masked = np.where(allowed, scores, -np.inf)
    order = np.argsort(-masked, axis=1, kind="stable")[:, :k]
    best = np.where(np.take_along_axis(allowed, order, axis=1), order, -1)
    return np.pad(best, ((0, 0), (0, k - best.shape[1])), constant_values=-1)
