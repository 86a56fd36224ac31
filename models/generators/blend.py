"""Candidates of any catalogue: the best by a weighted mean of generators, with what each generator says of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy.sparse as sp

from models.generators.forms import Generator
from models.interactions import Floats, Ints
from models.queries import Table
from models.schema import Schema

LEAST: Final = 1e-6
"""Added to a generator's shares, and to their mean, so that what is not proposed still has a logarithm."""


@dataclass(frozen=True)
class Candidates:
    """The best for some histories, m each.

    Attributes:
        items: columns of the catalogue, best first, shape (q, m).
        table: what a ranker of `Blend.schema` takes in; nothing is wanted.
    """

    items: Ints
    table: Table


@dataclass(frozen=True)
class Blend:
    """log(Σ weight × share + LEAST), a generator's share being its score ÷ the sum of its scores.

    Attributes:
        generators: by name; those without a weight only inform the ranker.
        weights: generator → weight.
    """

    generators: Mapping[str, Generator]
    weights: Mapping[str, float]

    @property
    def schema(self) -> Schema:
        """The blend and each generator's share, as logarithms; beside them the length of the history and places."""
        inputs, places_of = ("blend", *self.generators), tuple(f"{name}_place" for name in self.generators)
        return Schema.of_table("items", inputs, ("history", *places_of), inputs, (*places_of, "stage_one_place"))

    def candidates(self, history: sp.csr_matrix, seen: sp.csr_matrix, most: int) -> Candidates:
        """The `most` best of each history.

        Args:
            history: how much each item of the past counts, shape (q, n).
            seen: non-zero where an item may not be proposed, shape (q, n).
            most: how many; what may not be proposed comes last.
        """
        each = {name: shares(generator.scores(history)) for name, generator in self.generators.items()}
        mixed: Floats = sum((weight * each[name] for name, weight in self.weights.items()), np.zeros(seen.shape))
        free = np.ones(seen.shape, bool)
        free[seen.nonzero()] = False
        items = best(np.where(free, mixed, -1.0), most)
        picked = [np.take_along_axis(table, items, axis=1) for table in (mixed, *each.values())]
        known = np.broadcast_to(np.log1p(np.diff(seen.indptr))[:, None], items.shape)
        return Candidates(
            items,
            Table(
                inputs=np.log(np.stack(picked, axis=2) + LEAST).astype(np.float32),
                others=np.stack([known, *map(places, picked[1:])], axis=2).astype(np.float32),
                allowed=np.take_along_axis(free, items, axis=1),
                grades=np.zeros(items.shape, np.int8),
                terms=np.zeros((len(items), 0)),
            ),
        )


def shares(scores: Floats) -> Floats:
    """Each row divided by its sum; a row of zeros stays."""
    return np.asarray(scores / np.maximum(scores.sum(axis=1, keepdims=True), 1e-12))


def best(scores: Floats, most: int) -> Ints:
    """Columns of the `most` largest scores of each row, best first; ties by column, but for those with the last."""
    most = min(most, scores.shape[1])
    part = np.sort(np.argpartition(-scores, most - 1, axis=1)[:, :most], axis=1)
    order = np.argsort(-np.take_along_axis(scores, part, axis=1), axis=1, kind="stable")
    return np.take_along_axis(part, order, axis=1)


def places(scores: Floats) -> Floats:
    """Place of each score within its row, best 1, ties by column."""
    return np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1).astype(float) + 1
