"""One row per trend and day: what was known of its growth at the end of that day, and the growth that followed."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from configs import ForecastSettings
from models.growth.particle_filter import Cloud, RatePrior
from models.growth.projection import LEVELS, Shocks, growth_quantiles
from models.growth.public_counts import DAY_US, Flags, Floats, Ints, PublicCounts
from models.growth.replicas import Anchors, find_anchors
from models.growth.robust_line import Lines, trailing_lines

if TYPE_CHECKING:
    import pandas as pd

Progress = Callable[[str, float], None]

LEVEL_WINDOW_DAYS: Final = 7
RESTING_PARTICLES: Final = 500
REPORT_EVERY: Final = 20
PROJECTED_AT_ONCE: Final = 30_000
"""Particles of how many rows are projected together: enough to be quick, few enough for the processor's cache."""


def quiet(_step: str, _share: float) -> None:
    """No progress."""


@dataclass(frozen=True)
class GrowthPanel:
    """Rows in order of trend and day; no row looks past its day.

    Attributes:
        rows: trend_type, trend_id, day (since 1970), at_us (of the day's last count), count, half (half a rounding
            cell ÷ count), age_days, exact, is_settled (listed three days before), rate (median) and rate_sd of the
            particles, level (their mean log count above the shown one), slope_<days> and line (the 7-day line's
            level above the shown count).
        quantiles: of log growth at `LEVELS`, shape (horizons, rows, levels).
        horizons: days, ascending.
        resting: row → a few of its particles, for rows after which the trend was not seen on the next day.
    """

    rows: pd.DataFrame
    quantiles: Floats
    horizons: tuple[int, ...]
    resting: Mapping[int, Cloud]

    def of_types(self, trend_types: Sequence[str]) -> GrowthPanel:
        """The rows of these trend types only."""
        kept = np.flatnonzero(self.rows["trend_type"].isin(trend_types))
        place = {int(row): place for place, row in enumerate(kept)}
        resting = {place[row]: cloud for row, cloud in self.resting.items() if row in place}
        rows = self.rows.iloc[kept].reset_index(drop=True)
        return GrowthPanel(rows, self.quantiles[:, kept], self.horizons, resting)

    def growth(self, horizon: int) -> Floats:
        """Log growth of the shown count over the horizon, NaN where its last day has no count, shape (rows,)."""
        later = self._row_of(horizon)
        log_count = np.log(self.rows["count"].to_numpy())
        return np.where(later >= 0, log_count[later] - log_count, np.nan)

    def _row_of(self, days: int) -> Ints:
        return row_after(self.rows["trend_number"].to_numpy(), self.rows["day"].to_numpy(), days)


def row_after(trend: Ints, day: Ints, days: int) -> Ints:
    """Row of the same trend `days` later (earlier where negative), −1 where there is none; rows in order of both."""
    span = int(day.max(initial=0) - day.min(initial=0)) + 2 * abs(days) + 2
    key = trend * span + (day - day.min(initial=0)) + abs(days)
    at = np.minimum(np.searchsorted(key, key + days), max(len(key) - 1, 0))
    return np.where(key[at] == key + days, at, -1)


def build_panel(
    counts: PublicCounts,
    horizons: Sequence[int],
    settings: ForecastSettings,
    particles: int,
    progress: Progress = quiet,
) -> GrowthPanel:
    """Run the filter over every trend.

    Args:
        horizons: days.
        particles: per trend.
        progress: told every few trends.
    """
    ends = counts.day_ends
    windows = sorted({*settings.slope_windows_days, LEVEL_WINDOW_DAYS, settings.filter.line_days})
    lines = {window: trailing_lines(counts, ends, window) for window in windows}
    anchors = find_anchors(counts, ends, lines[settings.filter.line_days])
    run = _Run(counts, anchors, tuple(sorted(set(horizons))), settings, particles)
    run.follow(progress)
    rows = _facts(counts, ends, lines, settings.slope_windows_days)
    rows = rows.assign(rate=run.state[0], rate_sd=run.state[1], level=run.state[2])
    return GrowthPanel(rows, run.quantiles, run.horizons, run.resting)


class _Run:
    """The filter over all trends, and what it leaves at each day end."""

    def __init__(
        self,
        counts: PublicCounts,
        anchors: Anchors,
        horizons: tuple[int, ...],
        settings: ForecastSettings,
        particles: int,
    ) -> None:
        self.counts, self.anchors, self.horizons = counts, anchors, horizons
        self.settings, self.particles = settings, particles
        self.shocks = Shocks.draw(particles, horizons[-1], settings.filter, settings.seed)
        self.ends = counts.day_ends
        self.state = np.zeros((3, len(self.ends)))
        self.quantiles = np.zeros((len(horizons), len(self.ends), len(LEVELS)))
        self.few = np.linspace(0, particles - 1, min(RESTING_PARTICLES, particles)).astype(np.int64)
        self.resting: dict[int, Cloud] = {}

    def follow(self, progress: Progress) -> None:
        """Follow trend after trend, and project several together."""
        most, clouds = max(PROJECTED_AT_ONCE // self.particles, 1), list[Floats]()
        firsts, waiting, done = np.searchsorted(self.ends, self.counts.starts), 0, 0
        for trend in range(len(self.counts)):
            clouds.append(self._clouds(trend, slice(firsts[trend], firsts[trend + 1])))
            waiting += len(clouds[-1])
            if waiting >= most or trend + 1 == len(self.counts):
                together = np.concatenate(clouds)
                for first in range(0, waiting, most):
                    some = together[first : first + most]
                    self._keep(np.arange(done + first, done + first + len(some)), Cloud(some[:, 0], some[:, 1]))
                clouds, waiting, done = [], 0, done + waiting
            if trend % REPORT_EVERY == 0:
                progress("following public counts", trend / len(self.counts))

    def _clouds(self, trend: int, rows: slice) -> Floats:
        """The particles at each day end of a trend, shape (day ends, 2, particles); chance comes from its name."""
        from models.compiled.filter_kernels import Dynamics, Sights, follow_counts

        counts, kind = self.counts, self.counts.trend_types[trend]
        name = f"{kind}:{counts.trend_ids[trend]}"
        rng = np.random.Generator(np.random.SFC64([self.settings.seed, zlib.crc32(name.encode())]))
        own = slice(counts.starts[trend], counts.starts[trend + 1])
        is_end = np.zeros(own.stop - own.start, np.bool_)
        is_end[self.ends[rows] - own.start] = True
        sights = Sights(counts.days[own], counts.counts[own], counts.cell[own], is_end)
        dynamics = Dynamics.of(self.settings.filter, RatePrior.of_type(kind, self.settings.prior))
        clouds = np.empty((rows.stop - rows.start, 2, self.particles))
        follow_counts(rng, sights, self.anchors.table[rows], dynamics, self.particles, clouds)
        return clouds

    def _keep(self, rows: Ints, clouds: Cloud) -> None:
        """Keep what some rows know; clouds of shape (rows, particles)."""
        ends = self.ends[rows]
        log_now = np.log(self.counts.counts[ends])[:, None]
        replica = self.anchors.offset[rows, None], self.anchors.share[rows, None]
        self.state[0, rows], self.state[1, rows] = np.median(clouds.rate, axis=1), clouds.rate.std(axis=1)
        self.state[2, rows] = clouds.level.mean(axis=1) - log_now[:, 0]
        exact = self.counts.is_exact[ends][:, None]
        self.quantiles[:, rows] = growth_quantiles(
            clouds, log_now, self.horizons, self.shocks, self.settings.filter, replica, exact
        )
        for place in np.flatnonzero(self._rests(ends)):
            self.resting[int(rows[place])] = Cloud(clouds.level[place, self.few], clouds.rate[place, self.few])

    def _rests(self, ends: Ints) -> Flags:
        """Whether the trend was not seen on the day after."""
        counts, after = self.counts, np.minimum(ends + 1, len(self.counts.counts) - 1)
        last = ends + 1 == counts.starts[counts.trend[ends] + 1]
        return np.asarray(last | (counts.day[after] > counts.day[ends] + 1))


def _facts(counts: PublicCounts, ends: Ints, lines: Mapping[float, Lines], windows: Sequence[int]) -> pd.DataFrame:
    import pandas as pd

    trend, log_count = counts.trend[ends], np.log(counts.counts[ends])
    columns = {
        "trend_type": np.array(counts.trend_types, dtype=object)[trend],
        "trend_id": np.array(counts.trend_ids, dtype=object)[trend],
        "trend_number": trend,
        "day": counts.day[ends],
        "at_us": counts.at_us[ends],
        "count": counts.counts[ends],
        "half": 0.5 * counts.cell[ends] / counts.counts[ends],
        "age_days": (counts.at_us[ends] - counts.at_us[counts.starts[trend]]) / DAY_US,
        "exact": counts.is_exact[ends],
        "is_settled": row_after(trend, counts.day[ends], -3) >= 0,
        "line": lines[LEVEL_WINDOW_DAYS].level - log_count,
    }
    columns |= {f"slope_{window}": lines[window].slope for window in windows}
    return pd.DataFrame(columns)
