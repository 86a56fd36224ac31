"""Candidate generators: each a typed config and one call that fits it to who used what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol, cast

import numpy as np
import scipy.sparse as sp

from configs import CandidateSettings
from models.generators.forms import Generator, ItemToItem, Latent, lean, strongest
from models.generators.trending import ClusterTrendCandidates, RegionTrendCandidates
from models.interactions import Floats, Interactions, Ints, Strings

GRAM_SPACE: Final = 2**16


class Candidates(Protocol):
    """A generator's config; fitting it is its only verb."""

    def fit(self, interactions: Interactions) -> Generator:
        """Fit to who used what."""
        ...


@dataclass(frozen=True)
class WalkCandidates:
    """Three-step random walk trend → creator → trend over the adoption graph (RP3, Cooper et al., 2014).

    Attributes:
        half_life_days: the last step prefers recent uses; None takes all uses alike.
        top_n: how many targets of a trend are kept.
    """

    half_life_days: float | None
    top_n: int

    def fit(self, interactions: Interactions) -> ItemToItem:
        """See `Candidates.fit`."""
        last = interactions.used if self.half_life_days is None else interactions.recent(self.half_life_days)
        step = _from_trends(interactions) @ (_by_creator(interactions) @ last[:, interactions.targets])
        return ItemToItem(strongest(_without_self(step, interactions.targets), self.top_n))


@dataclass(frozen=True)
class LongWalkCandidates:
    """Five-step walk: one round trip over all uses, then one whose last step prefers recent uses.

    Attributes:
        half_life_days: of the last step.
        middle_n: how many trends each trend's first round trip keeps.
        top_n: how many targets of a trend are kept.
    """

    half_life_days: float
    middle_n: int
    top_n: int

    def fit(self, interactions: Interactions) -> ItemToItem:
        """See `Candidates.fit`."""
        there, back = _from_trends(interactions), _by_creator(interactions)
        middle = strongest(there @ (back @ interactions.used), self.middle_n)
        last = there @ (back @ interactions.recent(self.half_life_days)[:, interactions.targets])
        last = strongest(_without_self(last, interactions.targets), self.top_n)
        return ItemToItem(strongest(middle @ last, self.top_n))


@dataclass(frozen=True)
class SamePostCandidates:
    """Trends that stand in one post together, both the trend's and the post's size damped."""

    top_n: int

    def fit(self, interactions: Interactions) -> ItemToItem:
        """See `Candidates.fit`."""
        posts = interactions.posts
        size = np.maximum(_sums(posts, axis=1), 1)
        together = _inverse(_sums(interactions.used, axis=0), 0.75) @ posts.T @ (_inverse(size, 0.5) @ posts)
        return ItemToItem(strongest(_without_self(together[:, interactions.targets], interactions.targets), self.top_n))


@dataclass(frozen=True)
class TextCandidates:
    """Hashtags spelled alike: cosine of hashed character 3- to 5-grams.

    Attributes:
        least: smaller cosines are dropped.
        top_n: how many targets of a trend are kept.
    """

    least: float
    top_n: int

    def fit(self, interactions: Interactions) -> ItemToItem:
        """See `Candidates.fit`."""
        grams = _grams(interactions.texts)
        alike = (grams @ grams[interactions.targets].T).tocsr()
        alike.data[alike.data < self.least] = 0
        return ItemToItem(strongest(_without_self(alike, interactions.targets), self.top_n))


@dataclass(frozen=True)
class CaptionCandidates:
    """What creators who speak alike used lately: from the words of captions, the rarer a word the louder.

    Attributes:
        half_life_days: of a use's weight.
        top_n: how many targets of a word are kept.
    """

    half_life_days: float
    top_n: int

    def fit(self, interactions: Interactions) -> ItemToItem:
        """See `Candidates.fit`."""
        by_word = _inverse(_sums(interactions.said, axis=0), 0.5)
        said = (interactions.said @ by_word).tocsr()
        by_length = _inverse(np.sqrt(_sums(said.multiply(said).tocsr(), axis=1)))
        recent = interactions.recent(self.half_life_days)[:, interactions.targets]
        by_creator = _inverse(np.maximum(_sums(interactions.used, axis=1), 1), 0.5)
        spoken = (by_length @ said).T.tocsr()
        return ItemToItem(strongest(by_word @ (spoken @ (by_creator @ recent)), self.top_n))


@dataclass(frozen=True)
class CoAdoptionCandidates:
    """Closed-form linear autoencoder of recency-weighted uses (EASE, Steck, 2019).

    Attributes:
        ridge: λ of the Gram matrix.
        half_life_days: of a use's weight.
        most: how many trends of the vocabulary take part; O(most³).
        top_n: how many targets of a trend are kept.
    """

    ridge: float
    half_life_days: float
    most: int
    top_n: int

    def fit(self, interactions: Interactions) -> ItemToItem:
        """See `Candidates.fit`."""
        targets = interactions.targets
        popular = np.argsort(-_sums(interactions.used, axis=0), kind="stable")[: self.most]
        words = np.union1d(popular, targets)
        uses = interactions.recent(self.half_life_days)[:, words]
        gram = np.asarray((uses.T @ uses).toarray())
        gram[np.diag_indices_from(gram)] += self.ridge
        inverse = _inverse_of_definite(gram)
        weights = -inverse / np.diag(inverse)
        np.fill_diagonal(weights, 0)
        here = np.searchsorted(words, targets)
        rows = sp.csr_matrix(
            (np.ones(len(words)), (words, np.arange(len(words)))), (len(interactions.texts), len(words))
        )
        return ItemToItem(strongest(rows @ sp.csr_matrix(np.maximum(weights[:, here], 0)), self.top_n))


@dataclass(frozen=True)
class NeighbourCandidates:
    """What creators like you took up lately: likeness in a truncated SVD of the adoption graph.

    Attributes:
        dimensions: of the space.
        half_life_days: of a neighbour's use.
    """

    dimensions: int
    half_life_days: float

    def fit(self, interactions: Interactions) -> Latent:
        """See `Candidates.fit`."""
        used = interactions.used
        by_creator = _inverse(np.maximum(_sums(used, axis=1), 1), 0.5)
        by_trend = _inverse(_sums(used, axis=0), 0.5)
        rank = min(self.dimensions, *used.shape)
        words = np.asarray(by_trend @ _right_directions((by_creator @ used @ by_trend).tocsr(), rank))
        vectors = np.asarray(used @ words)
        vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
        recent = interactions.recent(self.half_life_days)[:, interactions.targets]
        return Latent.of(words, np.ascontiguousarray(np.asarray(recent.T @ (by_creator @ vectors)).T))


OF_HISTORY: Final = ("walk", "recent_walk", "long_walk", "same_post", "text", "coadoption", "neighbours")
"""The generators that know a creator by the trends used alone."""

GENERATORS: Final = (*OF_HISTORY, "captions", "cluster_trends", "region_trends")
"""The generators of a market, in the order of their pair features."""


def fit_generators(interactions: Interactions, settings: CandidateSettings) -> dict[str, Generator]:
    """Every generator of `GENERATORS`, fitted."""
    top_n, half_life = settings.top_n, settings.walk_half_life_days
    configured: Mapping[str, Candidates] = {
        "walk": WalkCandidates(None, top_n),
        "recent_walk": WalkCandidates(half_life, top_n),
        "long_walk": LongWalkCandidates(half_life, settings.middle_n, top_n),
        "same_post": SamePostCandidates(top_n),
        "text": TextCandidates(settings.least_cosine, top_n),
        "coadoption": CoAdoptionCandidates(
            settings.coadoption_ridge, settings.coadoption_half_life_days, settings.coadoption_trends, top_n
        ),
        "neighbours": NeighbourCandidates(settings.dimensions, settings.neighbour_half_life_days),
    }
    fitted: dict[str, Generator] = {name: configured[name].fit(interactions) for name in OF_HISTORY}
    space, trending = cast(Latent, fitted["neighbours"]), settings.trending
    fitted["cluster_trends"] = ClusterTrendCandidates(
        space,
        trending.creators_per_cluster,
        trending.most_clusters,
        trending.half_life_days,
        trending.prior_adoptions,
    ).fit(interactions)
    fitted["region_trends"] = RegionTrendCandidates(trending.half_life_days, trending.prior_adoptions, top_n).fit(
        interactions
    )
    fitted["captions"] = CaptionCandidates(settings.caption_half_life_days, top_n).fit(interactions)
    return {name: lean(generator) for name, generator in fitted.items()}


_seen_grams: dict[str, tuple[Ints, Floats]] = {}
"""Name → places and values of its n-grams; the same names come back at every cut-off."""


def _grams(texts: Strings) -> sp.csr_matrix:
    """Hashed character n-grams of names, rows of unit length."""
    from sklearn.feature_extraction.text import HashingVectorizer

    new = sorted(set(texts) - _seen_grams.keys())
    if new:
        rows = HashingVectorizer(
            analyzer="char_wb", ngram_range=(3, 5), n_features=GRAM_SPACE, alternate_sign=False, norm="l2"
        ).transform(new)
        spans = zip(new, rows.indptr, rows.indptr[1:], strict=False)
        _seen_grams.update({text: (rows.indices[i:j], rows.data[i:j]) for text, i, j in spans})
    nothing: tuple[Ints, Floats] = (np.zeros(0, np.int64), np.zeros(0))
    found = [nothing, *(_seen_grams[text] for text in texts)]
    indptr = np.cumsum([len(indices) for indices, _ in found])
    indices, data = (np.concatenate([part[at] for part in found]) for at in (0, 1))
    return sp.csr_matrix((data, indices, indptr), (len(texts), GRAM_SPACE))


def _inverse_of_definite(matrix: Floats) -> Floats:
    """The inverse of a symmetric positive definite matrix, by Cholesky: half the work of a general one."""
    from scipy.linalg.lapack import dpotrf, dpotri

    if not matrix.size:
        return matrix
    factor, failed = dpotrf(matrix)
    inverse, also_failed = dpotri(factor)
    if failed or also_failed:
        raise np.linalg.LinAlgError("the Gram matrix is not positive definite; raise candidates.coadoption_ridge")
    return np.asarray(np.triu(inverse) + np.triu(inverse, 1).T)


def _from_trends(interactions: Interactions) -> sp.csr_matrix:
    """Probability of stepping from a trend to each of its creators, shape (v, c)."""
    return (_inverse(_sums(interactions.used, axis=0)) @ interactions.used.T).tocsr()


def _by_creator(interactions: Interactions) -> sp.dia_matrix:
    """Divides a creator's uses by how many trends the creator used."""
    return _inverse(np.maximum(_sums(interactions.used, axis=1), 1))


def _sums(matrix: sp.csr_matrix, axis: int) -> Floats:
    return np.asarray(matrix.sum(axis=axis)).ravel().astype(float)


def _inverse(values: Floats, power: float = 1.0) -> sp.dia_matrix:
    return sp.diags(np.where(values > 0, np.maximum(values, 1e-12) ** -power, 0.0))


def _right_directions(matrix: sp.csr_matrix, rank: int) -> Floats:
    """The leading right singular vectors, shape (v, rank); `svds` would leave ARPACK's restarts to chance.

    ARPACK wants fewer vectors than there are, and may give up where a small graph falls apart; all of them are worked
    out then, O(side³).
    """
    from scipy.linalg import eigh
    from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

    if rank == 0:
        return np.zeros((matrix.shape[1], 0))
    short = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T.tocsr()
    side = short.shape[1]
    gram = LinearOperator((side, side), matvec=lambda x: short.T @ (short @ x), dtype=np.float64)
    try:
        vectors = eigsh(gram, k=rank, v0=np.ones(side), rng=0)[1] if rank < side else None
    except ArpackError:
        vectors = None
    if vectors is None:
        _, vectors = eigh((short.T @ short).toarray(), subset_by_index=(side - rank, side - 1))
    if short is matrix:
        return np.asarray(vectors)
    right = np.asarray(short @ vectors)
    return np.asarray(right / np.maximum(np.linalg.norm(right, axis=0), 1e-9))


def _without_self(matrix: sp.spmatrix, targets: Ints) -> sp.csr_matrix:
    """The matrix with every target's entry for itself removed."""
    rows = sp.csr_matrix(matrix)
    rows.sort_indices()
    row = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    rows.data[targets[rows.indices] == row] = 0
    rows.eliminate_zeros()
    return rows
