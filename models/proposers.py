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
from models.pairs import OFFSET

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Proposers:
    """The generators of one market, in the order of `GENERATORS`.

    Attributes:
        market: whose generators they are.
        indptr, indices, data: rows of the sparse ones, one after another, generator × vocabulary + word.
        sparse: places of the sparse ones.
        latent: place → space, and vectors of the market, shape (d, n).
        clustered: place → space, centres (d, g) with their squared lengths (g,), and the inputs of every cluster,
            shape (g + 1, n).
        spaces: vectors of the vocabulary, shape (v, d) each; generators that have the same share one.
        everybody: inputs of `OF_HISTORY` for who used nothing, shape (len(OF_HISTORY), n).
    """

    market: Market
    indptr: Ints
    indices: npt.NDArray[Any]
    data: Floats
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
        starts = np.cumsum([0, *(matrix.nnz for _, matrix in sparse)])
        ends = [matrix.indptr[1:] + start for (_, matrix), start in zip(sparse, starts[:-1], strict=True)]
        spaces, space_of = _spaces(fitted)
        recommendable = market.recommendable
        return cls(
            market=market,
            indptr=np.concatenate([[0], *ends]).astype(np.int64),
            indices=np.concatenate([matrix.indices for _, matrix in sparse]).astype(np.int32),
            data=np.concatenate([matrix.data for _, matrix in sparse]),
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
        from models.stage_kernels import propose, squash

        market, n = self.market, len(self.market)
        words = np.array(word_columns(creator, market), np.int64)
        scores, seen = np.zeros((len(self.sparse), n)), np.zeros(n, np.bool_)
        propose(words, self.indptr, self.indices, self.data, len(market.word_of), scores, seen)
        rows, recommendable = None, market.recommendable
        if head is not None:
            rows = np.flatnonzero(seen | head)
            scores, recommendable = scores[:, rows], recommendable[rows]
        inputs = np.empty((len(GENERATORS), scores.shape[1]))
        squash(scores, recommendable, OFFSET, self.sparse, inputs)
        self._dense_inputs(words, rows, recommendable, inputs)
        if is_blank(creator, market):
            inputs[: len(OF_HISTORY)] = self.everybody if rows is None else self.everybody[:, rows]
        return rows, inputs

    def _dense_inputs(self, words: Ints, rows: Ints | None, recommendable: Bools, inputs: Floats) -> None:
        from models.stage_kernels import project, squash

        vectors = [_unit(space, words) for space in self.spaces]
        for at, (space, of_market) in self.latent.items():
            towards = np.zeros((1, inputs.shape[1]))
            project(vectors[space], of_market if rows is None else of_market[:, rows], towards[0])
            squash(np.maximum(towards, 0), recommendable, OFFSET, np.array([at]), inputs)
        for at, (space, centres, lengths, of_clusters) in self.clustered.items():
            along = np.zeros(len(lengths))
            project(vectors[space], centres, along)
            group = int(np.argmin(lengths - 2 * along)) if vectors[space].any() else len(lengths)
            inputs[at] = of_clusters[group] if rows is None else of_clusters[group][rows]


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
