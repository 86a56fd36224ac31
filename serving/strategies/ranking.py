"""Which strategies apply to a creator, best first, and which viral artists are nearest to them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from features.evidence.lifts import Measure
from features.evidence.viral import Viral
from models.creator import Creator
from models.strategies.kinds import FIT_WEIGHT, PRIOR_LIFT, own_conditions, shrunk_lift
from serving.strategies.library import LibraryStrategy
from serving.strategies.published import PublishedLibrary
from serving.strategies.schemas import RankedItem

__all__ = [
    "PRIOR_LIFT",
    "Near",
    "RankedStrategy",
    "condition_features",
    "nearest_artists",
    "rank_strategies",
    "shrunk_lift",
]

RISING: Final = ("emerging", "rising")
SIZE_PENALTY: Final = 0.1
"""What a factor of ten in followers costs in cosine."""
REGION_BONUS: Final = 0.1


@dataclass(frozen=True)
class RankedStrategy:
    """A strategy with its score: `shrunk + FIT_WEIGHT · fit` by the rule, see `shrunk_lift`.

    Attributes:
        measure: what it was worth to whoever did it in the lake.
        followed: what it was worth to those who were given it and followed.
        learned: what the released ranker adds to the rule, 0 without one.
    """

    strategy: LibraryStrategy
    measure: Measure | None
    fit: float
    shrunk: float
    followed: Measure | None = None
    learned: float = 0.0

    @property
    def score(self) -> float:
        """In log-lift."""
        return self.shrunk + FIT_WEIGHT * self.fit + self.learned


@dataclass(frozen=True)
class Near:
    """A viral artist and how near they are: cosine of tastes, less a penalty for size, more in the same region."""

    artist: Viral
    nearness: float
    cosine: float


def condition_features(creator: Creator, items: Iterable[RankedItem], is_business: bool = False) -> dict[str, float]:
    """The features that the library's conditions speak of; unknown ones are NaN."""
    usable = [i for i in items if i.kind != "sound" or not is_business or i.cleared_for_business is not False]
    sounds, tags = ([i for i in usable if i.kind == kind] for kind in ("sound", "hashtag"))
    weekend = float(creator.weekday_profile[5:].sum()) if creator.known else math.nan
    return {
        **own_conditions(creator.column, float(creator.known), float(bool(creator.region)), weekend),
        "is_business": float(is_business),
        "slate_sounds": float(len(sounds)),
        "slate_hashtags": float(len(tags)),
        "rising_items": float(sum(i.stage in RISING for i in usable)),
        "rising_sounds": float(sum(i.stage in RISING for i in sounds)),
        "rising_tags": float(sum(i.stage in RISING for i in tags)),
        "emerging_sounds": float(sum(i.stage == "emerging" for i in sounds)),
        "evergreen_sounds": float(sum(i.stage == "evergreen" for i in sounds)),
    }


def rank_strategies(
    strategies: Mapping[str, LibraryStrategy],
    published: PublishedLibrary,
    known: Mapping[str, float],
    creator: Creator | None = None,
) -> list[RankedStrategy]:
    """The strategies whose conditions hold, best first; ties by id.

    By the released ranker where there is one and a creator is named, else by the rule alone.
    """
    ranked = [
        RankedStrategy(s, measure, s.fit(known), shrunk_lift(measure, followed), followed)
        for s in strategies.values()
        if s.applies(known)
        for measure, followed in [(published.measures.get(s.evidence), published.outcomes.get(s.id))]
    ]
    if published.order is not None and creator is not None and ranked:
        kinds = [one.strategy for one in ranked]
        scores = published.order.scores(kinds, published.measures, published.outcomes, known, creator)
        ranked = [
            replace(one, learned=round(score - one.score, 9))
            for one, score in zip(ranked, scores.tolist(), strict=True)
        ]
    return sorted(ranked, key=lambda r: (-r.score, r.strategy.id))


def nearest_artists(creator: Creator | None, published: PublishedLibrary, chosen: Sequence[int]) -> list[Near]:
    """The chosen artists (places in the library), nearest to the creator first; by their burst for nobody."""
    if creator is None or not len(chosen):
        return [Near(published.artists[at], 0.0, 0.0) for at in chosen]
    tastes, artists = published.tastes(), published.artists
    cosines = tastes[list(chosen)] @ creator.taste if tastes.shape[1] == len(creator.taste) else np.zeros(len(chosen))
    followers = creator.column("followers")
    found = []
    for at, cosine in zip(chosen, cosines.tolist(), strict=True):
        size = artists[at].size
        apart = abs(size - followers) / math.log(10) if size is not None and not math.isnan(followers) else 0.0
        same = bool(creator.region) and artists[at].region == creator.region
        is_self = artists[at].artist_id == f"creator:{creator.creator_id}"
        if not is_self:
            found.append(Near(artists[at], cosine - SIZE_PENALTY * apart + REGION_BONUS * same, cosine))
    return sorted(found, key=lambda near: (-near.nearness, near.artist.artist_id))
