from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from configs import ForecastSettings, Settings
from features.lake import Lake
from features.schemas import TREND_SNAPSHOTS
from features.trends import rounding_unit
from models.errors import TooLittleData
from models.forecaster import GrowthForecaster, end_of_day, forecast
from models.growth.interval import nearest_quantiles
from models.growth.panel import build_panel, row_after
from models.growth.projection import LEVELS, shown
from models.growth.public_counts import load_counts
from models.growth.robust_line import huber_lines, trailing_lines

START = datetime(2026, 1, 1, tzinfo=UTC)
Row = dict[str, object]


def at(days: float) -> datetime:
    return START + timedelta(days=days)


def snapshot(trend_id: str, days: float, value: float, **more: object) -> Row:
    return {
        "trend_type": "sound",
        "trend_id": trend_id,
        "observed_at": at(days),
        "region": "",
        "metric": "video_count",
        "value": round(value),
        **more,
    }


def rounded(count: np.ndarray) -> np.ndarray:
    unit = rounding_unit(count)
    return np.round(count / unit) * unit


def growing(trend_id: str, first: float, rate: float, days: float, every_hours: float = 6) -> list[Row]:
    times = np.arange(0.5, days, every_hours / 24)
    return [snapshot(trend_id, t, v) for t, v in zip(times, rounded(first * np.exp(rate * times)), strict=True)]


def lake_of(folder: Path, rows: Sequence[Row]) -> Lake:
    lake = Lake(folder)
    lake.append({"trend_snapshots": pa.Table.from_pylist(list(rows), TREND_SNAPSHOTS.schema)})
    return lake


@pytest.fixture
def quick(settings: Settings) -> ForecastSettings:
    return settings.forecast.model_copy(update={"particles": 500})


@pytest.fixture(scope="module")
def population() -> pd.DataFrame:
    """Sounds whose rates wander as the filter believes, seen every eight hours for 35 days, in rounded counts."""
    rng, rows = np.random.default_rng(5), []
    for number in range(30):
        level, rate = rng.uniform(np.log(2e4), np.log(8e5)), 0.03 * np.exp(rng.standard_normal())
        for t in np.arange(1 / 3, 35, 1 / 3):
            rate *= np.exp(-(0.034 + 0.81 * rate) / 3 + 0.09 * np.sqrt(1 / 3) * rng.standard_normal())
            level += rate / 3
            rows.append((f"s{number:02}", t, float(rounded(np.exp(np.array(level))))))
    return pd.DataFrame(rows, columns=["trend_id", "t", "value"])


def truths(population: pd.DataFrame, cut: float, horizon: int) -> pd.DataFrame:
    """Per sound: its growth after `cut`, and the growth of the days before it, both of the shown counts."""
    table = population.pivot(index="t", columns="trend_id", values="value").apply(np.log)
    last = [table[table.index < cut + day].iloc[-1] for day in (-7, 0, horizon)]
    return pd.DataFrame({"before": last[1] - last[0], "growth": last[2] - last[1]})


def test_it_recovers_rates_better_than_the_growth_of_the_last_week(
    tmp_path: Path, population: pd.DataFrame, quick: ForecastSettings
) -> None:
    lake = lake_of(tmp_path, [snapshot(*row) for row in population.itertuples(index=False)])
    truth = truths(population, 21, 7)
    found = forecast(lake, "sound", 7, at(21) - timedelta(microseconds=1), quick).set_index("trend_id")
    assert list(found.index) == list(truth.index)
    error = (found["log_growth"] - truth["growth"]).abs().mean()
    assert error < 0.9 * (truth["before"] - truth["growth"]).abs().mean()
    assert found["log_growth"].corr(truth["growth"], method="spearman") > 0.9


def test_eighty_percent_of_what_happens_lies_inside_the_interval(
    tmp_path: Path, population: pd.DataFrame, quick: ForecastSettings
) -> None:
    lake = lake_of(tmp_path, [snapshot(*row) for row in population.itertuples(index=False)])
    counts = load_counts(lake.connect(), ("sound",), at(35))
    forecaster = GrowthForecaster(build_panel(counts, (3,), quick, 300), 3, quick)
    first, inside = (START - datetime(1970, 1, 1, tzinfo=UTC)).days, []
    for day in range(7, 31, 3):
        found = forecaster.at("sound", end_of_day(first + day)).set_index("trend_id")
        growth = truths(population, day + 1, 3)["growth"]
        inside.append((found["lo80"] <= growth) & (growth <= found["hi80"]))
    assert 0.7 <= np.mean(inside) <= 0.9


@hypothesis_settings(max_examples=3, deadline=None)
@given(cut=st.integers(2, 12), seed=st.integers(0, 99))
def test_what_is_observed_later_never_changes_an_earlier_forecast(
    tmp_path_factory: pytest.TempPathFactory, cut: int, seed: int, quick_settings: ForecastSettings
) -> None:
    rng, folder = np.random.default_rng(seed), tmp_path_factory.mktemp("lakes")
    rows = [row for n in range(3) for row in growing(f"s{n}", 9e3 * 30**n, rng.uniform(-0.01, 0.2), 14)]
    rows = [row for row in rows if rng.random() < 0.8]
    as_of = at(cut + rng.choice([0.0, 0.3, 0.99]))
    past = [row for row in rows if row["observed_at"] <= as_of]  # type: ignore[operator]
    changed = [row | {"value": int(rng.integers(1, 10**9))} for row in rows if row not in past]
    forecasts = [
        forecast(lake_of(folder / name, some), "sound", 3, as_of, quick_settings)
        for name, some in (("past", past), ("all", rows), ("other", past + changed))
    ]
    pd.testing.assert_frame_equal(forecasts[0], forecasts[1], check_exact=True)
    pd.testing.assert_frame_equal(forecasts[0], forecasts[2], check_exact=True)


@pytest.fixture(scope="module")
def quick_settings() -> ForecastSettings:
    import configs

    return configs.load().forecast.model_copy(update={"particles": 200})


def test_the_order_of_rows_and_the_trends_beside_one_change_nothing(tmp_path: Path, quick: ForecastSettings) -> None:
    rows = growing("a", 2e4, 0.05, 12) + growing("b", 3e5, 0.01, 12) + growing("c", 50, 0.3, 8)
    mixed = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    as_of = at(12)
    plain = forecast(lake_of(tmp_path / "plain", rows), "sound", 7, as_of, quick)
    pd.testing.assert_frame_equal(plain, forecast(lake_of(tmp_path / "mixed", mixed), "sound", 7, as_of, quick))
    alone = forecast(lake_of(tmp_path / "alone", growing("b", 3e5, 0.01, 12)), "sound", 7, as_of, quick)
    column = ["trend_id", "log_growth"]
    assert plain[column].iloc[1].tolist() == alone[column].iloc[0].tolist()


def test_it_is_deterministic_and_the_seed_is_the_only_luck(tmp_path: Path, quick: ForecastSettings) -> None:
    lake = lake_of(tmp_path, growing("a", 2e4, 0.05, 12))
    first, again = (forecast(lake, "sound", 7, at(12), quick) for _ in range(2))
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    other = forecast(lake, "sound", 7, at(12), quick.model_copy(update={"seed": 1}))
    assert other["log_growth"].iloc[0] == pytest.approx(first["log_growth"].iloc[0], abs=0.05)


def test_a_trend_with_one_observation_gets_the_prior_and_a_wide_interval(
    tmp_path: Path, quick: ForecastSettings
) -> None:
    known = growing("old", 2e4, 0.05, 20)
    found = forecast(lake_of(tmp_path, [*known, snapshot("new", 19.9, 20_000)]), "sound", 7, at(20), quick)
    wide, narrow = (found["hi80"] - found["lo80"]).tolist()
    assert found["trend_id"].tolist() == ["new", "old"]
    assert wide > 3 * narrow
    assert found["log_growth"].iloc[0] > 0


def test_a_single_observation_in_the_whole_lake_is_enough(tmp_path: Path, quick: ForecastSettings) -> None:
    found = forecast(lake_of(tmp_path, [snapshot("new", 1, 7)]), "sound", 1, at(1), quick)
    assert found["cutoff"].tolist() == [pd.Timestamp(at(1))]
    assert (found["lo80"] < found["log_growth"]).all()
    assert (found["log_growth"] < found["hi80"]).all()


def test_nothing_known_by_then_is_an_error_that_says_what_to_do(tmp_path: Path, quick: ForecastSettings) -> None:
    lake = lake_of(tmp_path, [snapshot("new", 1, 7)])
    for trend_type, as_of in (("hashtag", at(2)), ("sound", at(0.5))):
        with pytest.raises(TooLittleData, match="ingest trend snapshots"):
            forecast(lake, trend_type, 7, as_of, quick)


def test_a_constant_series_is_forecast_to_stay(tmp_path: Path, quick: ForecastSettings) -> None:
    found = forecast(lake_of(tmp_path, growing("a", 2.5e9, 0, 20)), "sound", 7, at(20), quick).iloc[0]
    assert abs(found["log_growth"]) < 0.01
    assert found["lo80"] <= 0 <= found["hi80"]


def test_a_series_that_jumped_is_followed_within_days(tmp_path: Path, quick: ForecastSettings) -> None:
    before, after = growing("a", 2e4, 0.02, 15), growing("a", 2e5, 0.02, 25)[60:]
    found = forecast(lake_of(tmp_path, before + after), "sound", 7, at(25), quick).iloc[0]
    assert found["log_growth"] == pytest.approx(0.14, abs=0.07)
    assert found["lo80"] < 0.14 < found["hi80"]


@pytest.mark.parametrize(("every_hours", "near"), [(1, 0.1), (24, 0.15), (24 * 7, 0.25)])
def test_any_cadence_and_a_gap_will_do(
    tmp_path: Path, quick: ForecastSettings, every_hours: float, near: float
) -> None:
    rows = growing("a", 3e4, 0.05, 18, every_hours)
    rows += [row for row in growing("a", 3e4, 0.05, 60, every_hours) if at(40) < row["observed_at"]]  # type: ignore[operator]
    found = forecast(lake_of(tmp_path, rows), "sound", 7, at(60), quick).iloc[0]
    assert found["log_growth"] == pytest.approx(0.35, abs=near)
    assert 0 < found["lo80"] < found["log_growth"] < found["hi80"]


def test_a_trend_that_left_the_lists_is_less_certain(tmp_path: Path, quick: ForecastSettings) -> None:
    lake = lake_of(tmp_path, growing("a", 3e4, 0.05, 20))
    seen, rested = (forecast(lake, "sound", 7, at(day), quick).iloc[0] for day in (20, 35))
    spreads = [(found["hi80"] - found["lo80"]) / found["log_growth"] for found in (seen, rested)]
    assert spreads[1] > 1.5 * spreads[0]
    assert 0 < rested["log_growth"] < seen["log_growth"]


def test_the_worldwide_count_is_taken_else_the_largest_and_once_seen_no_other(tmp_path: Path) -> None:
    rows = [
        snapshot("a", 0, 10, region="US"),
        snapshot("a", 0, 30, region="VN"),
        snapshot("a", 1, 100, region=""),
        snapshot("a", 1, 900, region="US"),
        snapshot("a", 2, 40, region="VN"),
        snapshot("a", 3, 120, region=""),
        snapshot("a", 4, 0, region=""),
    ]
    assert load_counts(lake_of(tmp_path, rows).connect(), ("sound",), at(9)).counts.tolist() == [30, 100, 120]


def test_of_several_metrics_the_one_seen_most_often_so_far_speaks(tmp_path: Path) -> None:
    metrics = "vvpvpppp"
    rows = [snapshot("a", n, 10 + n, metric={"v": "views", "p": "posts"}[m]) for n, m in enumerate(metrics)]
    lake = lake_of(tmp_path, rows)
    assert load_counts(lake.connect(), ("sound",), at(9)).counts.tolist() == [10, 11, 13, 16, 17]
    assert load_counts(lake.connect(), ("sound",), at(4)).counts.tolist() == [10, 11, 13]


def test_counts_that_no_rounding_gives_are_taken_as_exact(tmp_path: Path) -> None:
    rows = [snapshot("a", n, v) for n, v in enumerate([5_000, 12_300, 12_345, 12_400])]
    counts = load_counts(lake_of(tmp_path, rows).connect(), ("sound",), at(9))
    assert counts.unit.tolist() == [1, 100, 1, 1]
    assert counts.cell[2] < 100


@given(st.floats(0, 36))
def test_a_shown_count_is_a_multiple_of_its_unit_near_the_true_one(level: float) -> None:
    count = np.exp(shown(np.array([level])))
    unit = rounding_unit(np.round(count).astype(np.float64))
    assert np.abs(count / unit - np.round(count / unit)).max() < 1e-3
    assert abs(count[0] - np.exp(level)) <= 0.5 * unit[0] * (1 + 1e-6) + 1e-6 * count[0]


def test_a_robust_line_ignores_outliers_and_other_trends(tmp_path: Path) -> None:
    t = np.linspace(-5, 0, 60)[None, :]
    values = 3 + 0.2 * t
    values[0, ::9] += 5
    level, slope = huber_lines(t, values, np.ones_like(t, dtype=bool), np.array([1e-3]))
    assert level[0] == pytest.approx(3, abs=0.02)
    assert slope[0] == pytest.approx(0.2, abs=0.02)
    rows = growing("a", 2e4, 0.05, 12) + growing("b", 3e5, 0.01, 12)
    both = load_counts(lake_of(tmp_path, rows).connect(), ("sound",), at(12))
    slopes = trailing_lines(both, both.day_ends, 5).slope
    assert slopes[both.trend[both.day_ends] == 0][4:] == pytest.approx(0.05, abs=0.01)
    assert slopes[both.trend[both.day_ends] == 1][4:] == pytest.approx(0.01, abs=0.01)


def test_rows_find_their_trend_some_days_later_and_never_another() -> None:
    trend, day = np.array([0, 0, 0, 1, 1]), np.array([1, 2, 5, 3, 6])
    assert row_after(trend, day, 3).tolist() == [-1, 2, -1, 4, -1]
    assert row_after(trend, day, -3).tolist() == [-1, -1, 1, -1, 3]


def test_the_nearest_quantile_counts_equal_values_as_one_step() -> None:
    weight = np.array([[2.0, 1.0, 1.0]])
    assert nearest_quantiles(np.array([0.0, 0.5, 1.0]), weight, 0.6) == [0.0]
    assert nearest_quantiles(np.array([0.0, 0.5, 1.0]), weight, 0.7) == [0.5]
    assert len(LEVELS) % 2 == 1
