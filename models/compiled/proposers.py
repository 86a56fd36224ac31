"""What compiled loops take of a market to propose trends to one creator: its generators, its trends, and room."""

from __future__ import annotations

import math
import threading
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from models.candidates import GENERATORS, OF_HISTORY
from models.compiled.mask_tables import frozen
from models.generators.forms import Clustered, ItemToItem, Latent
from models.interactions import Floats, Ints
from models.market import Market
from models.pairs import OFFSET

Bools = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.uint32]

FLOOR: Final = math.log(OFFSET)
"""The input of a trend that a generator does not propose."""


class Room(NamedTuple):
    """Room for one request, of a market of n trends and g sparse generators; what is written only holds until the next.

    Attributes:
        sums, spots: zeros between requests, shape (n,).
        rows, logs, counts: what each generator proposes, see `models.compiled.proposal_kernels.propose`.
        near, scores, best: of all trends, shape (n,).
        order: rows of the market, shape (n,).
    """

    sums: Floats
    spots: Rows
    rows: Rows
    logs: Floats
    counts: Ints
    near: Floats
    scores: Floats
    best: Floats
    order: Ints

    @classmethod
    def of(cls, n: int, g: int) -> Room:
        """This thread's own; the same for all markets of this size."""
        found: Room | None = getattr(_own, "room", None)
        if found is None or found.rows.shape != (g, n + 1):
            found = _own.room = cls(
                sums=np.zeros(n),
                spots=np.zeros(n, np.uint32),
                rows=np.zeros((g, n + 1), np.uint32),
                logs=np.zeros((g, n)),
                counts=np.zeros(g, np.int64),
                near=np.zeros(n),
                scores=np.empty(n),
                best=np.empty(n),
                order=np.empty(n, np.int64),
            )
        return found


_own = threading.local()


class OfGenerators(NamedTuple):
    """The generators of one market, in the order of `GENERATORS`, as loops take them.

    Attributes:
        recommendable: of the market, shape (n,).
        size: how many recommendable trends there are.
        offset, floor: see `FLOOR`.
        indptr, indices, data: compressed rows of the sparse generators.
        places: of the sparse generators among all, shape (g,).
        of_history: which of them know a creator by the trends used alone, shape (g,).
        vectors: of the vocabulary, shape (v, d).
        market, units: vectors of the trends, see `models.generators.forms.Latent`, shapes (d, n) and (n,).
        cluster_vectors: of the vocabulary, shape (v, d).
        is_one_space: whether one vector places a creator both among trends and among clusters.
        centres, lengths: of the clusters, shape (c, d), and their squared lengths, shape (c,).
        of_clusters: inputs of every cluster, the last one's for who is nowhere, shape (c + 1, n).
        cluster_means: of a recommendable trend on average, shape (c + 1,).
        everybody: inputs of `OF_HISTORY` for who used nothing, shape (len(OF_HISTORY), n).
        everybody_means: of a recommendable trend on average, shape (len(OF_HISTORY),).
    """

    recommendable: Bools
    size: int
    offset: float
    floor: float
    indptr: tuple[npt.NDArray[Any], ...]
    indices: tuple[Rows, ...]
    data: tuple[Floats, ...]
    places: Ints
    of_history: Bools
    vectors: Floats
    market: npt.NDArray[Any]
    units: Floats
    cluster_vectors: Floats
    is_one_space: bool
    centres: Floats
    lengths: Floats
    of_clusters: Floats
    cluster_means: Floats
    everybody: Floats
    everybody_means: Floats

    @classmethod
    def of(cls, market: Market) -> OfGenerators:
        """Lay out the generators of a market: one of them says how near a trend is, one knows clusters."""
        fitted = [market.generators[name] for name in GENERATORS]
        sparse = [(at, _positive(g.matrix)) for at, g in enumerate(fitted) if isinstance(g, ItemToItem)]
        (latent,) = (g for g in fitted if isinstance(g, Latent))
        (clustered,) = (g for g in fitted if isinstance(g, Clustered))
        if latent.words.shape[1] != clustered.words.shape[1]:
            raise ValueError("trends and clusters must lie in spaces of one dimension: the loops check no bounds")
        recommendable, places = market.recommendable, np.array([at for at, _ in sparse])
        of_clusters = _inputs(clustered.shares, recommendable)
        everybody = _inputs(np.stack([market.for_everybody[name] for name in OF_HISTORY]), recommendable)
        return cls(
            recommendable=frozen(recommendable),
            size=int(np.count_nonzero(recommendable)),
            offset=OFFSET,
            floor=FLOOR,
            indptr=tuple(frozen(matrix.indptr.astype(np.int32, copy=False)) for _, matrix in sparse),
            indices=tuple(frozen(matrix.indices.astype(np.int32, copy=False).view(np.uint32)) for _, matrix in sparse),
            data=tuple(frozen(matrix.data) for _, matrix in sparse),
            places=frozen(places),
            of_history=frozen(places < len(OF_HISTORY)),
            vectors=_whole(latent.words),
            market=_whole(latent.market),
            units=_whole(latent.units),
            cluster_vectors=_whole(clustered.words),
            is_one_space=np.array_equal(latent.words, clustered.words),
            centres=_whole(clustered.centres),
            lengths=frozen((clustered.centres**2).sum(axis=1)),
            of_clusters=frozen(of_clusters),
            cluster_means=frozen(mean(of_clusters, recommendable)),
            everybody=frozen(everybody),
            everybody_means=frozen(mean(everybody, recommendable)),
        )


class OfTrends(NamedTuple):
    """What the linear stage and pair features take of a market's trends, whoever asks.

    Attributes:
        base: what the trend side adds to the linear score, shape (n,).
        sounds: whether a trend is a sound, shape (n,).
        adopters: the input of that name, shape (n,).
        followers: median of a trend's creators, shape (n,).
        shares: `region_share` of every region, shape (n, regions).
        usual: the trend side of a recommendable trend, on average, shape (len(TREND_INPUTS),).
        usual_sounds: the share of sounds among the recommendable trends.
    """

    base: Floats
    sounds: Bools
    adopters: Floats
    followers: Floats
    shares: Floats
    usual: Floats
    usual_sounds: float


class Places(NamedTuple):
    """Where inputs lie among all of the linear stage.

    Attributes:
        trends: where the trend side begins.
        adopters: place in the trend side.
        columns: how many pair features there are.
    """

    near: int
    cluster: int
    walk: int
    habit: int
    walk_by_history: int
    adopters_by_history: int
    region: int
    trends: int
    adopters: int
    columns: int


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
