"""Which strategies apply to a creator, best first, and which viral artists are nearest to them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from features.strategy_evidence import Z80, Measure
from features.viral import Viral
from models.creator import Creator
from serving.strategies.library import LibraryStrategy
from serving.strategies.published import PublishedLibrary
from serving.strategies.schemas import RankedItem

PRIOR_LIFT: Final = 0.1
"""How far true lifts of strategies lie apart, as a standard deviation of log-lift."""
FIT_WEIGHT: Final = 0.1
"""What a whole fit is worth above none, in log-lift."""
RISING: Final = ("emerging", "rising")
SIZE_PENALTY: Final = 0.1
"""What a factor of ten in followers costs in cosine."""
REGION_BONUS: Final = 0.1


@dataclass(frozen=True)
class RankedStrategy:
    """A strategy with its score: `shrunk + FIT_WEIGHT · fit`, where `shrunk = lift · τ² ÷ (τ² + se²)`."""

    strategy: LibraryStrategy
    measure: Measure | None
    fit: float
    shrunk: float

    @property
    def score(self) -> float:
        """In log-lift."""
        return self.shrunk + FIT_WEIGHT * self.fit


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
    uses, share = creator.column("trends_per_post"), creator.column("creator_sound_share")
    return {
        "known": float(creator.known),
        "is_business": float(is_business),
        "region_known": float(bool(creator.region)),
        "followers": math.expm1(creator.column("followers")),
        **{
            name: creator.column(name)
            for name in (
                "posts_known",
                "posts_7d",
                "posts_28d",
                "cadence",
                "days_since_post",
                "median_engagement",
                "adoption_rate",
                "mainstream",
            )
        },
        "tags_per_post": uses * (1 - share),
        "sound_share": share,
        "weekend_share": float(creator.weekday_profile[5:].sum()) if creator.known else math.nan,
        "slate_sounds": float(len(sounds)),
        "slate_hashtags": float(len(tags)),
        "rising_items": float(sum(i.stage in RISING for i in usable)),
        "rising_sounds": float(sum(i.stage in RISING for i in sounds)),
        "rising_tags": float(sum(i.stage in RISING for i in tags)),
        "emerging_sounds": float(sum(i.stage == "emerging" for i in sounds)),
        "evergreen_sounds": float(sum(i.stage == "evergreen" for i in sounds)),
    }


def shrunk_lift(measure: Measure | None) -> float:
    """The measured lift drawn towards 0 by its uncertainty; 0 where there is not enough data."""
    if measure is None or measure.lift is None or measure.lo is None or measure.hi is None:
        return 0.0
    error = (measure.hi - measure.lo) / (2 * Z80)
    return measure.lift * PRIOR_LIFT**2 / (PRIOR_LIFT**2 + error**2)


def rank_strategies(
    strategies: Mapping[str, LibraryStrategy], published: PublishedLibrary, known: Mapping[str, float]
) -> list[RankedStrategy]:
    """The strategies whose conditions hold, best first; ties by id."""
    ranked = [
        RankedStrategy(s, measure, s.fit(known), shrunk_lift(measure))
        for s in strategies.values()
        if s.applies(known)
        for measure in [published.measures.get(s.evidence)]
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
