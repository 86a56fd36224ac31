"""A market's generators in the form that compiled loops take: what the linear stage takes in for one creator."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.candidates import GENERATORS, OF_HISTORY
from models.compiled.mask_tables import frozen
from models.creator import Words
from models.generators.forms import Clustered, ItemToItem, Latent
from models.interactions import Floats, Ints
from models.market import Market
from models.pairs import OFFSET

Bools = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.uint32]

FLOOR: Final = math.log(OFFSET)
"""The input of a trend that a generator does not propose."""

_NEAR: Final = GENERATORS.index("neighbours")


class Scratch:
    """Room for one request, of a market of n trends and g sparse generators; what is written only holds until the next.

    Attributes:
        sums, spots: zeros between requests, shape (n,).
        rows, logs, counts: what each generator proposes, see `models.compiled.proposal_kernels.propose`.
        near, scores, best: of all trends, shape (n,).
        order: rows of the market, shape (n,).
    """

    def __init__(self, n: int, g: int) -> None:
        self.sums, self.spots = np.zeros(n), np.zeros(n, np.uint32)
        self.rows, self.logs, self.counts = np.zeros((g, n + 1), np.uint32), np.zeros((g, n)), np.zeros(g, np.int64)
        self.near, self.scores, self.best, self.order = np.zeros(n), np.empty(n), np.empty(n), np.empty(n, np.int64)

    @classmethod
    def of(cls, n: int, g: int) -> Scratch:
        """This thread's own; the same for all markets of this size."""
        found: Scratch | None = getattr(_own, "scratch", None)
        if found is None or found.rows.shape != (g, n + 1):
            found = _own.scratch = cls(n, g)
        return found


_own = threading.local()


@dataclass(frozen=True)
class Proposers:
    """The generators of one market, in the order of `GENERATORS`.

    Attributes:
        recommendable: of the market, shape (n,).
        indptr, indices, data: compressed rows of the sparse generators.
        sparse: their places, shape (g,).
        nearness: vectors of the vocabulary, shape (v, d), of the trends, shape (d, n), and their units, shape (n,).
        clusters: vectors of the vocabulary, shape (v, d), centres, shape (c, d), and their squared lengths, shape (c,).
        of_clusters: inputs of every cluster, the last one's for who is nowhere, shape (c + 1, n).
        everybody: inputs of `OF_HISTORY` for who used nothing, shape (len(OF_HISTORY), n).
    """

    recommendable: Bools
    indptr: tuple[npt.NDArray[Any], ...]
    indices: tuple[Rows, ...]
    data: tuple[Floats, ...]
    sparse: Ints
    nearness: tuple[Floats, npt.NDArray[Any], Floats]
    clusters: tuple[Floats, Floats, Floats]
    of_clusters: Floats
    everybody: Floats

    @classmethod
    def of(cls, market: Market) -> Proposers:
        """Lay out the generators of a market: one of them says how near a trend is, one knows clusters."""
        fitted = [market.generators[name] for name in GENERATORS]
        sparse = [(at, _positive(g.matrix)) for at, g in enumerate(fitted) if isinstance(g, ItemToItem)]
        (latent,) = (g for g in fitted if isinstance(g, Latent))
        (clustered,) = (g for g in fitted if isinstance(g, Clustered))
        if latent.words.shape[1] != clustered.words.shape[1]:
            raise ValueError("trends and clusters must lie in spaces of one dimension: the loops check no bounds")
        everybody = np.stack([market.for_everybody[name] for name in OF_HISTORY])
        return cls(
            recommendable=frozen(market.recommendable),
            indptr=tuple(frozen(matrix.indptr.astype(np.int32, copy=False)) for _, matrix in sparse),
            indices=tuple(frozen(matrix.indices.astype(np.int32, copy=False).view(np.uint32)) for _, matrix in sparse),
            data=tuple(frozen(matrix.data) for _, matrix in sparse),
            sparse=frozen(np.array([at for at, _ in sparse])),
            nearness=(_whole(latent.words), _whole(latent.market), _whole(latent.units)),
            clusters=(_whole(clustered.words), _whole(clustered.centres), frozen((clustered.centres**2).sum(axis=1))),
            of_clusters=frozen(_inputs(clustered.shares, market.recommendable)),
            everybody=frozen(_inputs(everybody, market.recommendable)),
        )

    @cached_property
    def cluster_means(self) -> Floats:
        """The input of a recommendable trend on average, for each cluster, shape (c + 1,)."""
        return mean(self.of_clusters, self.recommendable)

    @cached_property
    def everybody_means(self) -> Floats:
        """The inputs of a recommendable trend on average, for who used nothing, shape (len(OF_HISTORY),)."""
        return mean(self.everybody, self.recommendable)

    def scratch(self) -> Scratch:
        """This thread's room for a request."""
        return Scratch.of(len(self.recommendable), len(self.sparse))

    def near(self, said: Words, room: Scratch) -> tuple[int, float]:
        """Write how near every trend is to `room.near`; the creator's cluster, and a recommendable trend's mean."""
        from models.compiled.linear_kernels import approach, nearest, place

        vectors, centres, lengths = self.clusters
        vector = np.empty(vectors.shape[1])
        is_known = place(said.columns, vectors, vector)
        group = nearest(vector, centres, lengths) if is_known else len(centres)
        if said.blank:
            room.near[:] = self.everybody[_NEAR]
            return group, float(self.everybody_means[_NEAR])
        vectors, market, units = self.nearness
        if not self.is_one_space:
            place(said.columns, vectors, vector)
        total = approach(vector, market, units, self.recommendable, OFFSET, room.near)
        return group, total / max(self.count, 1)

    def propose(self, said: Words, weights: Floats, room: Scratch) -> Floats:
        """Add to `room.scores` what the sparse generators propose beyond `FLOOR`.

        Args:
            weights: of all generators for this creator, shape (len(GENERATORS),).

        Returns:
            The sparse generators' inputs of a recommendable trend, on average, shape (g,).
        """
        from models.compiled.proposal_kernels import propose

        own, totals = weights[self.sparse], np.empty(len(self.sparse))
        if said.blank:
            own[self.of_history] = 0.0
        propose(
            said.columns,
            self.indptr,
            self.indices,
            self.data,
            own,
            self.recommendable,
            OFFSET,
            room.sums,
            room.rows,
            room.logs,
            room.counts,
            totals,
            room.scores,
        )
        means = (FLOOR + totals / self.count) if self.count else np.zeros(len(totals))
        if said.blank:
            known = self.sparse[self.of_history]
            room.scores += weights[known] @ (self.everybody[known] - FLOOR)
            means[self.of_history] = self.everybody_means[known]
        return np.asarray(means)

    def fill(self, said: Words, rows: Ints, room: Scratch, inputs: Floats) -> None:
        """Write the sparse generators' inputs of some rows, as `propose` left them.

        Args:
            inputs: written but for the first row, shape (m + 1, at least len(GENERATORS)).
        """
        from models.compiled.proposal_kernels import fill_proposed

        fill_proposed(rows, room.rows, room.logs, room.counts, self.sparse, OFFSET, room.spots, inputs)
        if said.blank:
            known = self.sparse[self.of_history]
            inputs[1:, known] = self.everybody[known][:, rows].T

    def ready(self) -> Proposers:
        """Itself, with what the first request would have to work out for all."""
        _ = self.cluster_means, self.everybody_means, self.is_one_space, self.count, self.of_history
        return self

    @cached_property
    def is_one_space(self) -> bool:
        """Whether one vector places a creator both among trends and among clusters."""
        return np.array_equal(self.nearness[0], self.clusters[0])

    @cached_property
    def count(self) -> int:
        """Of recommendable trends."""
        return int(np.count_nonzero(self.recommendable))

    @cached_property
    def of_history(self) -> Bools:
        """Which of the sparse generators know a creator by the trends used alone, shape (g,)."""
        return self.sparse < len(OF_HISTORY)


def _whole(table: Any) -> Any:
    """As loops take it, row after row."""
    return frozen(np.ascontiguousarray(table))


def _positive(matrix: Any) -> Any:
    """The sparse matrix without entries that are no proposals."""
    if len(matrix.data) and matrix.data.min() <= 0:
        matrix = matrix.copy()
        matrix.data[matrix.data < 0] = 0
        matrix.eliminate_zeros()
    return matrix


def mean(table: Floats, chosen: Bools) -> Floats:
    """Mean of each row over the chosen columns, 0 where none is."""
    return np.asarray(table @ chosen.astype(np.float64) / max(int(np.count_nonzero(chosen)), 1))


def _inputs(scores: Floats, recommendable: Bools) -> Floats:
    """log(score ÷ the best recommendable one + offset) of each row, shape (g, n)."""
    best = np.maximum(scores[:, recommendable].max(axis=1, initial=0), 1e-12)
    return np.asarray(np.log(scores / best[:, None] + OFFSET))
