"""Labelled examples: rows of features grouped into queries, one query per creator and cut-off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.candidates import Floats, Ints


@dataclass(frozen=True)
class Examples:
    """Queries one after another; the rows of a query are contiguous.

    Attributes:
        features: shape (m, f), in the order of `models.pairs.FEATURES`.
        grades: 0 not adopted, 1 to 4 by lift, shape (m,).
        sizes: rows per query, shape (q,).
        wanted: adoptions per query, also those not among its rows, shape (q,).
        wanted_sounds: how many of those are sounds, shape (q,).
        segments: column name → value per query, shape (q,): creator_id, cutoff, creators («new» or «established»).
        rows: row of the cut-off's market, shape (m,).
        is_sound: whether a row is a sound, else a hashtag, shape (m,).
    """

    features: Floats
    grades: Ints
    sizes: Ints
    wanted: Ints
    wanted_sounds: Ints
    segments: dict[str, npt.NDArray[np.object_]]
    rows: Ints
    is_sound: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def query(self) -> Ints:
        """The number of the query of every row, shape (m,)."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    def of_kind(self, sounds: bool) -> tuple[Examples, npt.NDArray[np.bool_]]:
        """Only sounds or only hashtags, for the queries that want one; also which queries those are, shape (q,)."""
        wanted = self.wanted_sounds if sounds else self.wanted - self.wanted_sounds
        return self._keep(wanted > 0, self.is_sound == sounds, wanted), wanted > 0

    def of_queries(self, chosen: npt.NDArray[np.bool_]) -> Examples:
        """Only the chosen queries, shape (q,)."""
        return self._keep(chosen, np.ones(len(self.rows), bool), self.wanted)

    def row_mask(self, chosen: npt.NDArray[np.bool_], rows: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Which rows are in `rows` and belong to a chosen query, shape (m,)."""
        return np.asarray(rows & chosen[self.query])

    def _keep(self, chosen: npt.NDArray[np.bool_], rows: npt.NDArray[np.bool_], wanted: Ints) -> Examples:
        mask = self.row_mask(chosen, rows)
        sizes = np.bincount(self.query[mask], minlength=len(self))
        return Examples(
            features=self.features[mask],
            grades=self.grades[mask],
            sizes=sizes[chosen],
            wanted=wanted[chosen],
            wanted_sounds=self.wanted_sounds[chosen],
            segments={name: values[chosen] for name, values in self.segments.items()},
            rows=self.rows[mask],
            is_sound=self.is_sound[mask],
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Examples]) -> Examples:
        """All queries of `parts`, in order."""
        return cls(
            features=np.concatenate([p.features for p in parts]),
            grades=np.concatenate([p.grades for p in parts]),
            sizes=np.concatenate([p.sizes for p in parts]),
            wanted=np.concatenate([p.wanted for p in parts]),
            wanted_sounds=np.concatenate([p.wanted_sounds for p in parts]),
            segments={name: np.concatenate([p.segments[name] for p in parts]) for name in parts[0].segments},
            rows=np.concatenate([p.rows for p in parts]),
            is_sound=np.concatenate([p.is_sound for p in parts]),
        )


def top_hits(scores: Floats, examples: Examples, k: int) -> npt.NDArray[np.bool_]:
    """Whether the item on each of the k best places of each query was adopted, shape (q, k); ties by row."""
    places = top_rows(scores, examples, k)
    return np.asarray((places >= 0) & (examples.grades[np.maximum(places, 0)] > 0))


def top_rows(scores: Floats, examples: Examples, k: int) -> Ints:
    """Example rows on the k best places of each query, -1 where it has fewer, shape (q, k)."""
    query = examples.query
    order = np.lexsort((np.arange(len(scores)), -scores, query))
    start = np.concatenate([[0], np.cumsum(examples.sizes)[:-1]])
    place = np.arange(len(order)) - start[query[order]]
    best = np.full((len(examples), k), -1)
    chosen = place < k
    best[query[order][chosen], place[chosen]] = order[chosen]
    return best
