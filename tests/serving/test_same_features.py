"""Training and serving see the same features, bit for bit, for the same creator, trend and instant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import configs
from features.history import History
from features.lake import Lake
from features.materialize import known_by
from features.store import FeatureRepository
from features.views import CREATOR_HISTORY, CREATOR_PROFILE, TREND_ACTIVITY, TREND_FORECAST
from models.creator import Creator
from models.interactions import Floats
from models.market import FORECAST_COLUMNS, Market
from models.moment import Moment, Read, moment, offline
from models.pairs import FEATURES, INPUTS, allowed, linear_inputs, proposals, tree_features, trend_inputs
from serving.pipeline import Pipeline
from tests.worlds import small_settings


@pytest.fixture(scope="module")
def small(trained_home: Path) -> configs.Settings:
    return small_settings(trained_home)


@pytest.fixture(scope="module")
def history(small: configs.Settings, served: Pipeline) -> History:
    return known_by(Lake(small.home / "lake"), served.snapshot.market.as_of, small)


@pytest.fixture(scope="module")
def read(small: configs.Settings, served: Pipeline) -> Read:
    """What training reads: the offline store through the point-in-time join."""
    return offline(FeatureRepository.open(small), served.snapshot.market.as_of)


@pytest.fixture(scope="module")
def trained_on(history: History, read: Read, small: configs.Settings) -> Moment:
    return moment(history, read, small)


def inputs_of_all(market: Market, creators: list[Creator]) -> Floats:
    """As a training panel computes them: every creator at once, shape (q, n, len(INPUTS))."""
    scores = proposals(market, creators)
    of_trends = trend_inputs(market)
    return np.stack(
        [
            linear_inputs(market, of_trends, creator, {name: table[i] for name, table in scores.items()})
            for i, creator in enumerate(creators)
        ]
    )


def inputs_of_one(market: Market, of_trends: Floats, creator: Creator) -> Floats:
    """As a request computes them: one creator, shape (n, len(INPUTS))."""
    scores = {name: table[0] for name, table in proposals(market, [creator]).items()}
    return linear_inputs(market, of_trends, creator, scores)


def features_of(pipeline: Pipeline, market: Market, creator: Creator, inputs: Floats) -> Floats:
    """What the trees see of every trend, shape (n, len(FEATURES))."""
    stage_one = pipeline.model.ranker.linear(inputs, allowed(market, creator))
    return tree_features(market, creator, inputs, stage_one, np.arange(len(market)))


def bits(values: Floats) -> bytes:
    """Every bit; a NaN is a NaN."""
    return np.where(np.isnan(values), np.nan, values).tobytes()


def differing(pipeline: Pipeline, training: Moment) -> list[str]:
    """Names of the features of any creator and trend that differ in any bit between training and serving."""
    market, serving = training.market, pipeline.snapshot.market
    assert market.keys.tolist() == serving.keys.tolist()
    assert sorted(training.creators) == list(pipeline.states.ids())
    names: set[str] = set()
    creators = [training.creators[name] for name in sorted(training.creators)]
    for ours, inputs in zip(creators, inputs_of_all(market, creators), strict=True):
        theirs = pipeline.states.get(ours.creator_id)
        assert theirs is not None
        served = inputs_of_one(serving, pipeline.prepared.of_trends, theirs)
        names |= _columns(inputs, served, INPUTS)
        of_trees = features_of(pipeline, market, ours, inputs), features_of(pipeline, serving, theirs, served)
        names |= _columns(*of_trees, FEATURES)
    return sorted(names)


def _columns(ours: Floats, theirs: Floats, names: tuple[str, ...]) -> set[str]:
    assert ours.shape == theirs.shape
    if bits(ours) == bits(theirs):
        return set()
    return {name for i, name in enumerate(names) if bits(ours[:, i]) != bits(theirs[:, i])}


def test_every_feature_of_every_creator_and_trend_is_the_same_bit_for_bit(served: Pipeline, trained_on: Moment) -> None:
    assert len(trained_on.creators) > 100 and len(trained_on.market) > 50
    assert differing(served, trained_on) == []


def test_the_features_are_no_constants(served: Pipeline, trained_on: Moment) -> None:
    """Equality would mean little if the columns held one value each."""
    creators = [trained_on.creators[name] for name in sorted(trained_on.creators)][:30]
    inputs = inputs_of_all(trained_on.market, creators)
    assert [name for i, name in enumerate(INPUTS) if len(np.unique(inputs[:, :, i])) < 2] == []


def test_trends_with_a_public_count_have_forecasts_and_others_have_none(trained_on: Moment) -> None:
    counted = np.isfinite(trained_on.market.column("market_count"))
    assert 0 < counted.sum() < len(counted)
    for name in FORECAST_COLUMNS:
        known = np.isfinite(trained_on.market.column(name))
        assert not known[~counted].any() and known.sum() > 0.9 * counted.sum()
        assert len(np.unique(trained_on.market.column(name)[known])) > 5


def _plus_one_ulp(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    return frame.assign(**{name: np.nextafter(frame[name], np.inf)})


def _one_trend_less(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    return frame.assign(**{name: [keys[1:] for keys in frame[name]]})


PLANTED: list[tuple[str, str, Callable[[pd.DataFrame, str], pd.DataFrame], str]] = [
    (TREND_ACTIVITY, "uses_7d", _plus_one_ulp, "uses_7d"),
    (TREND_ACTIVITY, "last_used_at", lambda f, n: f.assign(**{n: f[n] - 3600}), "hours_since_last_use"),
    (TREND_ACTIVITY, "recent_adopters_5d", lambda f, n: f.assign(**{n: f[n] * 1.001}), "adopters"),
    (TREND_FORECAST, "forecast_growth_3d", _plus_one_ulp, "forecast_growth_3d"),
    (TREND_FORECAST, "forecast_high_7d", _plus_one_ulp, "forecast_width"),
    (CREATOR_PROFILE, "followers", _plus_one_ulp, "followers"),
    (CREATOR_PROFILE, "distinct_trends", lambda f, n: f.assign(**{n: f[n] + 1}), "walk_by_history"),
    (CREATOR_PROFILE, "region", lambda f, n: f.assign(**{n: "ZZ"}), "region_share"),
    (CREATOR_HISTORY, "trend_keys", _one_trend_less, "walk"),
]


@pytest.mark.parametrize(("view", "column", "change", "shows_in"), PLANTED, ids=[f"{p[0]}.{p[1]}" for p in PLANTED])
def test_a_difference_planted_in_one_store_is_found(
    served: Pipeline,
    history: History,
    read: Read,
    small: configs.Settings,
    view: str,
    column: str,
    change: Callable[[pd.DataFrame, str], pd.DataFrame],
    shows_in: str,
) -> None:
    def read_differently(name: str, key: str, keys: Sequence[str], names: Sequence[str]) -> pd.DataFrame:
        frame = read(name, key, keys, names)
        return change(frame, column) if name == view else frame

    assert shows_in in differing(served, moment(history, read_differently, small))


def test_a_difference_planted_in_the_vocabulary_is_found(served: Pipeline, history: History, read: Read) -> None:
    other = small_settings(history_home(served), candidates={"top_n": 30, "middle_n": 30, "dimensions": 8})
    assert "walk" in differing(served, moment(history, read, other))


def history_home(pipeline: Pipeline) -> Path:
    """Any folder will do: the settings' home is not read here."""
    return Path("unused") / pipeline.snapshot.version
