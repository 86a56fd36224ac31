"""What a collector sees of a simulated world: counts that grow, rounded, missed, late, falling a little."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from features.sources.simulated_life import ORIGINAL, Posts
from features.sources.simulated_population import Cast, Creators, Floats, Ints, Trends, WorldSpec

AGE_DAYS: Final = (1 / 24, 1.0, 3.0, 7.0, 28.0)
"""When the collector means to look at a post, after it was made."""
MISSED: Final = (0.35, 0.10, 0.15, 0.20, 0.30)
LATE_SHARE: Final = 0.12
FALL_SHARE: Final = 0.015
LIFT: Final = 0.8
"""log10 views that the best and freshest of trends, perfectly fitting, adds to a post."""


@dataclass(frozen=True)
class Observations:
    """One row per observation in order of time: the post, when (seconds since the start), and its counts."""

    post: Ints
    observed: Ints
    counts: Ints
    lift: Floats
    final_views: Floats


def tiktok_rounded(counts: Floats) -> Ints:
    """Counts as TikTok shows them: exact below 10,000, then 10.1K, 1.1M, 1.1B."""
    whole = np.floor(counts).astype(np.int64)
    step = np.select([whole < 10_000, whole < 1_000_000, whole < 1_000_000_000], [1, 100, 100_000], 100_000_000)
    return np.asarray((whole + step // 2) // step * step)


def observe(cast: Cast, posts: Posts) -> Observations:
    """Every look that the collector takes before the world ends, with counts shaped (observations, 5)."""
    rng = cast.spec.stream(5)
    lift = _lift(cast.creators, cast.trends, posts)
    final = _final_counts(rng, cast.creators, posts, lift)
    post, observed = _looks(rng, cast.spec, posts)
    age = (observed - posts.created[post]) / 86_400
    pace = rng.lognormal(np.log(1.4), 0.5, len(posts))[post]
    grown = -np.expm1(-((age / pace) ** 0.75))
    falls = np.where(rng.random(len(post)) < FALL_SHARE, 1 - rng.uniform(0.002, 0.03, len(post)), 1.0)
    counts = tiktok_rounded(final[post] * (grown * falls)[:, None])
    return Observations(post, observed, counts, lift, final[:, 0])


def _lift(creators: Creators, trends: Trends, posts: Posts) -> Floats:
    """log10 views from the best of a post's passing trends: its fit with the creator × how young it is."""
    lift = np.zeros(len(posts))
    by_tag = np.repeat(np.arange(len(posts)), np.diff(posts.tag_start))
    is_trend = posts.tags < trends.hashtags
    sounds = (posts.sound != ORIGINAL) & (posts.sound < len(trends) - trends.hashtags)
    uses = [(by_tag[is_trend], posts.tags[is_trend])]
    uses.append((np.flatnonzero(sounds), posts.sound[sounds] + trends.hashtags))
    for post, trend in uses:
        mine, its = creators.taste[posts.creator[post]], trends.taste[trend]
        fit = (mine * its).sum(axis=1) / np.sqrt((mine**2).sum(axis=1) * (its**2).sum(axis=1))
        age = posts.created[post] / 86_400 - trends.born_day[trend]
        fresh = np.where(trends.evergreen[trend], 0.0, np.exp(-age / (2 * trends.rise_days[trend])))
        np.maximum.at(lift, post, LIFT * fit * fresh)
    return lift


def _final_counts(rng: np.random.Generator, creators: Creators, posts: Posts, lift: Floats) -> Floats:
    """views, likes, comments, shares, favourites when growth is over, shape (posts, 5)."""
    n, author = len(posts), posts.creator
    luck = rng.normal(0.0, 0.36, n) + np.where(rng.random(n) < 0.04, rng.exponential(0.5, n), 0.0)
    views = 10 ** (-0.55 + np.log10(creators.followers[author]) + creators.quality[author] + lift + luck)
    ratios = [(-0.95, 0.24), (-3.05, 0.42), (-3.1, 0.55), (-2.65, 0.4)]
    others = [views * 10 ** np.minimum(rng.normal(mean, spread, n), -0.1) for mean, spread in ratios]
    return np.stack([views, *others], axis=1)


def _looks(rng: np.random.Generator, spec: WorldSpec, posts: Posts) -> tuple[Ints, Ints]:
    """(post, second) of every look in order of time; a look has jitter, may be missed, or come far later."""
    n = len(posts)
    ages = np.array(AGE_DAYS) * rng.lognormal(0.0, 0.15, (n, len(AGE_DAYS)))
    ages = np.where(rng.random(ages.shape) < MISSED, np.nan, ages)
    late = np.where(rng.random(n) < LATE_SHARE, 28 + rng.exponential(40.0, n), np.nan)
    seconds = posts.created[:, None] + np.column_stack([ages, late]) * 86_400
    post, look = np.nonzero(seconds < spec.days * 86_400)
    observed = np.ceil(seconds[post, look]).astype(np.int64)
    order = np.lexsort((post, observed))
    return post[order], observed[order]


def platform_counts(trends: Trends, intensity: Floats) -> Floats:
    """Each trend's count on the whole platform as each day ends, shape of `intensity`; it never falls.

    An evergreen trend has 200 days of its usual level behind it when the record begins.
    """
    behind = np.where(trends.evergreen, 200 * 0.35, 0.0)
    daily = intensity * np.maximum(trends.virality, 0.05)
    return np.asarray(trends.audience * (behind * np.maximum(trends.virality, 0.05) + np.cumsum(daily, axis=0)))
