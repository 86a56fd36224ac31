"""The compiled particle filter against its reference."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import configs
from features.trends import rounding_unit
from models.compiled.filter_kernels import Dynamics, Sights, follow_counts
from models.growth.particle_filter import RatePrior, follow
from models.growth.public_counts import DAY_US, PublicCounts
from models.growth.replicas import find_anchors
from models.growth.robust_line import trailing_lines

FORECAST = configs.load().forecast
PARTICLES = 200


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    gaps=st.lists(st.sampled_from([0.05, 0.25, 1.0, 4.0, 45.0]), min_size=1, max_size=60),
    first=st.sampled_from([3.0, 800.0, 25_000.0, 3e6]),
    flip=st.sampled_from([0.0, 0.03]),
)
def test_the_compiled_filter_follows_the_same_particles_as_the_reference(
    seed: int, gaps: list[float], first: float, flip: float
) -> None:
    rng = np.random.default_rng(seed)
    days = 20_000 + np.cumsum([0.0, *gaps])
    grown = first * np.exp(0.05 * (days - days[0]) + flip * (rng.random(len(days)) < 0.5))
    counts = PublicCounts(
        trend_types=("sound",),
        trend_ids=("s",),
        starts=np.array([0, len(days)]),
        at_us=np.round(days * DAY_US).astype(np.int64),
        counts=np.maximum(np.round(grown / rounding_unit(grown)) * rounding_unit(grown), 1.0),
    )
    ends = counts.day_ends
    anchors = find_anchors(counts, ends, trailing_lines(counts, ends, FORECAST.filter.line_days))
    prior = RatePrior.of_type("sound", FORECAST.prior)
    same = [np.random.Generator(np.random.SFC64(seed)) for _ in range(2)]
    reference = [cloud for _, cloud in follow(counts, 0, anchors, 0, FORECAST.filter, prior, PARTICLES, same[0])]

    is_end = np.isin(np.arange(len(days)), ends)
    clouds = np.empty((len(ends), 2, PARTICLES))
    sights = Sights(counts.days, counts.counts, counts.cell, is_end)
    follow_counts(same[1], sights, anchors.table, Dynamics.of(FORECAST.filter, prior), PARTICLES, clouds)

    np.testing.assert_allclose(clouds, np.array(reference), rtol=1e-9, atol=1e-9)
