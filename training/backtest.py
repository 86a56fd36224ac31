"""Job: what the forecaster would have said at every weekly cut-off, each time from its past only."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import numpy as np

from configs import ForecastSettings
from models.forecaster import GrowthForecaster, end_of_day, taught_by
from models.growth.panel import Progress, build_panel, quiet
from models.growth.public_counts import DAY_US, Ints, load_counts
from training.errors import TooShort

if TYPE_CHECKING:
    import pandas as pd

    from features.lake import Lake

STEP_DAYS: Final = 7
PANEL_SHARE: Final = 0.8
"""The share of the job's time that the filter takes, for the progress bar."""


def backtest(
    lake: Lake,
    trend_type: str,
    horizon_days: int,
    settings: ForecastSettings,
    progress: Progress = quiet,
) -> pd.DataFrame:
    """Forecasts at every weekly cut-off from the type's first day.

    A cut-off is a day label: it knows everything up to the end of that day (UTC), and speaks of the growth from that
    day's last count to that of the day `horizon_days` later. One causal pass over the counts serves all cut-offs; each
    equals `forecast` as of the end of its day.

    Returns:
        cutoff (midnight at which the day starts, UTC), trend_id, log_growth, lo80, hi80; by cutoff and trend_id.

    Raises:
        TooShort: no trend of the type has a public count.
    """
    import pandas as pd

    latest = lake.latest_at() or datetime.fromtimestamp(0, UTC)
    counts = load_counts(lake.connect(), taught_by(trend_type, settings), latest)
    own = np.array(counts.trend_types)[counts.trend] == trend_type if len(counts) else np.zeros(0, dtype=bool)
    if not own.any():
        raise TooShort(f"no {trend_type} has a public count: ingest trend snapshots")
    panel = build_panel(
        counts, (horizon_days,), settings, settings.particles, lambda step, share: progress(step, share * PANEL_SHARE)
    )
    forecaster, days = GrowthForecaster(panel, horizon_days, settings), weekly(counts.day[own])
    frames = []
    for number, day in enumerate(days.tolist()):
        progress("forecasting", PANEL_SHARE + (1 - PANEL_SHARE) * number / len(days))
        label = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=day * DAY_US)
        frames.append(forecaster.at(trend_type, end_of_day(day), cutoff=label))
    return pd.concat(frames, ignore_index=True)


def weekly(days: Ints) -> Ints:
    """Every seventh day from the first to the last of `days`."""
    return np.arange(days.min(), days.max() + 1, STEP_DAYS)
