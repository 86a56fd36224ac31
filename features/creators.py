"""What is known of every creator as of an instant: baselines, habits, taste and history, from a `History`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from features.history import DAY, SECOND, UNKNOWN_REGION, Floats, History, Ints
from features.lift import grouped_median
from features.spec import FeatureSpec
from features.taste import TASTE_DIMENSIONS, directions

if TYPE_CHECKING:
    import pandas as pd

TRAILING_POSTS: Final = 20
"""How many of the latest posts make a creator's baseline."""

TASTE_HALF_LIFE_DAYS: Final = 60
"""A use this old weighs half in the taste vector."""


def _number(name: str, description: str, unit: str) -> FeatureSpec:
    return FeatureSpec(name, "float", description, unit)


PROFILE: Final[tuple[FeatureSpec, ...]] = (
    _number("followers", "latest known followers", "log1p followers"),
    _number("posts_known", "posts known in all", "posts"),
    _number("posts_7d", "posts in 7 days", "posts"),
    _number("posts_28d", "posts in 28 days", "posts"),
    _number("cadence", "trailing posts per day since the first of them", "posts/day"),
    _number("days_since_post", "time since the latest post", "days"),
    _number("median_views", "median views of the trailing posts", "log1p views"),
    _number("median_engagement", "median (likes + comments + shares) ÷ views of the trailing posts", "ratio"),
    _number("trends_per_post", "trends used per trailing post", "trends"),
    _number("creator_sound_share", "share of the trailing uses that are named sounds", "share"),
    _number("adoption_rate", "first uses per trailing post", "trends"),
    _number("distinct_trends", "different trends ever used", "trends"),
    _number("adoptions_28d", "trends first used in 28 days", "trends"),
    _number("sound_uses", "uses of named sounds", "uses"),
    _number("uses_per_post", "trends used per known post", "trends"),
    _number("mainstream", "mean log reach of the trends used ÷ log of all creators who use any", "ratio"),
)

HABITS: Final[tuple[FeatureSpec, ...]] = (
    FeatureSpec("region", "string", "most frequent region of the posts, empty where unknown", ""),
    FeatureSpec("hour_profile", "floats", "share of posts by hour of day, 24 values", "share, UTC"),
    FeatureSpec("weekday_profile", "floats", "share of posts by weekday, Monday first, 7 values", "share, UTC"),
    FeatureSpec("creator_taste", "floats", f"mean direction of the uses, {TASTE_DIMENSIONS} values", "unit length"),
)

CREATOR_FEATURES: Final = (*PROFILE, *HABITS)

HISTORY_FEATURES: Final[tuple[FeatureSpec, ...]] = (
    FeatureSpec("trend_keys", "strings", "every trend ever used, sorted", ""),
    FeatureSpec("use_counts", "floats", "posts with each, in the order of trend_keys", "posts"),
    FeatureSpec("last_used", "floats", "latest use of each, in the order of trend_keys", "s since 1970, UTC"),
    FeatureSpec("words", "strings", "words of the captions and original sounds that others say, too", ""),
)


@dataclass(frozen=True)
class Reach:
    """What a creator's row owes to all the others.

    Attributes:
        by_trend: how many creators ever used each trend, shape (t,).
        creators: how many creators used any.
    """

    by_trend: Floats
    creators: int

    @classmethod
    def of(cls, history: History) -> Reach:
        """The reach of every trend of a history."""
        first = history.first_uses()
        by_trend = np.bincount(history.use_trend[first], minlength=len(history.trends["key"]))
        return cls(by_trend.astype(float), len(np.unique(history.use_creator)))


def creator_features(history: History, reach: Reach | None = None) -> pd.DataFrame:
    """One row per creator with a known post: creator_id and `CREATOR_FEATURES`, sorted by creator_id.

    Args:
        history: what was known; of some creators only, where `reach` comes from the whole.
        reach: of the history's trends; the history's own where not given.
    """
    import pandas as pd

    activity = _activity(history, reach or Reach.of(history))
    columns = {"creator_id": history.creators} | activity | _baseline(history) | _habits(history)
    return pd.DataFrame(columns)[["creator_id", *(spec.name for spec in CREATOR_FEATURES)]]


def creator_histories(history: History) -> pd.DataFrame:
    """One row per creator with a known post: creator_id and `HISTORY_FEATURES`, sorted by creator_id."""
    import pandas as pd

    width = max(len(history.trends["key"]), 1)
    pair, inverse = np.unique(history.use_creator * width + history.use_trend, return_inverse=True)
    last = np.zeros(len(pair))
    np.maximum.at(last, inverse, history.use_created / SECOND)
    uses = np.bincount(inverse, minlength=len(pair)).astype(float)
    cuts = np.searchsorted(pair // width, np.arange(1, len(history.creators)))
    said_cuts = np.searchsorted(history.said_by, np.arange(1, len(history.creators)))
    return pd.DataFrame(
        {
            "creator_id": history.creators,
            "trend_keys": [list(part) for part in np.split(history.trends["key"][pair % width], cuts)],
            "use_counts": np.split(uses, cuts),
            "last_used": np.split(last, cuts),
            "words": [list(part) for part in np.split(history.words[history.said], said_cuts)],
        }
    )


def trailing_posts(history: History) -> npt.NDArray[np.bool_]:
    """Which posts are among their creator's latest `TRAILING_POSTS`, shape (p,)."""
    creator = history.posts["creator"]
    order = np.argsort(creator, kind="stable")
    ends = np.cumsum(np.bincount(creator, minlength=len(history.creators)))
    from_end = ends[creator[order]] - np.arange(len(order))
    trailing = np.zeros(len(order), bool)
    trailing[order] = from_end <= TRAILING_POSTS
    return trailing


def _activity(history: History, reach: Reach) -> dict[str, Any]:
    creator, created, n = history.posts["creator"], history.posts["created"], len(history.creators)
    age, latest = history.now - created, np.zeros(n, np.int64)
    np.maximum.at(latest, creator, created)
    first, use_age = history.first_uses(), history.now - history.use_created
    return {
        "followers": np.log1p(history.followers),
        "posts_known": _count(creator, n),
        "posts_7d": _count(creator[age < 7 * DAY], n),
        "posts_28d": _count(creator[age < 28 * DAY], n),
        "days_since_post": (history.now - latest) / DAY,
        "distinct_trends": _count(history.use_creator[first], n),
        "adoptions_28d": _count(history.use_creator[first & (use_age < 28 * DAY)], n),
        "sound_uses": _count(history.use_creator[history.trends["type"][history.use_trend] == "sound"], n),
        "uses_per_post": _count(history.use_creator, n) / np.maximum(_count(creator, n), 1),
        "mainstream": _mainstream(history, reach),
    }


def _mainstream(history: History, reach: Reach) -> Floats:
    """0 for a taste nobody shares, 1 for one that everybody does, shape (c,)."""
    first, n = history.first_uses(), len(history.creators)
    creator, trend = history.use_creator[first], history.use_trend[first]
    shared = np.bincount(creator, np.log1p(reach.by_trend)[trend], minlength=n)
    return np.asarray(shared / np.log(max(reach.creators, 2) + 1) / np.maximum(_count(creator, n), 1))


def _baseline(history: History) -> dict[str, Any]:
    posts, n = history.posts, len(history.creators)
    trailing = trailing_posts(history)
    creator, use_trailing = posts["creator"][trailing], trailing[history.use_post]
    views = posts["view_count"][trailing]
    reactions = (posts["like_count"] + posts["comment_count"] + posts["share_count"])[trailing]
    size = np.maximum(_count(creator, n), 1)
    uses = _count(history.use_creator[use_trailing], n)
    sound = history.trends["type"][history.use_trend] == "sound"
    oldest = np.full(n, history.now)
    np.minimum.at(oldest, creator, posts["created"][trailing])
    return {
        "cadence": size / np.maximum((history.now - oldest) / DAY, 1),
        "median_views": np.log1p(_known_median(creator, views, n)),
        "median_engagement": _known_median(creator, reactions / np.maximum(views, 1), n),
        "trends_per_post": uses / size,
        "creator_sound_share": _count(history.use_creator[use_trailing & sound], n) / np.maximum(uses, 1),
        "adoption_rate": _count(history.use_creator[use_trailing & history.first_uses()], n) / size,
    }


def _habits(history: History) -> dict[str, Any]:
    posts, n = history.posts, len(history.creators)
    hour = posts["created"] // (3600 * SECOND) % 24
    weekday = (posts["created"] // DAY + 3) % 7  # 1970-01-01 was a Thursday
    return {
        "region": _most_frequent_region(history),
        "hour_profile": list(_profile(posts["creator"], hour, n, 24)),
        "weekday_profile": list(_profile(posts["creator"], weekday, n, 7)),
        "creator_taste": list(_tastes(history)),
    }


def _most_frequent_region(history: History) -> npt.NDArray[np.object_]:
    region, n, width = history.posts["region"], len(history.creators), max(len(history.regions), 1)
    known = region != UNKNOWN_REGION
    votes = np.bincount(history.posts["creator"][known] * width + region[known], minlength=n * width)
    votes = votes.reshape(n, width)
    names = np.append(history.regions, "").astype(object)
    return np.asarray(np.where(votes.max(axis=1) > 0, names[votes.argmax(axis=1)], ""), object)


def _tastes(history: History) -> Floats:
    """Unit vectors, shape (c, dimensions): uses by recency, each in its trend's own fixed direction."""
    weight = 0.5 ** ((history.now - history.use_created) / (TASTE_HALF_LIFE_DAYS * DAY))
    shape = (len(history.creators), len(history.trends["key"]))
    uses = sp.csr_matrix((weight, (history.use_creator, history.use_trend)), shape)
    uses.sum_duplicates()
    vectors = np.asarray(uses @ directions(list(history.trends["key"])))
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))


def _profile(creator: Ints, slot: Ints, creators: int, slots: int) -> Floats:
    counts = np.bincount(creator * slots + slot, minlength=creators * slots).reshape(creators, slots)
    return np.asarray(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))


def _count(index: Ints, size: int) -> Floats:
    return np.bincount(index, minlength=size).astype(float)


def _known_median(group: Ints, values: Floats, groups: int) -> Floats:
    known = ~np.isnan(values)
    return grouped_median(group[known], values[known], groups)
