"""A creator as a ranker sees one: profile, taste and history as of an instant, or what a newcomer declares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import scipy.sparse as sp

from features.contract import trend_key
from features.creators import PROFILE
from features.taste import TASTE_DIMENSIONS, directions
from models.interactions import Floats, Ints, region_key
from models.market import Market

CREATOR_COLUMNS: Final = tuple(spec.name for spec in PROFILE)
"""The creator side of the ranker's features."""

_AT: Final = {name: at for at, name in enumerate(CREATOR_COLUMNS)}


@dataclass(frozen=True)
class Words:
    """What of a market's vocabulary speaks for a creator.

    Attributes:
        columns: ascending, shape (w,).
        blank: the creator used nothing of the vocabulary.
    """

    columns: Ints
    blank: bool

    @classmethod
    def of(cls, creator: Creator, market: Market) -> Words:
        """Look everything up that a creator used and said."""
        return cls(np.array(word_columns(creator, market), np.int64), is_blank(creator, market))


@dataclass(frozen=True)
class Creator:
    """One creator's state.

    Attributes:
        creator_id: the username.
        known: False for someone of whom no post is known.
        region: region code, empty where unknown.
        profile: the columns of `CREATOR_COLUMNS`, shape (f,).
        taste: unit vector, shape (d,), zeros where nothing is known.
        hour_profile: share of posts by hour of day UTC, shape (24,).
        weekday_profile: share of posts by weekday, Monday first, shape (7,).
        trend_keys: every trend ever used.
        words: of the captions, and original sounds, that others say, too; see `features.captions`.
        adopted, dismissed: trends of recommendations that they took up, or want no more of.
    """

    creator_id: str
    known: bool
    region: str
    profile: Floats
    taste: Floats
    hour_profile: Floats
    weekday_profile: Floats
    trend_keys: tuple[str, ...]
    words: tuple[str, ...] = ()
    adopted: tuple[str, ...] = ()
    dismissed: tuple[str, ...] = ()

    @classmethod
    def from_row(cls, row: Mapping[Any, Any]) -> Creator:
        """From one creator's features: creator_id, `CREATOR_FEATURES` and trend_keys of the history."""
        return cls(
            creator_id=str(row["creator_id"]),
            known=True,
            region=row["region"] or "",
            profile=np.array([row[name] for name in CREATOR_COLUMNS], float),
            taste=np.asarray(row["creator_taste"], float),
            hour_profile=np.asarray(row["hour_profile"], float),
            weekday_profile=np.asarray(row["weekday_profile"], float),
            trend_keys=tuple(row["trend_keys"]),
            words=tuple(row["words"]),
        )

    @classmethod
    def newcomer(cls, creator_id: str, region: str = "", tags: Iterable[str] = ()) -> Creator:
        """Somebody nobody has seen: the declared hashtags stand for a history, all counts are unknown or 0."""
        keys = tuple(sorted({trend_key("hashtag", tag.lstrip("#").lower()) for tag in tags if tag.strip("# ")}))
        taste = directions(list(keys)).sum(axis=0) if keys else np.zeros(TASTE_DIMENSIONS)
        return cls(
            creator_id=creator_id,
            known=False,
            region=region,
            profile=np.full(len(CREATOR_COLUMNS), np.nan),
            taste=taste / max(float(np.linalg.norm(taste)), 1e-12),
            hour_profile=np.full(24, 1 / 24),
            weekday_profile=np.full(7, 1 / 7),
            trend_keys=keys,
        )

    def column(self, name: str) -> float:
        """One value of `profile`."""
        return float(self.profile[_AT[name]])

    def since(self, used: Iterable[str], adopted: Iterable[str], dismissed: Iterable[str]) -> Creator:
        """The creator after these trends, too; of somebody nobody has seen they stand for a history."""
        keys = tuple(sorted({*self.trend_keys, *used}))
        taste = self.taste
        if not self.known and keys != self.trend_keys:
            taste = directions(list(keys)).sum(axis=0)
            taste = taste / max(float(np.linalg.norm(taste)), 1e-12)
        return replace(
            self,
            trend_keys=keys,
            taste=taste,
            adopted=tuple(sorted({*self.adopted, *adopted})),
            dismissed=tuple(sorted({*self.dismissed, *dismissed})),
        )

    def words_of(self, market: Market) -> Words:
        """What of a market's vocabulary speaks for this creator; looked up once for as long as this object is kept."""
        vocabulary, found = self._known.get("words", (None, None))
        if vocabulary is not market.word_of or found is None:
            found = Words.of(self, market)
            self._known["words"] = market.word_of, found
        return found

    @cached_property
    def _known(self) -> dict[str, tuple[Mapping[str, int], Any]]:
        return {}

    def __getstate__(self) -> dict[str, Any]:
        """Only what the creator is made of."""
        return {name: value for name, value in vars(self).items() if name != "_known"}

    def rows_used(self, market: Market) -> Ints:
        """Rows of the market's trends that this creator has used or taken up, ascending, not to be written.

        Looked up as words are.
        """
        place, found = self._known.get("used", (None, None))
        if place is not market.row_of or found is None:
            keys = self.trend_keys if not self.adopted else {*self.trend_keys, *self.adopted}
            found = np.array(sorted(row for key in keys if (row := market.row_of.get(key)) is not None), np.int64)
            found.flags.writeable = False
            self._known["used"] = market.row_of, found
        return found

    def rows_dismissed(self, market: Market) -> list[int]:
        """Rows of the market's trends that this creator wants no more of, ascending."""
        return sorted(row for key in self.dismissed if (row := market.row_of.get(key)) is not None)


def histories(creators: Sequence[Creator], market: Market) -> sp.csr_matrix:
    """Each creator as the generators take it, over the market's vocabulary, 1 at its words, shape (q, v)."""
    words = [word_columns(creator, market) for creator in creators]
    indptr = np.cumsum([0, *map(len, words)])
    indices = np.concatenate([np.array(row, np.int64) for row in words]) if words else np.zeros(0, np.int64)
    return sp.csr_matrix((np.ones(len(indices)), indices, indptr), (len(words), len(market.word_of)))


def word_columns(creator: Creator, market: Market) -> list[int]:
    """Columns of the vocabulary that speak for a creator, ascending: trends used, words said, and the region."""
    keys = (*creator.trend_keys, *creator.words, region_key(creator.region))
    return sorted(word for key in keys if (word := market.word_of.get(key)) is not None)


def is_blank(creator: Creator, market: Market) -> bool:
    """Whether the creator used nothing of the vocabulary."""
    return not any(key in market.word_of for key in creator.trend_keys)
