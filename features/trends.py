"""What is known of every live trend as of an instant: pure maths from a `History` to one row per trend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from features.background import Background, numbered
from features.history import DAY, SECOND, UNKNOWN_REGION, Floats, History, Ints
from features.lift import grouped_median, post_lifts
from features.spec import FeatureSpec
from features.taste import TASTE_DIMENSIONS, TASTE_NEIGHBOURS, nearest_by_cosine, strongest_of_rows, trend_tastes

if TYPE_CHECKING:
    import pandas as pd

    from configs import LifecycleSettings, TrendSettings

WINDOWS: Final = (1, 3, 7, 28)
RECENT_HALF_LIVES: Final = (2, 5, 14)
NEIGHBOURS: Final = 10
SMOOTHING_DAYS: Final = 3
STAGES: Final = ("emerging", "rising", "peaking", "declining", "evergreen")


def _windowed(name: str, description: str, unit: str) -> tuple[FeatureSpec, ...]:
    return tuple(FeatureSpec(f"{name}_{w}d", "float", f"{description} over the last {w} days", unit) for w in WINDOWS)


def _one(name: str, description: str, unit: str) -> FeatureSpec:
    return FeatureSpec(name, "float", description, unit)


NUMERIC: Final[tuple[FeatureSpec, ...]] = (
    _one("is_sound", "1 for a sound, 0 for a hashtag", "flag"),
    *_windowed("uses", "posts that use the trend", "posts"),
    *_windowed("creators", "distinct creators who use it", "creators"),
    *_windowed("adopters", "creators who use it for the first time", "creators"),
    *_windowed("views_gained", "views gained by posts that use it, where both ends are known", "views"),
    *_windowed("velocity", "first difference of log(1 + cumulative uses)", "1/day"),
    *_windowed("acceleration", "second difference of log(1 + cumulative uses)", "1/day²"),
    *(_one(f"recent_adopters_{h}d", f"first uses, each halved every {h} days", "creators") for h in RECENT_HALF_LIVES),
    _one("recent_creators_7d", "creators who use it, each halved every 7 days since the latest use", "creators"),
    _one("creators_ever", "creators who ever used it", "creators"),
    _one("posts_per_creator_28d", "posts per creator who uses it, 28 days", "posts"),
    _one("users_posts", "mean log1p posts known of its creators, 28 days", "log1p posts"),
    _one("users_trends_per_post", "mean trends per post of its creators, 28 days", "trends"),
    _one("burst", "today's smoothed uses above their 28-day mean, in standard deviations", "σ"),
    _one("saturation", "share of the relevant creators who already use it", "share"),
    _one("concentration", "Herfindahl index of 28-day uses over creators", "share"),
    _one("creator_share_28d", "share of all active creators who use it; above the limit it is generic", "share"),
    _one("top_region_share", "share of 28-day uses in its largest known region", "share"),
    _one("median_lift", "median lift of the posts that use it, 28 days", "log ratio"),
    _one("engagement_per_view", "likes, comments and shares per view, 28 days", "ratio"),
    _one("median_followers", "median followers of the creators who use it, 28 days", "log1p followers"),
    _one("repeat_share", "share of 28-day uses that are no first use", "share"),
    _one("market_count", "latest public count", "log1p count"),
    *(_one(f"market_growth_{w}d", f"log growth of the public count over {w} days", "log ratio") for w in (1, 3, 7)),
    _one("market_growth_7d_lo", "the least 7-day growth that rounding of the counts allows", "log ratio"),
    _one("market_growth_7d_hi", "the most 7-day growth that rounding of the counts allows", "log ratio"),
    _one("market_position", "latest place on a public list, 0 is first", "place"),
)

DESCRIPTIVE: Final[tuple[FeatureSpec, ...]] = (
    FeatureSpec("trend_type", "string", "hashtag or sound", ""),
    FeatureSpec("trend_id", "string", "the hashtag's name or the sound's id", ""),
    FeatureSpec("name", "string", "title to show", ""),
    FeatureSpec("author", "string", "the sound's artist, empty where unknown", ""),
    FeatureSpec("stage", "string", "lifecycle stage by the published rule", ""),
    _one("first_used_at", "first known use", "s since 1970, UTC"),
    _one("last_used_at", "latest known use", "s since 1970, UTC"),
    FeatureSpec("region_codes", "strings", "regions it was used in, 28 days, sorted", ""),
    FeatureSpec("region_shares", "floats", "share of its known-region uses, in the order of region_codes", "share"),
    FeatureSpec("taste", "floats", f"co-use embedding, {TASTE_DIMENSIONS} dimensions, unit length", ""),
    FeatureSpec("daily_uses", "floats", "uses on each of the last 28 days, oldest first", "posts"),
)

TREND_FEATURES: Final = (*NUMERIC, *DESCRIPTIVE)


def trend_features(
    history: History, settings: TrendSettings, background: Background | None = None, only: Ints | None = None
) -> pd.DataFrame:
    """One row per live trend: used by at least `pool.min_creators` creators inside the pool's window.

    Generic trends are rows too (`creator_share_28d` tells them), so that a caller's own candidates can be ranked.

    Args:
        history: what was known.
        settings: the pool and the lifecycle rule.
        background: the history's own, where that is known already.
        only: indices of the trends whose rows are wanted, where live; all of them where not given.

    Returns:
        `trend_key` and the columns of `TREND_FEATURES`, sorted by trend_key; unknown numbers are NaN.
    """
    import pandas as pd

    background = background or Background.of(history, settings.pool)
    view = _View(history, background, background.live if only is None else np.intersect1d(background.live, only))
    columns: dict[str, Any] = {"trend_key": history.trends["key"][view.live]}
    columns["is_sound"] = (history.trends["type"][view.live] == "sound").astype(float)
    columns |= _window_counts(view) | _recent(view) | _rates(view) | _spread(view) | _quality(view) | _market(view)
    columns |= _descriptive(view)
    columns["stage"] = lifecycle_stage(columns, history.now / SECOND, settings.lifecycle)
    frame = pd.DataFrame(columns)
    return frame[["trend_key", *(spec.name for spec in TREND_FEATURES)]]


def generic_limit(creator_share: Floats, limit: float) -> npt.NDArray[np.bool_]:
    """Which trends are generic: used by more than `limit` of the active creators."""
    return np.asarray(creator_share > limit)


def rounding_unit(count: Floats) -> Floats:
    """The step in which TikTok shows a count: 1 below 10,000, then 100 to a million, then 100,000, then 100 million."""
    steps = np.select([count >= 1e9, count >= 1e6, count >= 1e4], [1e8, 1e5, 1e2], 1.0)
    return np.asarray(np.where(np.isnan(count), np.nan, steps))


def growth_interval(before: Floats, after: Floats) -> tuple[Floats, Floats]:
    """The least and the most log growth that two rounded counts allow (each true count within half a step)."""
    half_before, half_after = rounding_unit(before) / 2, rounding_unit(after) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        low = np.log(np.maximum(after - half_after, 1) / np.maximum(before + half_before, 1))
        high = np.log(np.maximum(after + half_after, 1) / np.maximum(before - half_before, 1))
    return low, high


def lifecycle_stage(columns: dict[str, Any], now: float, rule: LifecycleSettings) -> npt.NDArray[np.object_]:
    """The published rule, first match wins: emerging (young), evergreen (old, steady), declining, peaking, rising.

    Args:
        columns: `first_used_at` (s), `velocity_7d`, `saturation`, each of shape (n,).
        now: seconds since 1970, UTC.
        rule: thresholds.
    """
    age = (now - columns["first_used_at"]) / 86_400
    pace = columns["velocity_7d"] - columns["velocity_28d"]
    conditions = [
        age <= rule.emerging_age_days,
        (age >= rule.evergreen_age_days) & (np.abs(pace) <= rule.evergreen_velocity),
        pace <= rule.declining_velocity,
        (columns["saturation"] >= rule.peaking_saturation) | (pace < rule.rising_velocity),
    ]
    choices = ["emerging", "evergreen", "declining", "peaking"]
    return np.select(conditions, np.array(choices, object), default="rising").astype(object)


class _View:
    """The uses of some live trends: `rows` index the history's uses, `trend` numbers those trends from 0."""

    def __init__(self, history: History, background: Background, live: Ints) -> None:
        number = numbered(live, len(history.trends["key"]))[history.use_trend]
        self.history, self.background, self.live, self.n = history, background, live, len(live)
        self.columns = np.searchsorted(background.live, live)
        self.rows = np.flatnonzero(number >= 0)
        self.trend = number[self.rows]
        self.post = history.use_post[self.rows]
        self.creator = history.posts["creator"][self.post]
        self.age = history.now - history.posts["created"][self.post]
        self.first = np.zeros(len(self.rows), bool)
        self.first[np.unique(self.creator * max(self.n, 1) + self.trend, return_index=True)[1]] = True
        self.near = nearest_by_cosine(background.used, TASTE_NEIGHBOURS, self.columns)

    def creators(self, mask: npt.NDArray[np.bool_]) -> Floats:
        """Distinct creators per trend over the uses in `mask`."""
        pairs = np.unique(self.creator[mask] * max(self.n, 1) + self.trend[mask])
        return np.bincount(pairs % max(self.n, 1), minlength=self.n)[: self.n].astype(float)

    def count(self, mask: npt.NDArray[np.bool_], weights: Floats | None = None) -> Floats:
        """Sum of `weights` (or 1) per live trend over the uses in `mask`."""
        chosen = None if weights is None else weights[mask]
        return np.bincount(self.trend[mask], chosen, minlength=self.n).astype(float)

    def within(self, days: float) -> npt.NDArray[np.bool_]:
        """The uses younger than `days`."""
        return np.asarray(self.age < days * DAY)

    def median(self, values: Floats, mask: npt.NDArray[np.bool_]) -> Floats:
        """Median of `values` per live trend over the uses in `mask` with a known value; NaN where there is none."""
        chosen = mask & ~np.isnan(values)
        return grouped_median(self.trend[chosen], values[chosen], self.n)


def _window_counts(view: _View) -> dict[str, Floats]:
    columns: dict[str, Floats] = {}
    posts = view.history.posts
    for w in WINDOWS:
        mask = view.within(w)
        columns[f"uses_{w}d"] = view.count(mask)
        columns[f"creators_{w}d"] = view.creators(mask)
        columns[f"adopters_{w}d"] = view.count(mask & view.first)
        earlier = np.where(mask, 0.0, posts[f"view_count_{w}d_ago"][view.post])
        gained = posts["view_count"][view.post] - earlier
        known = ~np.isnan(gained)
        total = view.count(known, gained)
        columns[f"views_gained_{w}d"] = np.where(view.count(known) > 0, total, np.nan)
    return columns


def _recent(view: _View) -> dict[str, Floats]:
    """Counts of creators in which older uses fade, and who those creators are."""
    history, age_days = view.history, view.age / DAY
    pair, number = np.unique(view.creator * max(view.n, 1) + view.trend, return_inverse=True)
    youngest = np.full(len(pair), np.inf)
    np.minimum.at(youngest, number, age_days)
    trend, creator = pair % max(view.n, 1), pair // max(view.n, 1)
    month = youngest < 28
    creators = np.maximum(np.bincount(trend[month], minlength=view.n), 1)
    posts = np.bincount(history.posts["creator"], minlength=len(history.creators))
    uses = np.bincount(history.use_creator, minlength=len(history.creators))

    def mean(values: Floats) -> Floats:
        return np.bincount(trend[month], values[creator[month]], minlength=view.n) / creators

    return {
        **{f"recent_adopters_{h}d": view.count(view.first, 0.5 ** (age_days / h)) for h in RECENT_HALF_LIVES},
        "recent_creators_7d": np.bincount(trend, 0.5 ** (youngest / 7), minlength=view.n),
        "creators_ever": np.bincount(trend, minlength=view.n).astype(float),
        "posts_per_creator_28d": view.count(view.within(28)) / creators,
        "users_posts": mean(np.log1p(posts)),
        "users_trends_per_post": mean(uses / np.maximum(posts, 1)),
    }


def _rates(view: _View) -> dict[str, Floats]:
    columns: dict[str, Floats] = {}
    everything = view.count(np.ones(len(view.trend), bool))
    for w in WINDOWS:
        before, long_before = (
            everything - view.count(view.within(w)),
            everything - view.count(view.within(2 * w)),
        )
        now_rate = np.log((1 + everything) / (1 + before)) / w
        columns[f"velocity_{w}d"] = now_rate
        columns[f"acceleration_{w}d"] = (now_rate - np.log((1 + before) / (1 + long_before)) / w) / w
    columns["burst"] = burst(daily_uses(view))
    return columns


def daily_uses(view: _View, days: int = 28) -> Floats:
    """Uses on each of the last `days` days (24 h steps back from the instant), oldest first, shape (n, days)."""
    mask = view.within(days)
    day = days - 1 - view.age[mask] // DAY
    return np.bincount(view.trend[mask] * days + day, minlength=view.n * days).astype(float).reshape(view.n, days)


def burst(daily: Floats) -> Floats:
    """How far the latest smoothed rate lies above its own history, in standard deviations, shape (n,).

    The rate is a moving mean over `SMOOTHING_DAYS`; a Poisson floor of one use keeps quiet trends from exploding.
    """
    cumulative = np.cumsum(np.pad(daily, ((0, 0), (1, 0))), axis=1)
    smooth = (cumulative[:, SMOOTHING_DAYS:] - cumulative[:, :-SMOOTHING_DAYS]) / SMOOTHING_DAYS
    past = smooth[:, :-SMOOTHING_DAYS]
    deviation = np.sqrt(past.var(axis=1) + np.maximum(past.mean(axis=1), 1 / SMOOTHING_DAYS) / SMOOTHING_DAYS)
    return np.asarray((smooth[:, -1] - past.mean(axis=1)) / deviation)


def _spread(view: _View) -> dict[str, Floats]:
    month = view.within(28)
    uses = view.count(month)
    pair, repeats = np.unique(view.creator[month] * max(view.n, 1) + view.trend[month], return_counts=True)
    squares = np.bincount(pair % max(view.n, 1), repeats.astype(float) ** 2, minlength=view.n)[: view.n]
    top_region = region_shares(view)[1].max(axis=1, initial=0.0)
    return {
        "saturation": saturation(view.background.used, view.columns, view.near),
        "concentration": squares / np.maximum(uses, 1) ** 2,
        "creator_share_28d": view.creators(month) / max(view.background.active, 1),
        "top_region_share": np.where(top_region > 0, top_region, np.nan),
        "repeat_share": 1 - view.count(month & view.first) / np.maximum(uses, 1),
    }


def saturation(used: sp.csr_matrix, of: Ints | None = None, near: sp.csr_matrix | None = None) -> Floats:
    """Adopters ÷ relevant creators, where relevant are the users of the trend or of its closest co-used trends.

    Args:
        used: binary creators × trends.
        of: the columns that are asked for, ascending; all of them where not given.
        near: their `nearest_by_cosine`, `NEIGHBOURS` or more, where that is known already.
    """
    of = np.arange(used.shape[1]) if of is None else of
    near = nearest_by_cosine(used, NEIGHBOURS, of) if near is None else near
    row = np.repeat(np.arange(len(of)), np.diff(near.indptr))
    nearest = strongest_of_rows(row, near.indices, near.data, NEIGHBOURS, near.shape)
    nearest.data[:] = 1.0
    itself = sp.csr_matrix((np.ones(len(of)), of, np.arange(len(of) + 1)), near.shape)
    relevant = np.bincount((used @ (nearest + itself).T.tocsr()).indices, minlength=len(of))
    return np.bincount(used.indices, minlength=used.shape[1])[of] / np.maximum(relevant, 1)


def region_shares(view: _View) -> tuple[npt.NDArray[np.object_], Floats]:
    """Region codes, shape (r,), and the share of each trend's known-region uses of 28 days, shape (n, r)."""
    regions = view.history.regions
    region = view.history.posts["region"][view.post]
    mask = view.within(28) & (region != UNKNOWN_REGION)
    width = max(len(regions), 1)
    counts = np.bincount(view.trend[mask] * width + region[mask], minlength=view.n * width).reshape(view.n, width)
    return regions, counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def _quality(view: _View) -> dict[str, Floats]:
    posts, month = view.history.posts, view.within(28)
    reactions = posts["like_count"] + posts["comment_count"] + posts["share_count"]
    views = posts["view_count"]
    known = month & ~np.isnan((reactions + views)[view.post])
    total_views = view.count(known, views[view.post])
    with np.errstate(invalid="ignore", divide="ignore"):
        engagement = np.where(total_views > 0, view.count(known, reactions[view.post]) / total_views, np.nan)
    followers = np.log1p(view.history.followers)[view.creator]
    lifts = post_lifts(view.history, view.background.curve, np.unique(view.post[month]))
    return {
        "median_lift": view.median(lifts[view.post], month),
        "engagement_per_view": engagement,
        "median_followers": view.median(followers, month),
    }


def _market(view: _View) -> dict[str, Floats]:
    """Public counts: the latest, and its growth over 1, 3 and 7 days where an earlier one is known."""
    now = view.history.now
    latest, place = _value_at(view, now, "value"), _value_at(view, now, "place")
    columns = {"market_count": np.log1p(latest), "market_position": place}
    for w in (1, 3, 7):
        earlier = _value_at(view, now - w * DAY, "value")
        with np.errstate(invalid="ignore", divide="ignore"):
            columns[f"market_growth_{w}d"] = np.log(np.maximum(latest, 1) / np.maximum(earlier, 1))
    columns["market_growth_7d_lo"], columns["market_growth_7d_hi"] = growth_interval(earlier, latest)
    return columns


def _value_at(view: _View, instant: int, column: str) -> Floats:
    """The latest `column` of the public counts known at `instant` (µs) per live trend; NaN where there is none."""
    market = view.history.market
    number = numbered(view.live, len(view.history.trends["key"]))[market["trend"]]
    known = (market["observed"] <= instant) & (number >= 0)
    result = np.full(view.n, np.nan)
    result[number[known]] = market[column][known]
    return result


def _descriptive(view: _View) -> dict[str, Any]:
    trends, live = view.history.trends, view.live
    created = view.history.use_created[view.rows]
    first, last = np.full(view.n, np.inf), np.full(view.n, -np.inf)
    np.minimum.at(first, view.trend, created)
    np.maximum.at(last, view.trend, created)
    every = list(trends["key"][view.background.live])
    regions, shares = region_shares(view)
    rows = [np.flatnonzero(share) for share in shares]
    return {
        "trend_type": trends["type"][live],
        "trend_id": trends["id"][live],
        "name": trends["name"][live],
        "author": np.array([author or "" for author in trends["author"][live]], object),
        "first_used_at": first / SECOND,
        "last_used_at": last / SECOND,
        "region_codes": [list(regions[row]) for row in rows],
        "region_shares": [shares[i][row] for i, row in enumerate(rows)],
        "taste": list(trend_tastes(view.background.used, every, view.columns, view.near)),
        "daily_uses": list(daily_uses(view)),
    }
