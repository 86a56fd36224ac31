"""Who used what by an instant: the one input that every candidate generator is fitted to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from features.history import DAY, History

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Strings = npt.NDArray[np.object_]


@dataclass(frozen=True)
class Interactions:
    """Creators × vocabulary, as of an instant.

    The vocabulary holds every trend worth learning from, live or not, the words that creators say and their regions;
    the targets are the live trends, which may be recommended.

    Attributes:
        used: creators × vocabulary, 1 where the creator ever used the trend, shape (c, v).
        age: days since the latest such use, at the same places, shape (c, v).
        first_age: days since the first, at the same places, shape (c, v).
        posts: posts × vocabulary, 1 where the post uses the trend, shape (p, v).
        texts: the hashtags' names, empty for everything else, shape (v,).
        targets: place in the vocabulary of each market row, ascending, shape (n,).
        said: creators × vocabulary, 1 where the creator says the word, shape (c, v).
        based: creators × vocabulary, 1 at the creator's region, shape (c, v).
    """

    used: sp.csr_matrix
    age: sp.csr_matrix
    first_age: sp.csr_matrix
    posts: sp.csr_matrix
    texts: Strings
    targets: Ints
    said: sp.csr_matrix
    based: sp.csr_matrix

    @classmethod
    def undated(cls, used: sp.csr_matrix, targets: Ints | None = None) -> Interactions:
        """Where nothing is known but who used what, as if all of it had just happened.

        Args:
            used: creators × vocabulary, shape (c, v).
            targets: what may be recommended; the whole vocabulary where not given.
        """
        words = used.shape[1]
        return cls(
            used=used,
            age=used.copy(),
            first_age=used.copy(),
            posts=sp.csr_matrix((0, words)),
            texts=np.full(words, "", object),
            targets=np.arange(words) if targets is None else targets,
            said=sp.csr_matrix(used.shape),
            based=sp.csr_matrix(used.shape),
        )

    def adopted(self, half_life_days: float) -> sp.csr_matrix:
        """Like `used`, each first use halved every `half_life_days`."""
        return _halved(self.first_age, half_life_days)

    def recent(self, half_life_days: float) -> sp.csr_matrix:
        """Like `used`, each latest use halved every `half_life_days`."""
        return _halved(self.age, half_life_days)


def _halved(age: sp.csr_matrix, half_life_days: float) -> sp.csr_matrix:
    weights = age.copy()
    weights.data = 0.5 ** (age.data / half_life_days)
    return weights


def vocabulary(history: History, market: Strings, regions: Strings, least_creators: int, most: int) -> Strings:
    """Keys of the market's trends and of the most used others, of all words and regions, sorted.

    Args:
        history: what was known.
        market: keys of the live trends.
        regions: of the history's creators, empty where unknown.
        least_creators: a trend with fewer creators ever teaches nothing about others.
        most: how many trends beside the market.
    """
    creators = np.bincount(history.use_trend[history.first_uses()], minlength=len(history.trends["key"]))
    known = np.flatnonzero(creators >= least_creators)
    top = known[np.argsort(-creators[known], kind="stable")[:most]]
    based = np.array([region_key(region) for region in regions if region], object)
    keys = np.concatenate([history.trends["key"][top], market, history.words, based])
    return np.unique(keys.astype(str)).astype(object)


def region_key(region: str) -> str:
    """The word that says where a creator is."""
    return f"region:{region}"


def is_trend(key: str) -> bool:
    """Whether a key of the vocabulary is a trend's."""
    return key.startswith(("hashtag:", "sound:"))


def from_history(history: History, words: Strings, market: Strings, regions: Strings) -> Interactions:
    """The interactions of a history over a vocabulary.

    Args:
        history: what was known.
        words: the vocabulary's keys, sorted.
        market: keys of the live trends, sorted; all of them in `words`.
        regions: of the history's creators, empty where unknown, shape (c,).
    """
    column = places(history.trends["key"], words)[history.use_trend]
    inside = np.flatnonzero(column >= 0)
    creator, column = history.use_creator[inside], column[inside]
    pair, number = np.unique(creator * len(words) + column, return_inverse=True)
    age = (history.now - history.use_created[inside]) / DAY
    youngest, oldest = np.full(len(pair), np.inf), np.zeros(len(pair))
    np.minimum.at(youngest, number, age)
    np.maximum.at(oldest, number, age)
    place, shape = (pair // len(words), pair % len(words)), (len(history.creators), len(words))
    return Interactions(
        used=sp.csr_matrix((np.ones(len(pair)), place), shape),
        age=sp.csr_matrix((np.maximum(youngest, 1e-9), place), shape),
        first_age=sp.csr_matrix((np.maximum(oldest, 1e-9), place), shape),
        posts=_ones(history.use_post[inside], column, (len(history.posts["created"]), len(words))),
        texts=np.array([key.removeprefix("hashtag:") if key.startswith("hashtag:") else "" for key in words], object),
        targets=places(market, words),
        said=_ones(history.said_by, places(history.words, words)[history.said], shape),
        based=_ones(*_bases(regions, words), shape),
    )


def _ones(row: Ints, column: Ints, shape: tuple[int, int]) -> sp.csr_matrix:
    return sp.csr_matrix((np.ones(len(row)), (row, column)), shape)


def _bases(regions: Strings, words: Strings) -> tuple[Ints, Ints]:
    """Creator and word of every known region."""
    known = np.flatnonzero(regions.astype(bool))
    return known, places(np.array([region_key(region) for region in regions[known]], object), words)


def places(names: Strings, keys: Strings) -> Ints:
    """For each of `names` its place among the sorted `keys`, -1 where it is not there, the shape of `names`."""
    if len(keys) == 0:
        return np.full(len(names), -1)
    text, sorted_keys = names.astype(str), keys.astype(str)
    at = np.minimum(np.searchsorted(sorted_keys, text), len(keys) - 1)
    return np.where(sorted_keys[at] == text, at, -1)
