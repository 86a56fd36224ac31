"""Writes a simulated world to a folder: what was seen, beside it what was true."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.contract import trend_key
from features.sources.simulated_counts import platform_counts
from features.sources.simulated_population import PAST_DAYS, REGIONS, Floats, stages
from features.sources.simulated_tables import instants
from features.sources.simulator import SimulatedWorld, adoption_probability

TRUTH_EVERY_DAYS: Final = 7
TRUTH_HORIZON_DAYS: Final = 7
TRUTH_TOP: Final = 50
TRUTH_NOTES: Final = {
    "creators.parquet": "per creator: taste (cluster shares), region, size, cadence, habits, openness",
    "trends.parquet": "per trend: taste, home region, virality, life cycle (days since the start)",
    "intensity.parquet": "per day and trend: life-cycle intensity, true stage, count on the whole platform",
    "posts.parquet": "per post: log10 views owed to its trends, and its views once they stop growing",
    "adoption.parquet": "per weekly instant and creator: the 50 trends likeliest within 7 days",
}


def write(world: SimulatedWorld, out_dir: Path) -> None:
    """Write `videos.parquet`, `trend_snapshots.parquet` and the folder `truth/`, over files of these names.

    Truth beyond the files is a call away: `simulate` with the spec in `truth/world.json` gives the very same
    world, and `adoption_probability` every probability in it.
    """
    truth = out_dir / "truth"
    truth.mkdir(parents=True, exist_ok=True)
    _store(world.videos, out_dir / "videos.parquet")
    _store(world.trend_snapshots, out_dir / "trend_snapshots.parquet")
    tables = {
        "creators": _creators(world),
        "trends": _trends(world),
        "intensity": _intensity(world),
        "posts": _posts(world),
        "adoption": _adoption(world),
    }
    for name, table in tables.items():
        _store(table, truth / f"{name}.parquet")
    spec = asdict(world.spec) | {"start": world.spec.start.isoformat()}
    notes = {"spec": spec, "regions": REGIONS, "files": TRUTH_NOTES}
    (truth / "world.json").write_text(json.dumps(notes, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def truth_keys(world: SimulatedWorld) -> list[str]:
    """The trend keys of the world's trends, in the order of every truth array."""
    kinds = ["hashtag" if i < world.trends.hashtags else "sound" for i in range(len(world.trends))]
    return [trend_key(kind, name) for kind, name in zip(kinds, world.trends.trend_id.tolist(), strict=True)]


def _store(table: pa.Table, path: Path) -> None:
    pq.write_table(table, path, compression="zstd")


def _rounded(values: Floats) -> pa.Array:
    """Figures to six places: beyond that, processors differ."""
    return pa.array(np.round(values, 6))


def _vectors(values: Floats) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(_rounded(values.ravel()), values.shape[1])


def _creators(world: SimulatedWorld) -> pa.Table:
    people = world.creators
    plain = ("followers", "follower_growth", "posts_per_day", "hour", "openness")
    habits = ("tags_per_post", "tag_habit", "generic_share", "sound_share", "quality")
    return pa.table(
        {
            "username": pa.array(people.username.tolist()),
            "region": pa.array([REGIONS[i] for i in people.region]),
            "taste": _vectors(people.taste),
            "weekday": _vectors(people.weekday),
            **{name: _rounded(getattr(people, name)) for name in (*plain, *habits)},
        }
    )


def _trends(world: SimulatedWorld) -> pa.Table:
    trends = world.trends
    generic = np.arange(len(trends)) < trends.generics
    numbers = ("virality", "born_day", "rise_days", "decay_days", "audience")
    return pa.table(
        {
            "trend_key": pa.array(truth_keys(world)),
            "name": pa.array(trends.name.tolist()),
            "author": pa.array(trends.author.tolist()),
            "generic": pa.array(generic),
            "evergreen": pa.array(trends.evergreen),
            "home": pa.array([REGIONS[i] if i >= 0 else None for i in trends.home], pa.string()),
            "taste": _vectors(trends.taste),
            **{name: _rounded(getattr(trends, name)) for name in numbers},
        }
    )


def _intensity(world: SimulatedWorld) -> pa.Table:
    days, count = world.spec.days, len(world.trends)
    stage = stages(world.trends, np.arange(0.5, days))
    platform = platform_counts(world.trends, world.cast.intensity)[PAST_DAYS:]
    return pa.table(
        {
            "day": pa.array(np.repeat(np.arange(days), count)),
            "trend_key": pa.array(truth_keys(world)).take(pa.array(np.tile(np.arange(count), days))),
            "intensity": _rounded(world.cast.intensity[PAST_DAYS:].ravel()),
            "stage": pa.array(stage.ravel().tolist()),
            "platform_count": pa.array(platform.ravel().astype(np.int64)),
        }
    )


def _posts(world: SimulatedWorld) -> pa.Table:
    return pa.table(
        {
            "creator": pa.array(world.creators.username[world.posts.creator].tolist()),
            "create_time": instants(world.spec.start, world.posts.created),
            "lift": _rounded(world.lift),
            "final_views": pa.array(world.final_views.astype(np.int64)),
        }
    )


def _adoption(world: SimulatedWorld) -> pa.Table:
    """The likeliest trends of every creator at weekly instants, descending."""
    people = world.creators.username
    days = range(TRUTH_EVERY_DAYS, world.spec.days, TRUTH_EVERY_DAYS)
    kept = min(TRUTH_TOP, len(world.trends))
    best = np.zeros((len(days), len(people), kept), dtype=np.int64)
    chance = np.zeros(best.shape)
    for i, day in enumerate(days):
        millionths = np.rint(1e6 * adoption_probability(world, people.tolist(), day, TRUTH_HORIZON_DAYS))
        # Ties go to the earlier trend, so that no two keys are equal and every processor keeps the same ones.
        key = np.arange(len(world.trends)) - millionths.astype(np.int64) * len(world.trends)
        top = np.argpartition(key, kept - 1, axis=1)[:, :kept]
        best[i] = np.take_along_axis(top, np.argsort(np.take_along_axis(key, top, axis=1), axis=1), axis=1)
        chance[i] = np.take_along_axis(millionths, best[i], axis=1) / 1e6
    at, who, _ = np.indices(best.shape)
    seconds = (at.ravel() + 1) * TRUTH_EVERY_DAYS * 86_400
    return pa.table(
        {
            "at": instants(world.spec.start, seconds),
            "username": pa.array(people.tolist()).take(pa.array(who.ravel())),
            "trend_key": pa.array(truth_keys(world)).take(pa.array(best.ravel())),
            "probability": pa.array(chance.ravel()),
        }
    )
