"""From particles to the distribution of log growth of the count that will be shown, over one or more horizons.

Every projection of a job uses the same random numbers: forecasts of different trends then differ by what is known of
them and not by luck, and neither the trends beside one nor their order changes its forecast.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from configs import GrowthFilterSettings
from features.trends import rounding_unit
from models.growth.particle_filter import LONGEST_STEP_DAYS, Cloud, RatePrior, next_rates
from models.growth.public_counts import Flags, Floats

LEVELS: Final[Floats] = np.round(np.concatenate([[0.005], np.arange(0.025, 0.98, 0.025), [0.995]]), 3)
"""The quantiles by which a distribution of growth is kept; the median is the middle one."""

MEDIAN: Final = len(LEVELS) // 2
LARGEST_LOG_COUNT: Final = 40.0


@dataclass(frozen=True)
class Shocks:
    """The random numbers of a projection: one column a particle, one row a day, and row 0 for a gap before it.

    Attributes:
        volatile, noise, change: standard normal; `change` is 0 where no regime change happens.
        replica: uniform, shape (particles,).
        renewed, grows, normal: for a rate that is drawn anew after a gap, each shape (particles,).
    """

    volatile: Floats
    noise: Floats
    change: Floats
    replica: Floats
    renewed: Flags
    grows: Floats
    normal: Floats

    @classmethod
    def draw(cls, size: int, days: int, settings: GrowthFilterSettings, seed: int) -> Shocks:
        """Shocks of `size` particles over `days` days; the first days do not depend on how many follow."""
        rng = np.random.default_rng([seed, size])
        replica, grows, renewed = rng.permutation((np.arange(size) + 0.5) / size), *rng.random((2, size))
        normal, daily = rng.standard_normal(size), []
        for _ in range(days + 1):
            change = np.where(rng.random(size) < settings.regime_change, rng.standard_normal(size), 0.0)
            daily.append((*rng.standard_normal((2, size)), change))
        volatile, noise, changes = np.stack(daily, axis=1)
        return cls(volatile, noise, changes, replica, renewed < 0.5, grows, normal)


def project(cloud: Cloud, days: int, shocks: Shocks, settings: GrowthFilterSettings) -> Iterator[Cloud]:
    """The cloud after 1, 2, … `days` days; shapes (…, particles) as given."""
    level, rate = cloud
    for day in range(1, days + 1):
        moved = rate * np.exp(shocks.change[day])
        following = next_rates(moved, 1.0, shocks.volatile[day], shocks.noise[day], settings)
        level, rate = level + 0.5 * (rate + following), following
        yield Cloud(level, rate)


def across_gap(
    cloud: Cloud,
    days: Floats,
    count: Floats,
    pace_days: Floats,
    prior: RatePrior,
    shocks: Shocks,
    settings: GrowthFilterSettings,
) -> Cloud:
    """Clouds after `days` days in which nothing was seen, as the filter itself would move them.

    Args:
        cloud: several, each shape (m, particles).
        days: how long nothing was seen of each, shape (m, 1).
        count: the last one seen, shape (m, 1).
        pace_days: how long before it the trend had been seen, shape (m, 1).
    """
    level, rate = cloud
    is_gap = days > np.maximum(settings.gap_days, 2 * pace_days)
    rate = np.where(is_gap & shocks.renewed, prior.rates(count, shocks.grows, shocks.normal), rate)
    dt = np.minimum(days, LONGEST_STEP_DAYS)
    following = next_rates(rate, dt, shocks.volatile[0], shocks.noise[0], settings)
    return Cloud(level + 0.5 * (rate + following) * dt, following)


def growth_quantiles(
    cloud: Cloud,
    log_now: Floats | float,
    horizons: Sequence[int],
    shocks: Shocks,
    settings: GrowthFilterSettings,
    replica: tuple[Floats | float, Floats | float] = (0.0, 0.0),
    exact: Flags | bool = False,
) -> Floats:
    """Quantiles at `LEVELS` of log(count shown after each horizon) − `log_now`, shape (horizons, …, levels).

    Args:
        cloud: one, or several at once, shape (…, particles); everything else of shape (…, 1), or one for all.
        horizons: days, ascending.
        replica: log distance and share of the higher replica of a count that flips.
        exact: the count is shown as it is, not rounded.
    """
    offset = np.where(shocks.replica < replica[1], replica[0], 0.0)
    last, found = horizons[-1], []
    for day, after in enumerate(project(cloud, last, shocks, settings), start=1):
        if day in horizons:
            found.append(_quantiles(shown(after.level + offset, exact) - log_now))
    return np.stack(found)


def shown(level: Floats, exact: Flags | bool = False) -> Floats:
    """Log of the count that is shown for a true log count; never below one."""
    count = np.exp(np.clip(level, 0.0, LARGEST_LOG_COUNT))
    unit = np.where(exact, 1.0, rounding_unit(count))
    return np.log(np.maximum(np.round(count / unit) * unit, 1.0))


def _quantiles(growth: Floats) -> Floats:
    return np.sort(growth, axis=-1)[..., (LEVELS * (growth.shape[-1] - 1)).astype(np.int64)]
