"""Candidate generators drawn by chance: as many entries, and as unevenly spread over trends, as fitted ones have."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from features.captions import CAPTION
from models.candidates import GENERATORS
from models.generators.forms import Clustered, Generator, ItemToItem, Latent, lean
from models.interactions import Floats, Ints, Strings, is_trend

Bools = npt.NDArray[np.bool_]

TOP_N: Final = 300
"""Entries of a full row; `candidates.top_n`."""

DIMENSIONS: Final = 32
CLUSTERS: Final = 24
ENTRIES: Final = {
    "walk": 70,
    "recent_walk": 70,
    "long_walk": TOP_N,
    "same_post": 10,
    "text": 4,
    "coadoption": TOP_N,
    "captions": 15,
    "region_trends": TOP_N,
}
"""Entries of a row of each sparse generator on average, as fitted to a market of 1,300 trends."""


SCENE: Final = 1_000
"""Trends of one scene: those that are used together."""

INSIDE: Final = 0.9
"""The share of a row's entries, and of a creator's trends, that lie in their own scenes."""


def scenes(count: int, chance: np.random.Generator) -> Ints:
    """The scene of each of so many trends, shape (count,)."""
    return chance.integers(0, max(1, count // SCENE), count)


def drawn_generators(
    words: Strings, live: Strings, reach: Floats, scene: Ints, chance: np.random.Generator
) -> dict[str, Generator]:
    """Every generator of `GENERATORS`.

    Args:
        words: keys of the vocabulary, sorted.
        live: keys of the live trends, sorted, shape (n,).
        reach: how many creators use each of those, shape (n,).
        scene: of each of those, see `scenes`, shape (n,).
        chance: of all draws.
    """
    trends = np.array([is_trend(key) for key in words])
    spoken = np.array([key.startswith(CAPTION) for key in words])
    speaking = {"captions": spoken, "region_trends": ~trends & ~spoken}
    homes = chance.integers(0, int(scene.max()) + 1, len(words))
    homes[np.searchsorted(words.astype(str), live.astype(str))] = scene
    drawn: dict[str, Generator] = {
        name: _sparse(speaking.get(name, trends), mean, homes, reach, scene, chance) for name, mean in ENTRIES.items()
    }
    vectors = np.where(trends[:, None], chance.normal(size=(len(words), DIMENSIONS)), 0.0)
    drawn["neighbours"] = Latent.of(vectors, chance.normal(0.3, 1, (DIMENSIONS, len(reach))))
    shares = chance.random((CLUSTERS + 1, len(reach))) * reach
    centres = chance.normal(size=(CLUSTERS, DIMENSIONS)) / np.sqrt(DIMENSIONS)
    drawn["cluster_trends"] = Clustered(vectors, centres, shares / shares.sum(axis=1, keepdims=True))
    return {name: lean(drawn[name]) for name in GENERATORS}


def _sparse(rows: Bools, mean: int, homes: Ints, reach: Floats, scene: Ints, chance: np.random.Generator) -> ItemToItem:
    """Rows of `TOP_N` entries, or of fewer with a heavy tail; more of them at trends that many use."""
    n, whole = len(reach), mean == TOP_N
    sizes = np.where(whole, TOP_N, np.round(chance.pareto(1.5, len(rows)) * mean / 2)).clip(0, min(TOP_N, n))
    sizes = (sizes * rows).astype(np.int64)
    indptr = np.concatenate([[0], np.cumsum(sizes)])
    targets = _targets(np.repeat(homes, sizes), reach, scene, chance)
    values = chance.standard_exponential(len(targets))
    matrix = sp.csr_matrix((values, targets, indptr), (len(rows), n))
    matrix.sum_duplicates()
    return ItemToItem(matrix)


def _targets(homes: Ints, reach: Floats, scene: Ints, chance: np.random.Generator) -> Ints:
    """A trend for each home, mostly of its scene, drawn the more often the more creators use it."""
    order = np.argsort(scene, kind="stable")
    edges = np.concatenate([[0.0], np.cumsum(reach[order] ** 0.75)])
    bounds = edges[np.searchsorted(scene[order], np.arange(int(scene.max()) + 2))]
    stays = chance.random(len(homes)) < INSIDE
    low, high = np.where(stays, bounds[homes], 0.0), np.where(stays, bounds[homes + 1], edges[-1])
    places = np.searchsorted(edges, low + chance.random(len(homes)) * (high - low), side="right") - 1
    return np.asarray(order[np.clip(places, 0, len(order) - 1)])
