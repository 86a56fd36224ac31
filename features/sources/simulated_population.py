"""Who and what lives in a simulated world: creators with tastes and habits, trends with life cycles."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from features.errors import FeatureError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CLUSTERS: Final = 24
PAST_DAYS: Final = 60
"""Passing trends are born from this many days before the start: the first day finds some at every age."""
REGIONS: Final = ("US", "GB", "BR", "VN", "DE", "ID")
REGION_SHARES: Final = (0.42, 0.12, 0.14, 0.12, 0.08, 0.12)
UTC_OFFSET_HOURS: Final = (-6, 0, -3, 7, 1, 7)
GENERIC_TAGS: Final = (
    "fyp", "foryou", "foryoupage", "viral", "trending", "tiktok", "duet", "fypage", "xyzbca", "viralvideo",
    "explore", "parati", "foru", "blowthisup", "trend", "fy",
)  # fmt: skip

_FIRST: Final = (
    "ava", "mia", "leo", "noah", "zoe", "kai", "luna", "theo", "ivy", "remy", "nina", "omar", "juno",
    "linh", "enzo", "maya", "rico", "sage", "tara", "yuki",
)  # fmt: skip
_TOPIC: Final = (
    "dance", "beats", "cooks", "skates", "draws", "sings", "codes", "lifts", "vlogs", "paints", "bakes",
    "edits", "runs", "travels", "styles", "reads", "games", "plays", "films", "plants",
)  # fmt: skip
_MOOD: Final = (
    "golden", "midnight", "neon", "paper", "velvet", "silver", "electric", "lonely", "summer", "winter",
    "crystal", "broken", "honey", "cosmic", "silent", "crimson", "ocean", "plastic", "wild", "sugar",
)  # fmt: skip
_THING: Final = (
    "hearts", "river", "mirror", "tiger", "garden", "radio", "window", "thunder", "letter", "shadow",
    "planet", "fever", "highway", "balloon", "castle", "diamond", "echo", "flame", "lemon", "rocket",
)  # fmt: skip
_CRAZE: Final = (
    "challenge", "dance", "check", "tok", "glowup", "transition", "edit", "vibes", "hack", "story",
)  # fmt: skip
_VARIANTS = ("(sped up)", "(slowed + reverb)", "- Remix", "(nightcore)")


WORDS: Final = (
    "choreo", "stage", "recipe", "kitchen", "lift", "reps", "sketch", "canvas", "outfit", "thrift", "garden", "soil",
    "level", "boss", "puppy", "leash", "beat", "verse", "novel", "chapter", "road", "sunset", "code", "robot",
    "match", "goal", "brush", "palette", "prank", "joke", "study", "notes", "market", "deal", "yoga", "calm",
    "braid", "curls", "wood", "drill", "tune", "chords", "magic", "cards", "lake", "tent", "snack", "crunch",
    "bride", "vows",
)  # fmt: skip
"""What people write in captions, two words for each cluster of taste."""


@dataclass(frozen=True)
class WorldSpec:
    """What world to simulate; the same spec gives the same world.

    Attributes:
        creators: how many creators post.
        trends: how many hashtags and named sounds can spread, generic tags included.
        days: how long it lasts.
        seed: of every random draw.
        start: the first instant, UTC.
    """

    creators: int = 400
    trends: int = 600
    days: int = 120
    seed: int = 0
    start: datetime = datetime(2025, 1, 1, tzinfo=UTC)

    def __post_init__(self) -> None:
        if self.creators < 1 or self.days < 1 or self.trends < 4:
            raise FeatureError("a world needs at least 1 creator, 4 trends and 1 day: ask for more")
        if self.start.utcoffset() != timedelta(0):
            raise FeatureError(f"the world's start {self.start} is not in UTC: give it as 2025-01-01T00:00:00Z")

    def stream(self, part: int) -> np.random.Generator:
        """Random numbers of one part of the world, independent of how many the other parts draw."""
        return np.random.default_rng([self.seed, part])


@dataclass(frozen=True)
class Creators:
    """One row per creator; `taste` has shape (creators, CLUSTERS), rows sum to 1; `weekday` rows sum to 7.

    `openness` is above 0 for early adopters, below for late ones; hours are UTC; `quality` is log10 views.
    """

    username: NDArray[np.str_]
    region: Ints
    taste: Floats
    followers: Floats
    follower_growth: Floats
    posts_per_day: Floats
    weekday: Floats
    hour: Floats
    openness: Floats
    tags_per_post: Floats
    tag_habit: Floats
    generic_share: Floats
    sound_share: Floats
    quality: Floats


@dataclass(frozen=True)
class Trends:
    """One row per trend, hashtags first, generic ones foremost; `home` is -1 where no region is preferred.

    `born_day`, `rise_days`, `decay_days` are in days since the start; an evergreen trend never decays.
    `audience` is the platform's count (views of a hashtag, videos of a sound) on a day of full intensity.
    """

    trend_id: NDArray[np.str_]
    name: NDArray[np.str_]
    author: NDArray[np.str_]
    hashtags: int
    generics: int
    evergreen: NDArray[np.bool_]
    taste: Floats
    home: Ints
    virality: Floats
    born_day: Floats
    rise_days: Floats
    decay_days: Floats
    audience: Floats

    def __len__(self) -> int:
        return len(self.trend_id)


@dataclass(frozen=True)
class Cast:
    """Everybody and everything in a world before its first day; `intensity` is as of `draw_intensity`."""

    spec: WorldSpec
    creators: Creators
    trends: Trends
    intensity: Floats


def draw_cast(spec: WorldSpec) -> Cast:
    """The creators, the trends and what fate has in store for each trend."""
    trends = draw_trends(spec)
    return Cast(spec, draw_creators(spec), trends, draw_intensity(spec, trends))


def draw_creators(spec: WorldSpec) -> Creators:
    """The creators of a world; sizes and cadences are heavy-tailed."""
    rng, n = spec.stream(1), spec.creators
    region = rng.choice(len(REGIONS), n, p=REGION_SHARES)
    established = rng.random(n) < 0.72
    log_followers = np.where(established, rng.normal(6.45, 0.5, n), rng.normal(4.8, 0.6, n))
    hour = (rng.normal(18.0, 3.5, n) - np.take(UTC_OFFSET_HOURS, region)) % 24
    return Creators(
        username=np.array([_username(i) for i in range(n)]),
        region=region,
        taste=_tastes(rng, n, focus=0.1),
        followers=10.0 ** np.clip(log_followers, 2.0, 8.0),
        follower_growth=np.abs(rng.normal(0.0, 0.0025, n)),
        posts_per_day=np.clip(rng.lognormal(np.log(0.42), 1.25, n), 0.01, 8.0),
        weekday=7 * rng.dirichlet(np.full(7, 8.0), n),
        hour=hour,
        openness=rng.normal(0.0, 0.8, n),
        tags_per_post=np.minimum(rng.gamma(0.68, 3.4, n), 15.0),
        tag_habit=rng.beta(0.8, 0.4, n),
        generic_share=rng.beta(0.7, 6.5, n),
        sound_share=rng.beta(0.9, 1.4, n),
        quality=rng.normal(0.0, 0.42, n),
    )


def draw_trends(spec: WorldSpec) -> Trends:
    """The trends of a world: three in five are hashtags, a fifth is evergreen, the rest passes."""
    rng, n = spec.stream(2), spec.trends
    hashtags = max(2, round(0.6 * n))
    generics = min(len(GENERIC_TAGS), max(1, hashtags // 10))
    is_tag, is_generic = np.arange(n) < hashtags, np.arange(n) < generics
    evergreen = is_generic | (rng.random(n) < np.where(is_tag, 0.5, 0.12))
    evergreen[[generics, hashtags]] = True
    taste = _tastes(rng, n, focus=0.06)
    names, authors = _sound_names(rng, n - hashtags, taste[hashtags:])
    tags = [*GENERIC_TAGS[:generics], *(_craze(i) for i in range(hashtags - generics))]
    born = np.where(evergreen, -400.0, rng.uniform(-PAST_DAYS, spec.days, n))
    return Trends(
        trend_id=np.array([*tags, *(str((1_500_000_000 + 9_973 * i) << 32) for i in range(n - hashtags))]),
        name=np.array([*tags, *names]),
        author=np.array([*([""] * hashtags), *authors]),
        hashtags=hashtags,
        generics=generics,
        evergreen=evergreen,
        taste=taste,
        home=np.where(rng.random(n) < 0.5, rng.choice(len(REGIONS), n, p=REGION_SHARES), -1),
        virality=np.where(
            is_generic,
            1.0 / (1 + np.arange(n)),
            np.where(evergreen, 1.0, 0.6) * np.exp(rng.normal(0.0, 1.0, n) * np.where(evergreen & is_tag, 1.0, 0.5)),
        ),
        born_day=born,
        rise_days=rng.lognormal(np.log(7.0), 0.5, n),
        decay_days=rng.lognormal(np.log(np.where(is_tag, 14.0, 11.0)), 0.6),
        audience=np.where(is_tag, 10 ** rng.normal(7.6, 0.6, n), 10 ** rng.normal(4.2, 0.6, n)),
    )


def draw_intensity(spec: WorldSpec, trends: Trends) -> Floats:
    """Life-cycle intensity, shape (PAST_DAYS + days, trends): seeding, spread, saturation, decay, with noise.

    A passing trend follows (1 - exp(-age/rise))² · exp(-age/decay), scaled to a peak of 1; an evergreen one
    stays at .35. Both carry autoregressive log-normal weather, so that today does not tell all of tomorrow.
    """
    rng, days = spec.stream(3), np.arange(0.5 - PAST_DAYS, spec.days)
    weather = np.zeros((len(days), len(trends)))
    for day in range(1, len(days)):
        weather[day] = 0.85 * weather[day - 1] + rng.normal(0.0, 0.15, len(trends))
    shape = np.where(trends.evergreen, 0.35, life_cycle(trends, days))
    return np.asarray(shape * np.exp(weather))


def life_cycle(trends: Trends, day: Floats) -> Floats:
    """The noiseless curve of every trend as a passing one at the given days, shape (days, trends), peak 1."""
    age = np.maximum(day[:, None] - trends.born_day, 0.0)
    peak_age = trends.rise_days * np.log1p(2 * trends.decay_days / trends.rise_days)
    return np.asarray(_curve(age, trends) / _curve(peak_age, trends))


def stages(trends: Trends, day: Floats) -> NDArray[np.str_]:
    """The stage of every trend at the given days: unborn, emerging, rising, peaking, declining, evergreen."""
    level, age = life_cycle(trends, day), day[:, None] - trends.born_day
    peak_age = trends.rise_days * np.log1p(2 * trends.decay_days / trends.rise_days)
    tests = [
        np.broadcast_to(trends.evergreen, age.shape),
        age <= 0,
        level >= 0.85,
        age > peak_age,
        level < 0.25,
    ]
    return np.select(tests, ["evergreen", "unborn", "peaking", "declining", "emerging"], "rising")


def _curve(age: Floats, trends: Trends) -> Floats:
    return np.asarray((1 - np.exp(-age / trends.rise_days)) ** 2 * np.exp(-age / trends.decay_days))


def _tastes(rng: np.random.Generator, count: int, focus: float) -> Floats:
    """Soft membership of clusters of unequal size, shape (count, CLUSTERS); low focus, few clusters."""
    sizes = 1.0 / np.arange(2, CLUSTERS + 2) ** 0.7
    draws = rng.gamma(focus * CLUSTERS * sizes / sizes.sum(), size=(count, CLUSTERS)) + 1e-3
    return np.asarray(draws / draws.sum(axis=1, keepdims=True))


def _username(i: int) -> str:
    turn, rest = divmod(i, len(_FIRST) * len(_TOPIC))
    return f"{_FIRST[rest % len(_FIRST)]}.{_TOPIC[(rest // len(_FIRST) + rest) % len(_TOPIC)]}{turn or ''}"


def _craze(i: int) -> str:
    turn, rest = divmod(i, len(_THING) * len(_CRAZE))
    thing, craze = _THING[rest % len(_THING)], _CRAZE[(rest // len(_THING) + rest) % len(_CRAZE)]
    return f"{thing}{craze}{turn or ''}"


def _sound_names(rng: np.random.Generator, count: int, taste: Floats) -> tuple[list[str], list[str]]:
    """Titles and artists; a seventh are variants of an earlier sound, whose taste they take over in place."""
    names: list[str] = []
    authors: list[str] = []
    for i in range(count):
        parent, style = int(rng.integers(max(i, 1))), _VARIANTS[int(rng.integers(len(_VARIANTS)))]
        if i > 0 and rng.random() < 0.14:
            names.append(f"{names[parent].split(' (')[0].split(' - ')[0]} {style}")
            authors.append(authors[parent])
            taste[i] = 0.7 * taste[parent] + 0.3 * taste[i]
            continue
        mood, thing = _MOOD[int(rng.integers(len(_MOOD)))], _THING[int(rng.integers(len(_THING)))]
        names.append(f"{mood} {thing}".title())
        authors.append(f"{_FIRST[int(rng.integers(len(_FIRST)))]} {_MOOD[int(rng.integers(len(_MOOD)))]}".title())
    return names, authors


def rare_tag(i: int) -> str:
    """The name of the i-th tag that somebody made up for themselves."""
    turn, rest = divmod(i, len(_MOOD) * len(_THING))
    return f"{_MOOD[rest % len(_MOOD)]}{_THING[(rest // len(_MOOD) + rest) % len(_THING)]}{turn or ''}"


def rare_sound(i: int) -> tuple[str, str, str]:
    """Id, title and artist of the i-th sound from the long tail of the catalogue."""
    thing, mood = _THING[i % len(_THING)], _MOOD[(i // len(_THING) + i) % len(_MOOD)]
    return str((1_400_000_000 + i) << 32), f"{thing} of {mood}".title(), f"{mood} {i % 997}".title()
