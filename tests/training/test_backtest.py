from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from configs import ForecastSettings, Settings
from features.lake import Lake
from features.schemas import TREND_SNAPSHOTS
from models.forecaster import forecast
from training.backtest import backtest
from training.errors import TooShort

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def quick(settings: Settings) -> ForecastSettings:
    return settings.forecast.model_copy(update={"particles": 500})


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Two sounds for 30 days, a third in the middle only, and hashtags that begin earlier."""
    times = np.arange(0, 30, 0.25)
    spans = {"a": (0, 30), "b": (0, 30), "c": (10, 20)}
    rows: list[dict[str, object]] = [
        {
            "trend_type": "sound",
            "trend_id": name,
            "observed_at": START + t * DAY,
            "region": "",
            "value": round(5000 * np.exp(0.04 * t) * (1 + n)),
        }
        for n, (name, (first, last)) in enumerate(spans.items())
        for t in times
        if first <= t < last
    ]
    rows.append(rows[0] | {"trend_type": "hashtag", "observed_at": START - 5 * DAY})
    lake = Lake(tmp_path / "lake")
    lake.append({"trend_snapshots": pa.Table.from_pylist(rows, TREND_SNAPSHOTS.schema)})
    return lake


def test_it_forecasts_every_known_trend_at_weekly_day_labels(lake: Lake, quick: ForecastSettings) -> None:
    shares: list[float] = []
    found = backtest(lake, "sound", 3, quick, lambda _, share: shares.append(share))
    assert list(found.columns) == ["cutoff", "trend_id", "log_growth", "lo80", "hi80"]
    assert sorted(found["cutoff"].unique()) == [pd.Timestamp(START + week * 7 * DAY) for week in range(5)]
    assert found.groupby("cutoff")["trend_id"].agg("".join).tolist() == ["ab", "ab", "abc", "abc", "abc"]
    assert (found["lo80"] <= found["log_growth"]).all()
    assert (found["log_growth"] <= found["hi80"]).all()
    assert shares == sorted(shares)
    assert 0 <= shares[0] < shares[-1] <= 1


def test_each_cut_off_equals_the_forecast_at_the_end_of_its_day(lake: Lake, quick: ForecastSettings) -> None:
    found = backtest(lake, "sound", 3, quick)
    for week in range(5):
        label = START + week * 7 * DAY
        group = found[found["cutoff"] == label]
        alone = forecast(lake, "sound", 3, label + DAY - timedelta(microseconds=1), quick)
        pd.testing.assert_frame_equal(
            group.drop(columns="cutoff").reset_index(drop=True), alone.drop(columns="cutoff"), check_exact=True
        )


def test_a_type_without_counts_is_told_in_one_line(lake: Lake, quick: ForecastSettings) -> None:
    with pytest.raises(TooShort, match="no creator has a public count"):
        backtest(lake, "creator", 7, quick)


@pytest.mark.data
def test_on_real_sounds_it_beats_the_growth_of_the_last_days(
    tmp_path: Path, data_folder: Path, quick: ForecastSettings
) -> None:
    table = pa.parquet.read_table(data_folder / "discover-2021-2022" / "trend_snapshots.parquet").to_pandas()
    until = table["observed_at"].min() + pd.Timedelta(days=120)
    sounds = table[(table["trend_type"] == "sound") & (table["observed_at"] < until)].assign(region="")
    lake = Lake(tmp_path / "lake")
    lake.append({"trend_snapshots": pa.Table.from_pandas(sounds[TREND_SNAPSHOTS.schema.names], TREND_SNAPSHOTS.schema)})
    daily = sounds.assign(day=sounds["observed_at"].dt.floor("D")).sort_values("observed_at")
    log_count = np.log(daily.groupby(["day", "trend_id"])["value"].last().unstack())
    truth = (log_count.shift(-7) - log_count).stack().rename("truth")
    plain = ((log_count - log_count.shift(3)) * 7 / 3).stack().rename("plain")
    found = backtest(lake, "sound", 7, quick).rename(columns={"cutoff": "day"})
    rows = found.set_index(["day", "trend_id"]).join([truth, plain], how="inner")
    assert len(rows) > 80
    error, plain_error = ((rows[name] - rows["truth"]).abs().mean() for name in ("log_growth", "plain"))
    assert error < 0.85 * plain_error
    inside = (rows["lo80"] <= rows["truth"]) & (rows["truth"] <= rows["hi80"])
    assert 0.7 < inside.mean() < 0.95
