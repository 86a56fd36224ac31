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

    The vocabulary holds every trend worth learning from, live or not; the targets are the live ones, which may be
    recommended.

    Attributes:
        used: creators × vocabulary, 1 where the creator ever used the trend, shape (c, v).
        age: days since the latest such use, at the same places, shape (c, v).
        posts: posts × vocabulary, 1 where the post uses the trend, shape (p, v).
        texts: the hashtags' names, empty for sounds, shape (v,).
        targets: place in the vocabulary of each market row, ascending, shape (n,).
    """

    used: sp.csr_matrix
    age: sp.csr_matrix
    posts: sp.csr_matrix
    texts: Strings
    targets: Ints

    def recent(self, half_life_days: float) -> sp.csr_matrix:
        """Like `used`, each use halved every `half_life_days`."""
        weights = self.age.copy()
        weights.data = 0.5 ** (self.age.data / half_life_days)
        return weights


def vocabulary(history: History, market: Strings, least_creators: int, most: int) -> Strings:
    """Keys of the market's trends and of the most used others, sorted.

    Args:
        history: what was known.
        market: keys of the live trends.
        least_creators: a trend with fewer creators ever teaches nothing about others.
        most: how many beside the market.
    """
    creators = np.bincount(history.use_trend[history.first_uses()], minlength=len(history.trends["key"]))
    known = np.flatnonzero(creators >= least_creators)
    top = known[np.argsort(-creators[known], kind="stable")[:most]]
    return np.unique(np.concatenate([history.trends["key"][top], market]).astype(str)).astype(object)


def from_history(history: History, words: Strings, market: Strings) -> Interactions:
    """The interactions of a history over a vocabulary.

    Args:
        history: what was known.
        words: the vocabulary's keys, sorted.
        market: keys of the live trends, sorted; all of them in `words`.
    """
    column = places(history.trends["key"], words)[history.use_trend]
    inside = np.flatnonzero(column >= 0)
    creator, column = history.use_creator[inside], column[inside]
    pair, number = np.unique(creator * len(words) + column, return_inverse=True)
    youngest = np.full(len(pair), np.inf)
    np.minimum.at(youngest, number, (history.now - history.use_created[inside]) / DAY)
    place, shape = (pair // len(words), pair % len(words)), (len(history.creators), len(words))
    in_post = (history.use_post[inside], column)
    return Interactions(
        used=sp.csr_matrix((np.ones(len(pair)), place), shape),
        age=sp.csr_matrix((np.maximum(youngest, 1e-9), place), shape),
        posts=sp.csr_matrix((np.ones(len(inside)), in_post), (len(history.posts["created"]), len(words))),
        texts=np.array([key.removeprefix("hashtag:") if key.startswith("hashtag:") else "" for key in words], object),
        targets=places(market, words),
    )


def places(names: Strings, keys: Strings) -> Ints:
    """For each of `names` its place among the sorted `keys`, -1 where it is not there, the shape of `names`."""
    if len(keys) == 0:
        return np.full(len(names), -1)
    text, sorted_keys = names.astype(str), keys.astype(str)
    at = np.minimum(np.searchsorted(sorted_keys, text), len(keys) - 1)
    return np.where(sorted_keys[at] == text, at, -1)
