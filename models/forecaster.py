"""The forecaster: log growth of a trend's public count over the next days, with an interval that holds.

TikTok shows rounded counts, so growth comes in steps, and what is asked for is the growth of the *shown* count. One
particle filter per trend knows the hidden growth (`growth.particle_filter`), projects it and rounds it
(`growth.projection`); trees learn the error of past forecasts (`growth.correction`), and the interval is the part of
the filter's distribution that would have covered them (`growth.interval`). A forecast as of T uses counts observed at
or before T.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from configs import ForecastSettings
from models.errors import TooLittleData
from models.growth.correction import Correction, correction_features, uncertainty
from models.growth.interval import Resolved, calibrated_levels, central_interval, needed_levels, own_levels
from models.growth.panel import PROJECTED_AT_ONCE, GrowthPanel, Progress, build_panel, quiet
from models.growth.particle_filter import Cloud, RatePrior
from models.growth.projection import MEDIAN, Shocks, across_gap, growth_quantiles, shown
from models.growth.public_counts import DAY_US, Flags, Floats, Ints, load_counts

if TYPE_CHECKING:
    import pandas as pd

    from features.lake import Lake

FORECAST_COLUMNS: Final = ("cutoff", "trend_id", "log_growth", "lo80", "hi80")


def forecast(
    lake: Lake,
    trend_type: str,
    horizon_days: int,
    as_of: datetime,
    settings: ForecastSettings,
    progress: Progress = quiet,
) -> pd.DataFrame:
    """Growth of every trend of a type with a public count by `as_of`.

    Args:
        trend_type: hashtag, sound or creator.
        as_of: UTC; counts observed at exactly this instant are known, later ones are not.

    Returns:
        One row per trend, by trend_id: cutoff (`as_of`), trend_id, log_growth of the shown count from `as_of` to
        `horizon_days` later, lo80 and hi80. A trend whose latest count is more than a day old is first projected to
        `as_of`.

    Raises:
        TooLittleData: no trend of the type has a public count by then.
    """
    counts = load_counts(lake.connect(), taught_by(trend_type, settings), as_of)
    if trend_type not in counts.trend_types:
        raise TooLittleData(f"no {trend_type} has a public count by {as_of:%Y-%m-%d %H:%M}: ingest trend snapshots")
    panel = build_panel(counts, (horizon_days,), settings, settings.particles, progress)
    return GrowthForecaster(panel, horizon_days, settings).at(trend_type, as_of)


def taught_by(trend_type: str, settings: ForecastSettings) -> tuple[str, ...]:
    """The trend types whose past forecasts a type learns from, itself among them."""
    return tuple(dict.fromkeys((*settings.pool, trend_type)))


def end_of_day(day: int) -> datetime:
    """The last instant (UTC) of a day since 1970."""
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=(day + 1) * DAY_US - 1)


@dataclass(frozen=True)
class _Outlook:
    """What the filter says of the trends to forecast: their rows of the panel, and their growth from the instant on.

    Attributes:
        rows: the latest row of each trend, shape (m,).
        is_fresh: whether its count is at most a day old, shape (m,).
        quantiles: of log growth from the instant on, shape (m, levels).
        scale: uncertainty, shape (m,).
    """

    rows: Ints
    is_fresh: Flags
    quantiles: Floats
    scale: Floats


class GrowthForecaster:
    """Forecasts over one horizon from a panel, at any end of a day it covers, or at its end; only the past counts.

    Args:
        panel: rows of all trend types that teach the ones to forecast.
        horizon: days; one of the panel's.
    """

    def __init__(self, panel: GrowthPanel, horizon: int, settings: ForecastSettings) -> None:
        self.panel, self.horizon, self.settings = panel, horizon, settings
        self.quantiles = panel.quantiles[panel.horizons.index(horizon)]
        self.growth = panel.growth(horizon)
        self.types, self.at_us, self.day, self.half, self.is_settled = (
            panel.rows[name].to_numpy() for name in ("trend_type", "at_us", "day", "half", "is_settled")
        )
        self.trend, self.count, self.exact = (
            panel.rows[name].to_numpy() for name in ("trend_number", "count", "exact")
        )
        self._learned: tuple[int, Correction] | None = None

    @cached_property
    def scale(self) -> Floats:
        """Uncertainty of each row's forecast, shape (rows,)."""
        return uncertainty(self.quantiles, self.half)

    @cached_property
    def features(self) -> Floats:
        """What the correction sees of each row, shape (rows, features)."""
        return correction_features(self.panel.rows, self.quantiles, self.horizon)

    @cached_property
    def needed(self) -> Floats:
        """The level that would have covered what happened, NaN where unknown, shape (rows,)."""
        return needed_levels(self.quantiles, self.growth)

    @cached_property
    def shocks(self) -> Shocks:
        """The random numbers of projections that start after a gap, as many as each cloud there has particles."""
        size = len(next(iter(self.panel.resting.values())).level)
        return Shocks.draw(size, self.horizon, self.settings.filter, self.settings.seed)

    def at(self, trend_type: str, as_of: datetime, cutoff: datetime | None = None) -> pd.DataFrame:
        """Forecasts of every trend of a type with a count by `as_of`, the columns of `forecast`.

        Args:
            as_of: UTC; the end of a day, or an instant not before the panel's last count.
            cutoff: what to call it; `as_of` where absent.
        """
        import pandas as pd

        now_us = _micros(as_of)
        outlook = self._outlook(self._latest(trend_type, now_us), now_us)
        resolved = np.flatnonzero(~np.isnan(self.growth) & ((self.day + self.horizon + 1) * DAY_US <= now_us + 1))
        point = outlook.quantiles[:, MEDIAN] + self._correction(outlook, resolved, now_us)
        low, high = self._interval(trend_type, outlook, resolved, now_us)
        ids = self.panel.rows["trend_id"].to_numpy()[outlook.rows]
        columns = (
            pd.Timestamp(cutoff or as_of),
            ids,
            point,
            np.minimum(low, point),
            np.maximum(high, point),
        )
        return pd.DataFrame(dict(zip(FORECAST_COLUMNS, columns, strict=True)))

    def _latest(self, trend_type: str, now_us: int) -> Ints:
        """The latest row of each trend of the type."""
        known = np.flatnonzero((self.types == trend_type) & (self.at_us <= now_us))
        last = np.ones(len(known), dtype=np.bool_)
        last[:-1] = self.trend[known[1:]] != self.trend[known[:-1]]
        return known[last]

    def _outlook(self, rows: Ints, now_us: int) -> _Outlook:
        is_fresh = self.at_us[rows] > now_us - DAY_US
        quantiles = self.quantiles[rows].copy()
        stale, most = np.flatnonzero(~is_fresh), max(PROJECTED_AT_ONCE // len(self.shocks.replica), 1)
        for first in range(0, len(stale), most):
            some = stale[first : first + most]
            quantiles[some] = self._after_gap(rows[some], now_us)
        return _Outlook(rows, is_fresh, quantiles, uncertainty(quantiles, self.half[rows]))

    def _after_gap(self, rows: Ints, now_us: int) -> Floats:
        """Quantiles of log growth from now on of trends of one type, last seen at `rows`, shape (m, levels)."""
        dynamics, exact = self.settings.filter, self.exact[rows, None]
        prior = RatePrior.of_type(self.types[rows[0]], self.settings.prior)
        follows = (rows > 0) & (self.trend[rows - 1] == self.trend[rows])
        gap_days = (now_us - self.at_us[rows]) / DAY_US
        pace_days = np.where(follows, (self.at_us[rows] - self.at_us[rows - 1]) / DAY_US, 0.0)
        resting = Cloud(*(np.stack(part) for part in zip(*(self.panel.resting[int(row)] for row in rows), strict=True)))
        counts = self.count[rows, None]
        cloud = across_gap(resting, gap_days[:, None], counts, pace_days[:, None], prior, self.shocks, dynamics)
        log_now = shown(cloud.level, exact)
        return np.asarray(growth_quantiles(cloud, log_now, (self.horizon,), self.shocks, dynamics, exact=exact)[0])

    def _correction(self, outlook: _Outlook, resolved: Ints, now_us: int) -> Floats:
        """What past forecasts add to the median; nothing for trends that are projected across a gap."""
        if self._learned is None or self._learned[0] != now_us:  # the same for every trend type
            self._learned = now_us, self._learn(resolved, now_us)
        added, fresh = np.zeros(len(outlook.rows)), outlook.is_fresh
        added[fresh] = self._learned[1].shifts(self.features[outlook.rows[fresh]]) * outlook.scale[fresh]
        return added

    def _learn(self, resolved: Ints, now_us: int) -> Correction:
        error = self.growth[resolved] - self.quantiles[resolved, MEDIAN]
        age_days = now_us // DAY_US - self.day[resolved]
        return Correction.learn(
            self.features[resolved], error, self.scale[resolved], age_days, self.settings.correction
        )

    def _interval(self, trend_type: str, outlook: _Outlook, resolved: Ints, now_us: int) -> tuple[Floats, Floats]:
        past = Resolved(
            needed=self.needed[resolved],
            log_scale=np.log(self.scale[resolved]),
            age_days=now_us // DAY_US - self.day[resolved],
            same_type=self.types[resolved] == trend_type,
            is_settled=self.is_settled[resolved],
        )
        settled = self.is_settled[outlook.rows] & outlook.is_fresh
        own = own_levels(outlook.quantiles, self.settings.interval.coverage)
        levels = calibrated_levels(past, own, np.log(outlook.scale), settled, self.settings.interval)
        return central_interval(outlook.quantiles, levels)


def _micros(instant: datetime) -> int:
    return (instant - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)
