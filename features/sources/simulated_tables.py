"""The rows that a collector would hand over: observed posts and the daily lists of a simulated world."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features import contract, schemas
from features.sources.simulated_counts import Observations, platform_counts, tiktok_rounded
from features.sources.simulated_life import ORIGINAL, Posts
from features.sources.simulated_population import (
    CLUSTERS,
    PAST_DAYS,
    REGIONS,
    WORDS,
    Cast,
    Floats,
    Ints,
    Trends,
    WorldSpec,
    rare_sound,
    rare_tag,
)

LIST_LENGTH: Final = 20
MICROSECONDS: Final = 1_000_000
_TAG_LIST: Final = {"trend_type": "hashtag", "metric": "view_count"}
_SOUND_LIST: Final = {"trend_type": "sound", "metric": "video_count"}
_CREATOR_LIST: Final = {"trend_type": "creator", "metric": "follower_count"}


def observation_table(cast: Cast, posts: Posts, seen: Observations) -> pa.Table:
    """The observations as rows of `schemas.OBSERVATION`, in order of observed_at."""
    spec, creators = cast.spec, cast.creators
    columns = post_columns(cast, posts).take(pa.array(seen.post))
    named = {name: columns[name] for name in columns.column_names}
    named["observed_at"] = instants(spec.start, seen.observed)
    named |= {name: pa.array(seen.counts[:, i]) for i, name in enumerate(contract.COUNTS)}
    grown = np.exp(creators.follower_growth[posts.creator[seen.post]] * seen.observed / 86_400)
    named["follower_count"] = pa.array(tiktok_rounded(creators.followers[posts.creator[seen.post]] * grown))
    named["music_use_count"] = pa.array(_sound_uses(cast.trends, cast.intensity, posts, seen))
    return pa.table([named[name] for name in schemas.OBSERVATION.names], schema=schemas.OBSERVATION)


def post_columns(cast: Cast, posts: Posts) -> pa.Table:
    """Everything about the posts that does not change, one row each."""
    spec, creators, trends = cast.spec, cast.creators, cast.trends
    rng, n = spec.stream(6), len(posts)
    seconds = int(spec.start.timestamp()) + posts.created
    number = (seconds << 32) + 2 * np.arange(n)
    username = creators.username[posts.creator]
    tags = _hashtag_names(trends, posts)
    ids, titles, authors = _sound_columns(trends, posts, number, username)
    return pa.table(
        {
            "id": pa.array(number).cast(pa.string()),
            "create_time": instants(spec.start, posts.created),
            "username": pa.array(username.tolist()),
            "region_code": pa.array(np.array(REGIONS)[creators.region[posts.creator]].tolist()),
            "video_description": pa.array(_descriptions(cast, posts, tags)),
            "video_duration": pa.array(np.clip(rng.lognormal(np.log(16), 0.65, n), 4, 600).astype(np.int64)),
            "music_id": ids,
            "music_title": titles,
            "music_author": authors,
            "hashtag_names": tags,
        }
    )


def _descriptions(cast: Cast, posts: Posts, tags: pa.ListArray) -> list[str]:
    """Two words of the creator's strongest tastes, then the hashtags."""
    rng, taste = cast.spec.stream(9), cast.creators.taste
    strongest = np.argsort(-taste, axis=1)[:, :2]
    drawn = strongest[posts.creator[:, None], rng.integers(0, 2, (len(posts), 2))]
    words = np.array(WORDS)[2 * (drawn % CLUSTERS) + rng.integers(0, 2, drawn.shape)]
    listed = (" ".join(f"#{tag}" for tag in names) for names in tags.to_pylist())
    return [f"{first} {second} {names}".strip() for (first, second), names in zip(words.tolist(), listed, strict=True)]


def instants(start: datetime, seconds: Ints) -> pa.Array:
    """Seconds since the start as UTC instants."""
    first = int(start.timestamp()) * MICROSECONDS + start.microsecond
    return pa.array(first + np.asarray(seconds) * MICROSECONDS).cast(schemas.INSTANT)


def _hashtag_names(trends: Trends, posts: Posts) -> pa.ListArray:
    rare = int(posts.tags.max(initial=-1)) - trends.hashtags + 1
    names = [*trends.name[: trends.hashtags].tolist(), *(rare_tag(i) for i in range(rare))]
    flat = pa.array(names, pa.string()).take(pa.array(posts.tags))
    return pa.ListArray.from_arrays(pa.array(posts.tag_start.astype(np.int32)), flat)


def _sound_columns(trends: Trends, posts: Posts, number: Ints, username: NDArray[np.str_]) -> list[pa.Array]:
    """music_id, music_title, music_author of every post; the creator's own audio is theirs alone."""
    shared = slice(trends.hashtags, None)
    rare = max(int(posts.sound.max(initial=-1)) - (len(trends) - trends.hashtags) + 1, 0)
    tail = [rare_sound(i) for i in range(rare)]
    own = (number + 1).astype(str), np.full(len(posts), "original sound"), username
    columns = []
    for i, known in enumerate((trends.trend_id[shared], trends.name[shared], trends.author[shared])):
        names = np.array([*known.tolist(), *(sound[i] for sound in tail)])
        columns.append(pa.array(np.where(posts.sound == ORIGINAL, own[i], names[posts.sound]).tolist()))
    return columns


def _sound_uses(trends: Trends, intensity: Floats, posts: Posts, seen: Observations) -> Ints:
    sound, day = posts.sound[seen.post], PAST_DAYS - 1 + seen.observed // 86_400
    sounds = len(trends) - trends.hashtags
    counts = platform_counts(trends, intensity)[:, trends.hashtags :]
    shared = (sound >= 0) & (sound < sounds)
    uses = np.where(sound == ORIGINAL, 1.0, 3.0 + sound * 7919 % 4001)
    uses[shared] = counts[day[shared], sound[shared]] + 1
    return tiktok_rounded(uses)


def snapshot_table(cast: Cast) -> pa.Table:
    """Daily lists, worldwide and by region: hashtags and sounds that gained most, most followed creators.

    Rows of `schemas.TREND_SNAPSHOTS`, each day's read as it ends; `position` counts from 0, as on real lists.
    """
    spec, creators, trends = cast.spec, cast.creators, cast.trends
    counts = platform_counts(trends, cast.intensity)[PAST_DAYS - 1 :]
    gained = np.diff(counts, axis=0)
    people = creators.followers * np.exp(creators.follower_growth * np.arange(spec.days)[:, None])
    tags = (
        trends.trend_id[: trends.hashtags],
        trends.name[: trends.hashtags],
        trends.author[: trends.hashtags],
    )
    sounds = (
        trends.trend_id[trends.hashtags :],
        trends.name[trends.hashtags :],
        trends.author[trends.hashtags :],
    )
    folk = (creators.username,) * 3
    cut, lists = trends.hashtags, []
    for r, region in enumerate((contract.WORLDWIDE, *REGIONS), start=-1):
        heat = gained * (1.0 if r < 0 else np.where(trends.home == r, 2.0, np.where(trends.home < 0, 1.0, 0.5)))
        local = np.where((r < 0) | (creators.region == r), people, 0.0)
        lists += [
            _listing(heat[:, :cut], counts[1:, :cut], tags) | {"region": region, **_TAG_LIST},
            _listing(heat[:, cut:], counts[1:, cut:], sounds) | {"region": region, **_SOUND_LIST},
            _listing(local, people, folk) | {"region": region, **_CREATOR_LIST},
        ]
    table = pa.concat_tables([_stamped(part, spec) for part in lists])
    return table.sort_by([(name, "ascending") for name in schemas.TREND_SNAPSHOTS.order_by])


def _listing(heat: Floats, counts: Floats, names: tuple[NDArray[np.str_], ...]) -> dict[str, object]:
    """The daily top of one type, LIST_LENGTH long at most; what has no heat is not listed."""
    order = np.argsort(-heat, axis=1, kind="stable")[:, :LIST_LENGTH]
    day, position = np.nonzero(np.take_along_axis(heat, order, axis=1) > 0)
    item = order[day, position]
    ids, titles, authors = (column[item].tolist() for column in names)
    return {
        "trend_id": ids,
        "observed_at": day,
        "name": titles,
        "author": [author or None for author in authors],
        "position": position,
        "value": tiktok_rounded(counts[day, item]),
    }


def _stamped(rows: dict[str, object], spec: WorldSpec) -> pa.Table:
    """The rows with their day as the instant before midnight at which the list was read."""
    seconds = np.asarray(rows["observed_at"], dtype=np.int64) * 86_400 + 86_100
    named = rows | {"observed_at": instants(spec.start, seconds)}
    named |= {name: [value] * len(seconds) for name, value in rows.items() if isinstance(value, str)}
    schema = schemas.TREND_SNAPSHOTS.schema
    return pa.table([pa.array(named[f.name], f.type) for f in schema], schema=schema)
