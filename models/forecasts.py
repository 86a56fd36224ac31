"""Forecasts of the whole market at one instant, and the features that they are to the ranker and the API."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import numpy as np

from configs import ForecastSettings, GrowthCorrectionSettings
from features.contract import TREND_TYPES, trend_key
from features.forecasts import FORECAST_FEATURES, HORIZONS_DAYS
from features.lake import Lake
from features.store import FeatureRepository
from features.views import TREND_FORECAST
from models.forecaster import GrowthForecaster, taught_by
from models.growth.panel import Progress, build_panel, quiet
from models.growth.public_counts import load_counts

if TYPE_CHECKING:
    import pandas as pd

LARGEST_SURPRISE: Final = float(np.log(2))
"""A latest count further than this from where the filter holds the trend to be speaks of something else."""

COLUMNS: Final = tuple(spec.name for spec in FORECAST_FEATURES)


def write_forecasts(
    lake: Lake, features: FeatureRepository, keys: Sequence[str], as_of: datetime, settings: ForecastSettings
) -> int:
    """Keep the forecasts of an instant offline, one row per key; returns how many trends have one.

    A trend without a public count gets a row too, of NaN: it says that nothing is known any more.
    """
    import pandas as pd

    known = forecast_market(lake, as_of, settings, keys=keys)
    rows = pd.DataFrame({"trend_key": pd.Series(list(keys), dtype=object)}).merge(
        known, on="trend_key", how="left", validate="one_to_one"
    )
    features.write(TREND_FORECAST, rows, as_of)
    return len(known)


def forecast_market(
    lake: Lake,
    as_of: datetime,
    settings: ForecastSettings,
    progress: Progress = quiet,
    keys: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Growth of every trend, or of those in `keys`, that had a public count in the last days (`market.history_days`).

    Cheaper and a little coarser than `forecaster.forecast`: fewer particles, fewer trees, and a history that is cut
    off. A trend whose latest count is out of all keeping with those before it, as where several sounds share one id,
    is left out.

    Args:
        as_of: UTC; counts observed at exactly this instant are known, later ones are not.

    Returns:
        trend_key and the columns of `FORECAST_FEATURES`, by trend type and id; no row for a trend without a forecast.
    """
    import pandas as pd

    since = as_of - timedelta(days=settings.market.history_days)
    counts = load_counts(lake.connect(), TREND_TYPES, as_of, since, keys)
    if not len(counts):
        return pd.DataFrame({"trend_key": np.empty(0, object), **{name: np.empty(0) for name in COLUMNS}})
    panel = build_panel(counts, HORIZONS_DAYS, settings, settings.market.particles, progress)
    settings = settings.model_copy(update={"correction": _coarser(settings)})
    classes: dict[tuple[str, ...], list[GrowthForecaster]] = {}
    frames = []
    for trend_type in sorted(set(counts.trend_types)):
        teachers = taught_by(trend_type, settings)
        if teachers not in classes:
            own = panel.of_types(teachers)
            classes[teachers] = [GrowthForecaster(own, days, settings) for days in HORIZONS_DAYS]
        frames.append(_of_type(trend_type, classes[teachers], as_of))
    found = pd.concat(frames)
    return found[~found["trend_key"].isin(_contradicted(panel.rows))].reset_index(drop=True)


def _coarser(settings: ForecastSettings) -> GrowthCorrectionSettings:
    correction = settings.correction
    return correction.model_copy(update={"lightgbm": correction.lightgbm | settings.market.lightgbm})


def _of_type(trend_type: str, forecasters: Sequence[GrowthForecaster], as_of: datetime) -> pd.DataFrame:
    """Forecasts of one trend type over all horizons, each by its own forecaster."""
    import pandas as pd

    found = [forecaster.at(trend_type, as_of) for forecaster in forecasters]
    keys = [trend_key(trend_type, trend_id) for trend_id in found[0]["trend_id"]]
    values = np.hstack([frame[["log_growth", "lo80", "hi80"]].to_numpy() for frame in found])
    return pd.DataFrame(values, columns=list(COLUMNS)).assign(trend_key=keys)[["trend_key", *COLUMNS]]


def _contradicted(rows: pd.DataFrame) -> set[str]:
    """Keys of the trends whose latest count the filter does not believe."""
    latest = rows.groupby("trend_number").tail(1)
    odd = latest[latest["level"].abs() > LARGEST_SURPRISE]
    return {trend_key(kind, name) for kind, name in zip(odd["trend_type"], odd["trend_id"], strict=True)}
