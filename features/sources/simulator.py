"""A seeded world in which creators adopt trends, its truth known: the stand-in for data nobody may ship."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.errors import FeatureError
from features.sources.simulated_counts import observe
from features.sources.simulated_life import Law, Life, Posts
from features.sources.simulated_population import (
    Cast,
    Creators,
    Floats,
    Trends,
    WorldSpec,
    draw_cast,
)
from features.sources.simulated_tables import observation_table, snapshot_table

__all__ = ["SimulatedWorld", "WorldSpec", "adoption_probability", "simulate"]


@dataclass(frozen=True)
class SimulatedWorld:
    """A finished world: what an observer saw of it, and what was true.

    Attributes:
        videos: rows of `schemas.OBSERVATION`, sorted by observed_at and id.
        trend_snapshots: rows of `schemas.TREND_SNAPSHOTS`.
        cast: its spec, creators, trends and their intensity.
        law: what draws creators to trends.
        exposure: (days, CLUSTERS, trends) float32: recent uses by members of each cluster as each day began.
        lift: log10 views that each post owes to its trends.
        final_views: each post's views when they have stopped growing.
    """

    cast: Cast
    law: Law
    exposure: NDArray[np.float32]
    posts: Posts
    lift: Floats
    final_views: Floats
    videos: pa.Table
    trend_snapshots: pa.Table

    @property
    def spec(self) -> WorldSpec:
        """What was asked for."""
        return self.cast.spec

    @property
    def creators(self) -> Creators:
        """Everybody who posts."""
        return self.cast.creators

    @property
    def trends(self) -> Trends:
        """Everything that can spread."""
        return self.cast.trends


def simulate(spec: WorldSpec) -> SimulatedWorld:
    """Live through every day of the world that the spec describes.

    Draws are made in double precision and every written number is rounded, so that the frames are the same
    on every machine.
    """
    law = Law(draw_cast(spec))
    life = Life(law)
    posts = life.run()
    seen = observe(law.cast, posts)
    return SimulatedWorld(
        cast=law.cast,
        law=law,
        exposure=life.exposure,
        posts=posts,
        lift=seen.lift,
        final_views=seen.final_views,
        videos=observation_table(law.cast, posts, seen),
        trend_snapshots=snapshot_table(law.cast),
    )


def adoption_probability(world: SimulatedWorld, creators: Sequence[str], day: int, horizon_days: int = 1) -> Floats:
    """The true probability that each creator takes up each trend in the horizon, shape (creators, trends).

    Columns are in the order of `world.trends`. It is 1 - exp(-expected uses) by the law that the world draws
    from, over days [day, day + horizon_days) cut at the world's end: life cycles as they come, exposure as it
    stood when `day` began, so that no later draw leaks in. Uses out of habit (repeats of the creator's own)
    are not in it; mask what a creator has used before to rank new adoptions.

    Raises:
        FeatureError: an unknown creator, or a day outside the world.
    """
    place = {name: i for i, name in enumerate(world.creators.username.tolist())}
    unknown = [name for name in creators if name not in place]
    if unknown or not 0 <= day < world.spec.days or horizon_days < 1:
        raise FeatureError(f"no such creator or day in this world: {unknown[:3] or day}; see truth/world.json")
    rows = np.array([place[name] for name in creators], dtype=np.int64)
    days = range(day, min(day + horizon_days, world.spec.days))
    return np.asarray(-np.expm1(-world.law.expected_uses(rows, days, world.exposure[day].astype(np.float64))))
