"""Candidate generators: each a typed config and one call that fits it, as of an instant, to who used what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from configs import CandidateSettings
from features.history import DAY, History

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Interactions:
    """Who used what by an instant, over the trends of one market.

    Attributes:
        used: creators × trends, 1 where the creator ever used the trend.
        recency: creators × trends, 0.5 ** (age of the latest use ÷ half-life) at the same places.
        adopters: days → first uses per trend within those days, shape (n,).
        by_region: region code → first uses per trend in 7 days by posts from there, shape (n,).
    """

    used: sp.csr_matrix
    recency: sp.csr_matrix
    adopters: Mapping[int, Floats]
    by_region: Mapping[str, Floats]

    @classmethod
    def from_history(cls, history: History, keys: npt.NDArray[np.object_], half_life_days: float) -> Interactions:
        """The uses of the trends in `keys` (market order) known in `history`."""
        column = column_of(history.trends["key"], keys)[history.use_trend]
        inside = np.flatnonzero(column >= 0)
        creator, column = history.use_creator[inside], column[inside]
        age_days = (history.now - history.use_created[inside]) / DAY
        first, shape = history.first_uses()[inside], (len(history.creators), len(keys))
        pair, at = np.unique(creator * max(len(keys), 1) + column, return_inverse=True)
        youngest = np.full(len(pair), np.inf)
        np.minimum.at(youngest, at, age_days)
        place = (pair // max(len(keys), 1), pair % max(len(keys), 1))
        region = history.posts["region"][history.use_post[inside]]
        week = first & (age_days < 7)
        return cls(
            used=sp.csr_matrix((np.ones(len(pair)), place), shape),
            recency=sp.csr_matrix((0.5 ** (youngest / half_life_days), place), shape),
            adopters={w: _tally(column[first & (age_days < w)], len(keys)) for w in (1, 3, 7, 14, 28)},
            by_region={code: _tally(column[week & (region == r)], len(keys)) for r, code in enumerate(history.regions)},
        )


def column_of(names: npt.NDArray[np.object_], keys: npt.NDArray[np.object_]) -> Ints:
    """For each of `names` its place in `keys`, -1 where it is not there; both sorted by text."""
    names, keys = names.astype(str), keys.astype(str)
    if len(keys) == 0:
        return np.full(len(names), -1)
    at = np.minimum(np.searchsorted(keys, names), len(keys) - 1)
    return np.where(keys[at] == names, at, -1)


def _tally(columns: Ints, size: int) -> Floats:
    return np.bincount(columns, minlength=size).astype(float)


@dataclass(frozen=True)
class Histories:
    """Whom candidates are wanted for: used trends, shape (q, n), and region codes, shape (q,)."""

    used: sp.csr_matrix
    regions: npt.NDArray[np.object_]


class Generator(Protocol):
    """A fitted generator: arrays in, arrays out, and it can be written down as arrays."""

    def scores(self, histories: Histories) -> Floats:
        """How strongly each trend is proposed, ≥ 0, shape (q, n)."""
        ...

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Everything `from_arrays` needs to make it again."""
        ...


@dataclass(frozen=True)
class ItemToItem:
    """Scores are the mean, over the trends a creator used, of their rows in a sparse trend × trend matrix."""

    matrix: sp.csr_matrix

    def scores(self, histories: Histories) -> Floats:
        """See `Generator.scores`."""
        weight = 1 / np.maximum(np.asarray(histories.used.sum(axis=1)).ravel(), 1)
        return np.asarray((sp.diags(weight) @ histories.used @ self.matrix).toarray())

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The matrix in compressed rows."""
        return {"data": self.matrix.data, "indices": self.matrix.indices, "indptr": self.matrix.indptr}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> ItemToItem:
        """The inverse of `arrays`."""
        n = len(arrays["indptr"]) - 1
        return cls(sp.csr_matrix((arrays["data"], arrays["indices"], arrays["indptr"]), (n, n)))


@dataclass(frozen=True)
class PerRegion:
    """Scores depend on the creator's region alone; the first row stands for a region that is unknown."""

    codes: tuple[str, ...]
    values: Floats

    def scores(self, histories: Histories) -> Floats:
        """See `Generator.scores`."""
        number = {code: i + 1 for i, code in enumerate(self.codes)}
        return np.asarray(self.values[[number.get(code, 0) for code in histories.regions]])

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """One row of values a region."""
        return {"codes": np.array(self.codes, str), "values": self.values}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> PerRegion:
        """The inverse of `arrays`."""
        return cls(tuple(arrays["codes"].tolist()), arrays["values"])


@dataclass(frozen=True)
class WalkCandidates:
    """Three-step random walk creator → trend → creator → trend, popular trends damped (RP3β, Paudel et al., 2017).

    Attributes:
        top_n: how many neighbours of a trend are kept.
        item_exponent: 0 keeps popularity as it is, 1 divides it out.
    """

    top_n: int
    item_exponent: float

    def fit(self, interactions: Interactions) -> ItemToItem:
        """Walk over all known uses, the recent ones more often."""
        used, recent = interactions.used, interactions.recency
        by_trend = sp.diags(1 / np.maximum(_column_sums(used), 1)) @ used.T
        by_creator = sp.diags(1 / np.maximum(np.asarray(recent.sum(axis=1)).ravel(), 1e-9)) @ recent
        popularity = np.maximum(_column_sums(used), 1)
        return ItemToItem(_top(by_trend @ by_creator @ sp.diags(popularity**-self.item_exponent), self.top_n))


@dataclass(frozen=True)
class CoAdoptionCandidates:
    """Closed-form linear autoencoder over who used what together (EASE, Steck, 2019), its largest weights kept.

    Attributes:
        top_n: how many positive weights of a trend are kept.
        ridge: regularisation λ of the Gram matrix.
    """

    top_n: int
    ridge: float

    def fit(self, interactions: Interactions) -> ItemToItem:
        """Invert the regularised Gram matrix; O(n³) in the number of live trends."""
        gram = np.asarray((interactions.used.T @ interactions.used).toarray())
        gram[np.diag_indices_from(gram)] += self.ridge
        inverse = np.linalg.inv(gram)
        weights = -inverse / np.diag(inverse)
        np.fill_diagonal(weights, 0)
        return ItemToItem(_top(sp.csr_matrix(np.maximum(weights, 0)), self.top_n))


@dataclass(frozen=True)
class TrendingCandidates:
    """First uses in the last 7 days, in the creator's region and, less so, everywhere.

    Attributes:
        worldwide_weight: how much a first use elsewhere counts beside one in the region.
    """

    worldwide_weight: float

    def fit(self, interactions: Interactions) -> PerRegion:
        """Count by region."""
        everywhere = interactions.adopters[7]
        codes = tuple(interactions.by_region)
        rows = [interactions.by_region[code] + self.worldwide_weight * everywhere for code in codes]
        return PerRegion(codes, np.stack([everywhere, *rows]))


GENERATORS: Mapping[str, type[ItemToItem] | type[PerRegion]] = {
    "walk": ItemToItem,
    "coadoption": ItemToItem,
    "trending": PerRegion,
}
"""The generators of a market, in the order of their pair features, with the form each is fitted to."""


def fit_generators(interactions: Interactions, settings: CandidateSettings) -> dict[str, Generator]:
    """Every generator of `GENERATORS`, fitted."""
    return {
        "walk": WalkCandidates(settings.walk_top_n, settings.walk_item_exponent).fit(interactions),
        "coadoption": CoAdoptionCandidates(settings.walk_top_n, settings.coadoption_ridge).fit(interactions),
        "trending": TrendingCandidates(settings.worldwide_weight).fit(interactions),
    }


def propose(scores: Mapping[str, Floats], allowed: npt.NDArray[np.bool_], limit: int) -> Ints:
    """Rows worth scoring for one creator: the best places over all generators, ties by row.

    Args:
        scores: generator → score of every trend, shape (n,).
        allowed: trends that may be recommended to this creator, shape (n,).
        limit: how many rows at the most.

    Returns:
        Rows in ascending order, shape (≤ limit,).
    """
    rows = np.flatnonzero(allowed)
    if len(rows) <= limit:
        return rows
    best = np.full(len(rows), len(rows))
    for score in scores.values():
        order = np.argsort(-score[rows], kind="stable")
        best[order] = np.minimum(best[order], np.arange(len(rows)))
    return np.sort(rows[np.argsort(best, kind="stable")[:limit]])


def _column_sums(matrix: sp.csr_matrix) -> Floats:
    return np.asarray(matrix.sum(axis=0)).ravel().astype(float)


def _top(matrix: sp.spmatrix, top_n: int) -> sp.csr_matrix:
    """The `top_n` largest entries of each row, the diagonal left out; ties by column number."""
    whole = matrix.tocsr()
    whole.setdiag(0)
    whole.eliminate_zeros()
    whole.sort_indices()
    row = np.repeat(np.arange(whole.shape[0]), np.diff(whole.indptr))
    order = np.lexsort((whole.indices, -whole.data, row))
    place = np.arange(len(order)) - whole.indptr[row[order]]
    kept = np.sort(order[place < top_n])
    return sp.csr_matrix((whole.data[kept], (row[kept], whole.indices[kept])), whole.shape)
