"""A first stage for any catalogue: a weighted mean of candidate generators, its shortlists, and the trees' features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy.sparse as sp

from models.generators import Generator
from models.interactions import Floats, Ints

LEAST: Final = 1e-6
"""Added to the mean of the generators' shares, so that what none proposes still has a logarithm."""


@dataclass(frozen=True)
class Shortlists:
    """The first stage's best for some histories, m each.

    Attributes:
        items: columns of the catalogue, best first, shape (q, m).
        stage_one: the first stage's score, −inf where the item may not be proposed, shape (q, m).
        features: of the trees, float32, shape (q, m, f).
    """

    items: Ints
    stage_one: Floats
    features: Floats


@dataclass(frozen=True)
class Blend:
    """scale × log(Σ weight × share + LEAST), a generator's share being its score ÷ the sum of its scores.

    Attributes:
        generators: by name; those without a weight only inform the trees.
        weights: generator → weight.
        scale: the larger, the more the trees need to overturn the order.
    """

    generators: Mapping[str, Generator]
    weights: Mapping[str, float]
    scale: float

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the trees' features."""
        return (
            "stage_one",
            "place",
            "history",
            *(f"{g}_{part}" for g in self.generators for part in ("share", "place")),
        )

    @property
    def directions(self) -> list[int]:
        """1 where the score may only rise with a feature, −1 where it may only fall, 0 elsewhere; as `names`."""
        return [1, -1, 0] + [1, -1] * len(self.generators)

    def stage_one(self, history: sp.csr_matrix, seen: sp.csr_matrix) -> Floats:
        """Scores of the whole catalogue, −inf where seen, shape (q, n).

        Args:
            history: how much each item of the past counts, shape (q, n).
            seen: non-zero where an item may not be proposed, shape (q, n).
        """
        return self._mixed({name: shares(self.generators[name].scores(history)) for name in self.weights}, seen)

    def shortlists(self, history: sp.csr_matrix, seen: sp.csr_matrix, most: int) -> Shortlists:
        """The `most` best of each history; arguments as for `stage_one`."""
        each = {name: shares(generator.scores(history)) for name, generator in self.generators.items()}
        mixed = self._mixed(each, seen)
        items = best(mixed, most)
        stage_one = np.take_along_axis(mixed, items, axis=1)
        known = np.broadcast_to(np.log1p(np.diff(seen.indptr))[:, None], items.shape)
        columns = [stage_one, places(stage_one), known]
        for table in each.values():
            picked = np.take_along_axis(table, items, axis=1)
            columns += [picked, places(picked)]
        return Shortlists(items, stage_one, np.stack(columns, axis=2, dtype=np.float32, casting="same_kind"))

    def _mixed(self, each: Mapping[str, Floats], seen: sp.csr_matrix) -> Floats:
        total = np.full(seen.shape, LEAST)
        for name, weight in self.weights.items():
            total += weight * each[name]
        scores = self.scale * np.log(total)
        scores[seen.nonzero()] = -np.inf
        return scores


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
