"""Forecasts of the whole market, and what of them reaches the feature store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import configs
from features.forecasts import FORECAST_FEATURES, HORIZONS_DAYS
from features.lake import Lake
from features.store import FeatureRepository
from features.views import TREND_FORECAST, all_views
from models.forecasts import COLUMNS, forecast_market, write_forecasts
from models.forest import Examples, fit_forest
from models.market import FORECAST_COLUMNS
from tests.models.test_forecaster import at, growing, lake_of, snapshot

SETTINGS = configs.load().forecast


def repository(folder: Path) -> FeatureRepository:
    return FeatureRepository.open(configs.load(home=folder / "home"))


def read(features: FeatureRepository, keys: list[str], days: float) -> pd.DataFrame:
    labels = pd.DataFrame({"trend_key": keys, "event_timestamp": at(days)})
    return features.historical(labels, [TREND_FORECAST])


def test_the_further_ahead_the_less_certain(tmp_path: Path) -> None:
    found = forecast_market(
        lake_of(tmp_path, growing("a", 3e4, 0.05, 20) + growing("b", 5e5, 0.01, 20)), at(20), SETTINGS
    )
    assert found["trend_key"].tolist() == ["sound:a", "sound:b"]
    low, growth, high = (
        found[[f"forecast_{part}_{days}d" for days in HORIZONS_DAYS]].to_numpy() for part in ("low", "growth", "high")
    )
    assert (np.diff(growth, axis=1) > 0).all()
    assert (np.diff(high - low, axis=1) >= 0).all()
    assert ((low <= growth) & (growth <= high)).all()


def test_what_has_no_recent_public_count_is_left_out(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, [snapshot("old", 1, 70), snapshot("new", 99, 70, trend_type="creator")])
    assert forecast_market(lake, at(100), SETTINGS)["trend_key"].tolist() == ["creator:new"]
    assert forecast_market(lake, at(0), SETTINGS).empty
    assert list(forecast_market(lake, at(0), SETTINGS)) == ["trend_key", *COLUMNS]


def test_a_count_that_contradicts_its_trend_is_left_out(tmp_path: Path) -> None:
    rows = growing("a", 3e4, 0.02, 10) + growing("b", 3e4, 0.02, 10) + [snapshot("b", 9.99, 12)]
    assert forecast_market(lake_of(tmp_path, rows), at(10), SETTINGS)["trend_key"].tolist() == ["sound:a"]


@hypothesis_settings(max_examples=3, deadline=None)
@given(cut=st.integers(2, 12), seed=st.integers(0, 99))
def test_what_is_observed_later_never_changes_an_earlier_forecast(
    tmp_path_factory: pytest.TempPathFactory, cut: int, seed: int
) -> None:
    rng, folder = np.random.default_rng(seed), tmp_path_factory.mktemp("lakes")
    rows = [row for n in range(3) for row in growing(f"s{n}", 9e3 * 30**n, rng.uniform(-0.01, 0.2), 14)]
    as_of = at(cut + rng.choice([0.0, 0.3, 0.99]))
    past = [row for row in rows if row["observed_at"] <= as_of]  # type: ignore[operator]
    changed = [row | {"value": int(rng.integers(1, 10**9))} for row in rows if row not in past]
    before, after = (
        forecast_market(lake_of(folder / name, some), as_of, SETTINGS)
        for name, some in (("past", past), ("other", past + changed))
    )
    pd.testing.assert_frame_equal(before, after, check_exact=True)


def test_every_trend_has_a_row_and_only_those_with_counts_a_number(tmp_path: Path) -> None:
    lake, features = lake_of(tmp_path / "lake", growing("a", 3e4, 0.05, 20)), repository(tmp_path)
    assert write_forecasts(lake, features, ["hashtag:b", "sound:a"], at(20), SETTINGS) == 1
    found = read(features, ["hashtag:b", "sound:a"], 20)
    assert found[list(COLUMNS)].isna().all(axis=1).tolist() == [True, False]
    direct = forecast_market(lake, at(20), SETTINGS, keys=["sound:a"])
    assert found[list(COLUMNS)].to_numpy()[1].tobytes() == direct[list(COLUMNS)].to_numpy()[0].tobytes()


def test_a_trend_whose_counts_have_ended_loses_its_forecast(tmp_path: Path) -> None:
    lake, features = lake_of(tmp_path / "lake", growing("a", 3e4, 0.05, 20)), repository(tmp_path)
    end = 21 + SETTINGS.market.history_days
    for day in (20, end):
        write_forecasts(lake, features, ["sound:a"], at(day), SETTINGS)
    assert read(features, ["sound:a"], 25)[list(COLUMNS)].notna().all(axis=None)
    assert read(features, ["sound:a"], end)[list(COLUMNS)].isna().all(axis=None)


def test_without_public_counts_nothing_is_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("the filter ran")

    monkeypatch.setattr("models.forecasts.build_panel", fail)
    lake, features = Lake(tmp_path / "lake"), repository(tmp_path)
    assert write_forecasts(lake, features, ["sound:a"], at(1), SETTINGS) == 0
    assert read(features, ["sound:a"], 1)[list(COLUMNS)].isna().all(axis=None)


def test_the_view_is_one_of_the_projects_own() -> None:
    view = next(view for view in all_views() if view.name == TREND_FORECAST)
    assert view.features == FORECAST_FEATURES and view.key == "trend_key"


def test_columns_of_which_nothing_is_known_change_no_tree() -> None:
    rng, unknown = np.random.default_rng(0), np.full((600, len(FORECAST_COLUMNS)), np.nan)
    known, grades = rng.standard_normal((600, 30)), rng.integers(0, 2, 600)
    names = [f"f{n}" for n in range(30)]
    parameters = {**configs.load().ranker.trees.lightgbm, "n_estimators": 20, "num_leaves": 7, "min_data_in_leaf": 10}
    sizes, start = np.full(30, 20), np.zeros(600)
    plain = fit_forest(Examples(known, grades, start, sizes), names, parameters, (0,))
    wider = np.hstack([known[:, :9], unknown, known[:, 9:]])
    named = [*names[:9], *FORECAST_COLUMNS, *names[9:]]
    forest = fit_forest(Examples(wider, grades, start, sizes), named, parameters, (0,))
    assert forest.correction(wider).tobytes() == plain.correction(known).tobytes()
    assert len(np.unique(plain.correction(known))) > 50
