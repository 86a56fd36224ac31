"""A market's generators in the form that compiled loops take: what the linear stage takes in for one creator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.candidates import GENERATORS, OF_HISTORY
from models.creator import Creator, is_blank, word_columns
from models.generators import Clustered, Generator, ItemToItem, Latent
from models.interactions import Floats, Ints
from models.market import Market
from models.mask_tables import frozen
from models.pairs import OFFSET

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Proposers:
    """The generators of one market, in the order of `GENERATORS`.

    Attributes:
        market: whose generators they are.
        indptr, indices, data: compressed rows of the sparse ones.
        sparse: their places.
        latent: place → space, and vectors of the market, shape (d, n).
        clustered: place → space, centres (d, g) with their squared lengths (g,), and the inputs of every cluster,
            shape (g + 1, n).
        spaces: vectors of the vocabulary, shape (v, d) each; generators that have the same share one.
        everybody: inputs of `OF_HISTORY` for who used nothing, shape (len(OF_HISTORY), n).
    """

    market: Market
    indptr: tuple[npt.NDArray[Any], ...]
    indices: tuple[npt.NDArray[Any], ...]
    data: tuple[Floats, ...]
    sparse: Ints
    latent: dict[int, tuple[int, Floats]]
    clustered: dict[int, tuple[int, Floats, Floats, Floats]]
    spaces: tuple[Floats, ...]
    everybody: Floats

    @classmethod
    def of(cls, market: Market) -> Proposers:
        """Lay out the generators of a market."""
        fitted = [market.generators[name] for name in GENERATORS]
        sparse = [(at, g.matrix) for at, g in enumerate(fitted) if isinstance(g, ItemToItem)]
        spaces, space_of = _spaces(fitted)
        recommendable = market.recommendable
        return cls(
            market=market,
            indptr=tuple(frozen(matrix.indptr.astype(np.int32, copy=False)) for _, matrix in sparse),
            indices=tuple(frozen(matrix.indices.astype(np.int32, copy=False)) for _, matrix in sparse),
            data=tuple(frozen(matrix.data) for _, matrix in sparse),
            sparse=np.array([at for at, _ in sparse]),
            latent={at: (space_of[at], g.market) for at, g in enumerate(fitted) if isinstance(g, Latent)},
            clustered={
                at: (
                    space_of[at],
                    np.ascontiguousarray(g.centres.T),
                    (g.centres**2).sum(axis=1),
                    _inputs(g.shares, recommendable),
                )
                for at, g in enumerate(fitted)
                if isinstance(g, Clustered)
            },
            spaces=spaces,
            everybody=_inputs(np.stack([market.for_everybody[name] for name in OF_HISTORY]), recommendable),
        )

    def inputs(self, creator: Creator, head: Bools | None) -> tuple[Ints | None, Floats]:
        """A creator's inputs of the linear stage, generator by generator.

        Args:
            head: trends to look at beside those that a sparse generator proposes, shape (n,); None looks at all.

        Returns:
            Rows that were looked at, ascending, shape (m,), None for all; their inputs, shape (len(GENERATORS), m).
        """
        from models.stage_kernels import level, propose

        market, n = self.market, len(self.market)
        words = np.array(word_columns(creator, market), np.int64)
        scores, seen = np.zeros((len(self.sparse), n)), np.zeros(n, np.bool_)
        propose(words, self.indptr, self.indices, self.data, scores, seen)
        rows, recommendable = None, market.recommendable
        if head is not None:
            rows = np.flatnonzero(seen | head)
            scores, recommendable = scores[:, rows], recommendable[rows]
        inputs = np.empty((len(GENERATORS), scores.shape[1]))
        level(scores, recommendable, OFFSET, self.sparse, inputs)
        towards = self._dense_levels(words, rows, recommendable, inputs)
        np.log(inputs, out=inputs)
        for at, own in towards.items():
            inputs[at] = own
        if is_blank(creator, market):
            inputs[: len(OF_HISTORY)] = self.everybody if rows is None else self.everybody[:, rows]
        return rows, inputs

    def _dense_levels(self, words: Ints, rows: Ints | None, recommendable: Bools, levels: Floats) -> dict[int, Floats]:
        """Fill in the levels of the latent generators; the clustered ones' inputs are known, by place."""
        from models.stage_kernels import level, project

        vectors, known = [_unit(space, words) for space in self.spaces], {}
        for at, (space, of_market) in self.latent.items():
            towards = np.zeros((1, levels.shape[1]))
            project(vectors[space], of_market if rows is None else of_market[:, rows], towards[0])
            level(np.maximum(towards, 0), recommendable, OFFSET, np.array([at]), levels)
        for at, (space, centres, lengths, of_clusters) in self.clustered.items():
            along = np.zeros(len(lengths))
            project(vectors[space], centres, along)
            group = int(np.argmin(lengths - 2 * along)) if vectors[space].any() else len(lengths)
            known[at] = of_clusters[group] if rows is None else of_clusters[group][rows]
            levels[at] = 1.0
        return known


def _spaces(fitted: Sequence[Generator]) -> tuple[tuple[Floats, ...], dict[int, int]]:
    """The different vectors of the vocabulary, and which of them each generator has."""
    spaces: list[Floats] = []
    space_of = {}
    for at, generator in enumerate(fitted):
        if isinstance(generator, Latent | Clustered):
            same = [i for i, space in enumerate(spaces) if np.array_equal(space, generator.words)]
            space_of[at] = same[0] if same else len(spaces)
            if not same:
                spaces.append(generator.words)
    return tuple(spaces), space_of


def _unit(vectors: Floats, words: Ints) -> Floats:
    """The unit vector of a history, shape (d,)."""
    from models.stage_kernels import place

    total = np.zeros(vectors.shape[1])
    place(words, vectors, total)
    return np.asarray(total / max(float(np.linalg.norm(total)), 1e-9))


def _inputs(scores: Floats, recommendable: Bools) -> Floats:
    """log(score ÷ the best recommendable one + offset) of each row, shape (g, n)."""
    best = np.maximum(scores[:, recommendable].max(axis=1, initial=0), 1e-12)
    return np.asarray(np.log(scores / best[:, None] + OFFSET))
