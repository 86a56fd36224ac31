"""A market and its creators drawn by chance, in the shapes of real ones, published as `harmonic materialize` would."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import numpy as np

from configs import Settings, TrendSettings
from features.captions import CAPTION
from features.creators import PROFILE
from features.forecasts import FORECAST_FEATURES, HORIZONS_DAYS
from features.taste import TASTE_DIMENSIONS
from features.trends import NUMERIC, STAGES, WINDOWS
from models.creator import CREATOR_COLUMNS, Creator
from models.interactions import Floats, Ints, Strings, region_key
from models.market import Market
from serving.assemble import creator_states, market_folder
from serving.bench.proposals import INSIDE, drawn_generators, scenes
from serving.snapshot import TrendSnapshot, forecasts_of, publish

if TYPE_CHECKING:
    import pandas as pd

AS_OF: Final = datetime(2025, 6, 1, 12, tzinfo=UTC)
REGIONS: Final = ("BR", "DE", "ES", "FR", "GB", "ID", "IN", "IT", "JP", "KR", "MX", "NL", "PH", "PL", "TR", "US")
ACTIVE_CREATORS: Final = 20_000
"""Of whom the trends' counts speak; only some of them are known by name."""

PAST_TRENDS: Final = 3_000
"""Trends of the vocabulary that are no longer live."""

CAPTION_WORDS: Final = 6_000


@dataclass(frozen=True)
class World:
    """A drawn world.

    Attributes:
        frame: rows of the live trends as the online store gives them, sorted by key.
        market: made of them.
        creators: everybody who is known.
    """

    frame: pd.DataFrame
    market: Market
    creators: tuple[Creator, ...]

    @classmethod
    def of(cls, trends: int, creators: int, seed: int, settings: TrendSettings) -> World:
        """Draw one.

        Args:
            trends: how many are live.
            creators: how many are known.
            seed: of every draw.
            settings: the pool's limits.
        """
        chance = np.random.default_rng(seed)
        frame = drawn_trends(trends, chance)
        live, reach = frame["trend_key"].to_numpy(object), frame["creators_28d"].to_numpy(float)
        past = np.array([f"hashtag:past{number:06d}" for number in range(PAST_TRENDS)], object)
        said = np.array([f"{CAPTION}word{number:06d}" for number in range(CAPTION_WORDS)], object)
        based = np.array([region_key(code) for code in REGIONS], object)
        words = np.sort(np.concatenate([live, past, said, based]).astype(str)).astype(object)
        scene = scenes(trends, chance)
        generators = drawn_generators(words, live, reach, scene, chance)
        market = Market.from_frame(frame, AS_OF, words, generators, settings)
        return cls(frame, market, _drawn_creators(creators, live, reach, scene, past, said, chance))

    def publish(self, settings: Settings) -> str:
        """Hand it to serving processes of these settings; returns the market's version."""
        version = f"drawn-{len(self.market)}"
        creator_states(settings).replace(self.creators, AS_OF)
        publish(market_folder(settings), TrendSnapshot(version, self.market, forecasts_of(self.frame)))
        return version


def drawn_trends(n: int, chance: np.random.Generator) -> pd.DataFrame:
    """Rows of n live trends: trend_key, `TREND_FEATURES` and `FORECAST_FEATURES`, sorted by key."""
    import pandas as pd

    sound = chance.random(n) < 0.4
    ids = [f"{7_000_000_000 + i}" if is_sound else f"tag{i:06d}" for i, is_sound in enumerate(sound)]
    kinds = np.where(sound, "sound", "hashtag").astype(object)
    taste = chance.normal(size=(n, TASTE_DIMENSIONS))
    numbers = _numbers(n, sound, chance)
    regions = [_region_shares(chance) for _ in range(n)]
    daily = chance.poisson(numbers["uses_28d"][:, None] / 28, (n, 28)).astype(float)
    first = AS_OF.timestamp() - chance.uniform(2, 400, n) * 86_400
    frame = pd.DataFrame(
        {
            "trend_key": [f"{kind}:{name}" for kind, name in zip(kinds, ids, strict=True)],
            **numbers,
            "trend_type": kinds,
            "trend_id": np.array(ids, object),
            "name": np.array([_title(i, s, chance) for i, s in enumerate(sound)], object),
            "author": np.where(sound, "an artist", "").astype(object),
            "stage": chance.choice(np.array(STAGES, object), n),
            "first_used_at": np.round(first),
            "last_used_at": np.round(AS_OF.timestamp() - chance.exponential(20, n).clip(0.1, 600) * 3600),
            "region_codes": [codes for codes, _ in regions],
            "region_shares": [shares for _, shares in regions],
            "taste": list(taste / np.linalg.norm(taste, axis=1, keepdims=True)),
            "daily_uses": list(daily),
            **_forecasts(n, chance),
        }
    )
    return frame.sort_values("trend_key", ignore_index=True)


def _title(number: int, is_sound: bool, chance: np.random.Generator) -> str:
    """Some sounds are versions of the one before."""
    if not is_sound:
        return f"tag{number:06d}"
    return f"song {number - 1} sped up" if chance.random() < 0.1 else f"song {number}"


def _region_shares(chance: np.random.Generator) -> tuple[list[str], Floats]:
    codes = sorted(chance.choice(REGIONS, int(chance.integers(0, 6)), replace=False).tolist())
    shares = chance.random(len(codes)) + 0.01
    return codes, shares / max(float(shares.sum()), 1e-9)


def _numbers(n: int, sound: np.ndarray, chance: np.random.Generator) -> dict[str, Floats]:
    """The columns of `NUMERIC`: counts with a heavy tail that agree with one another, rates and shares around them."""
    reach = np.asarray(np.floor(3 * (1 - chance.random(n)) ** (-1 / 1.2)).clip(3, 0.08 * ACTIVE_CREATORS), float)
    per_creator, new = np.asarray(1 + chance.exponential(0.6, n), float), chance.beta(4, 2, n)
    drawn: dict[str, Floats] = {
        "is_sound": sound.astype(float),
        "market_position": chance.integers(0, 100, n).astype(float),
    }
    for days in WINDOWS:
        share = np.minimum((days / 28) ** chance.uniform(0.6, 1.6, n), 1)
        drawn[f"creators_{days}d"] = np.round(reach * share)
        drawn[f"uses_{days}d"] = np.round(reach * share * per_creator)
        drawn[f"adopters_{days}d"] = np.round(reach * share * new)
        drawn[f"views_gained_{days}d"] = np.round(reach * share * chance.lognormal(8, 1.5, n))
        drawn[f"velocity_{days}d"] = chance.normal(0.05, 0.08, n)
        drawn[f"acceleration_{days}d"] = chance.normal(0, 0.02, n)
    drawn |= {f"recent_adopters_{h}d": np.asarray(reach * new * chance.beta(2, 5, n) * h / 14) for h in (2, 5, 14)}
    drawn |= {
        "recent_creators_7d": np.asarray(reach * chance.beta(2, 4, n)),
        "creators_ever": np.round(reach * (1 + chance.exponential(0.8, n))),
        "posts_per_creator_28d": per_creator,
        "users_posts": chance.normal(3.4, 0.3, n),
        "users_trends_per_post": chance.gamma(3, 1.2, n),
        "creator_share_28d": reach / ACTIVE_CREATORS,
        "median_followers": chance.normal(9, 2, n),
        "market_count": chance.normal(13, 2.5, n),
        **{name: chance.beta(2, 5, n) for name in ("saturation", "concentration", "top_region_share", "repeat_share")},
    }
    columns = {spec.name: drawn.get(spec.name, chance.normal(0, 1, n)) for spec in NUMERIC}
    for name in ("views_gained", "median_", "engagement", "market_"):  # what is known of some trends only
        unknown = chance.random(n) < 0.5
        for column in (column for column in columns if column.startswith(name)):
            columns[column] = np.where(unknown, np.nan, columns[column])
    return columns


def _forecasts(n: int, chance: np.random.Generator) -> dict[str, Floats]:
    unknown = chance.random(n) < 0.5
    drawn: dict[str, Floats] = {}
    for days in HORIZONS_DAYS:
        growth, width = chance.normal(0.02 * days, 0.05 * days, n), chance.gamma(2, 0.03 * days, n)
        drawn |= {f"forecast_growth_{days}d": growth}
        drawn |= {f"forecast_low_{days}d": growth - width, f"forecast_high_{days}d": growth + width}
    return {spec.name: np.where(unknown, np.nan, drawn[spec.name]) for spec in FORECAST_FEATURES}


def _drawn_creators(
    count: int,
    live: Strings,
    reach: Floats,
    scene: Ints,
    past: Strings,
    said: Strings,
    chance: np.random.Generator,
) -> tuple[Creator, ...]:
    profiles = _profiles(count, chance)

    def one(number: int) -> Creator:
        own = np.isin(scene, chance.integers(0, int(scene.max()) + 1, 2))
        likely = reach * np.where(own, INSIDE / reach[own].sum(), (1 - INSIDE) / reach.sum())
        used: list[str] = _some(live, int(chance.integers(15, 46)), chance, likely / likely.sum())
        taste = chance.normal(size=TASTE_DIMENSIONS)
        return Creator(
            creator_id=f"creator_{number:05d}",
            known=True,
            region=str(chance.choice(REGIONS)),
            profile=profiles[number],
            taste=taste / np.linalg.norm(taste),
            hour_profile=chance.dirichlet(np.ones(24)),
            weekday_profile=chance.dirichlet(np.ones(7)),
            trend_keys=tuple(sorted({*used, *_some(past, int(chance.integers(5, 16)), chance)})),
            words=tuple(sorted(_some(said, 30, chance))),
        )

    return tuple(one(number) for number in range(count))


def _some(keys: Strings, most: int, chance: np.random.Generator, shares: Floats | None = None) -> list[str]:
    """Different keys, as many as there are where that is fewer."""
    return [str(key) for key in chance.choice(keys, min(most, len(keys)), replace=False, p=shares)]


def _profiles(count: int, chance: np.random.Generator) -> Floats:
    """The columns of `PROFILE`, shape (count, f)."""
    posts = np.round(chance.lognormal(3.4, 0.7, count)).clip(3)
    uses_per_post = np.asarray(1 + chance.gamma(4, 0.6, count), float)
    drawn = {
        "followers": chance.normal(9, 2, count),
        "posts_known": posts,
        "posts_7d": np.round(posts * chance.beta(1, 6, count)),
        "posts_28d": np.round(posts * chance.beta(2, 4, count)),
        "cadence": chance.gamma(2, 0.4, count),
        "days_since_post": chance.exponential(4, count),
        "median_views": chance.normal(8, 1.5, count),
        "distinct_trends": np.round(chance.uniform(20, 60, count)),
        "adoptions_28d": np.round(chance.gamma(2, 4, count)),
        "sound_uses": np.floor(posts * uses_per_post * chance.beta(2, 5, count)),
        "uses_per_post": uses_per_post,
        "trends_per_post": chance.gamma(4, 0.8, count),
    }
    assert tuple(spec.name for spec in PROFILE) == CREATOR_COLUMNS
    return np.column_stack([drawn.get(name, chance.beta(2, 5, count)) for name in CREATOR_COLUMNS])


def market_change(world: World, number: int, rows: int) -> tuple[pd.DataFrame, datetime]:
    """Some trends as they might stand a little later: rows of `TREND_FEATURES`, and when.

    Args:
        number: of the change; later ones speak of later instants.
        rows: how many trends.
    """
    chance = np.random.default_rng(number)
    at: Ints = np.sort(chance.choice(len(world.frame), min(rows, len(world.frame)), replace=False))
    changed = world.frame.iloc[at].reset_index(drop=True)
    more = {name: changed[name] + chance.integers(0, 3, len(at)) for name in ("uses_1d", "creators_1d", "adopters_1d")}
    return changed.assign(**more), AS_OF + timedelta(seconds=number + 1)
