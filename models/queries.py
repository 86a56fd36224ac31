"""What rankers are asked and learn from: queries, each with candidates, their inputs, and what was wanted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np
import numpy.typing as npt

from models.interactions import Floats, Ints

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Query:
    """One question to a ranker.

    Attributes:
        inputs: of the linear stage for each of n candidates, shape (n, len(schema.inputs)).
        allowed: which of them may be ranked, shape (n,).
        features: the linear stage's score of every candidate, −inf where not allowed, shape (n,), and rows of
            candidates, shape (m,) → the features of the trees, shape (m, len(schema.features)).
    """

    inputs: Floats
    allowed: Bools
    features: Callable[[Floats, Ints], Floats]


class Queries(Protocol):
    """Queries with equally many candidates, n each, and what was wanted."""

    @property
    def cutoff(self) -> datetime | None:
        """Instant, UTC, before which all features lie and after which all that was wanted; None where undated."""
        ...

    @property
    def inputs(self) -> npt.NDArray[np.float32]:
        """Of the linear stage, shape (q, n, len(schema.inputs))."""
        ...

    @property
    def allowed(self) -> Bools:
        """What may be ranked, shape (q, n)."""
        ...

    @property
    def grades(self) -> npt.NDArray[np.int8]:
        """0 not wanted, 1 to 4 the more the better; 0 where not allowed, shape (q, n)."""
        ...

    @property
    def terms(self) -> Floats:
        """What says of each query how much is wanted at all, shape (q, len(schema.terms))."""
        ...

    @property
    def weight(self) -> float:
        """How much each query counts in training."""
        ...

    def __len__(self) -> int:
        """Number of queries."""
        ...

    def query(self, number: int) -> Query:
        """One of the queries."""
        ...


@dataclass(frozen=True)
class Table:
    """Queries whose features are known beforehand, but for what the linear stage says; see `Schema.of_table`.

    Attributes:
        inputs: shape (q, n, len(schema.inputs)).
        others: features of the trees beside the inputs, NaN where unknown, shape (q, n, any).
        allowed, grades, terms, cutoff, weight: see `Queries`.
    """

    inputs: npt.NDArray[np.float32]
    others: npt.NDArray[np.float32]
    allowed: Bools
    grades: npt.NDArray[np.int8]
    terms: Floats
    cutoff: datetime | None = None
    weight: float = 1.0

    def __len__(self) -> int:
        return len(self.allowed)

    def query(self, number: int) -> Query:
        """See `Queries.query`."""
        inputs, others = self.inputs[number].astype(np.float64), self.others[number]

        def features(stage_one: Floats, rows: Ints) -> Floats:
            return np.column_stack([inputs[rows], others[rows], stage_one_columns(stage_one, rows)])

        return Query(inputs, self.allowed[number], features)


def stage_one_columns(stage_one: Floats, rows: Ints) -> Floats:
    """What `STAGE_ONE` names, of some rows, shape (m, 2).

    Args:
        stage_one: the linear stage's score of every candidate, −inf where not allowed, shape (n,).
        rows: shape (m,).
    """
    best, ordered = float(stage_one.max(initial=-np.inf)), np.sort(-stage_one)
    below = np.maximum(stage_one[rows] - best, -30) if np.isfinite(best) else np.full(len(rows), -30.0)
    return np.column_stack([below, np.searchsorted(ordered, -stage_one[rows])])
