"""Small simulated worlds for tests: a lake of one, settings that train in seconds, and its moments and panels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

import configs
from features.creators import creator_features, creator_histories
from features.history import History
from features.ingest import ingest
from features.lake import Lake
from features.materialize import known_by, latest_instant
from features.sources.simulated_files import write
from features.sources.simulator import WorldSpec, simulate
from features.store import FeatureRepository
from features.trends import trend_features
from features.views import CREATOR_HISTORY, CREATOR_PROFILE, TREND_ACTIVITY, TREND_FORECAST
from models.forecasts import forecast_market
from models.moment import Moment, Read, moment
from models.panel import Panel
from models.registry import Registry
from serving.publish import materialize_and_publish
from training.dataset import panel
from training.labels import adoptions
from training.run import Outcome, train_and_register

SMALL = WorldSpec(creators=120, trends=200, days=70, seed=5)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
"""The instant at which tests ingest and promote, later than everything in the world."""

_TREES = {"n_estimators": 8, "num_leaves": 7, "min_data_in_leaf": 40}


SMALL_TREE: dict[str, Any] = {
    "ranker": {
        "max_cutoffs": 5,
        "trees": {"least_queries": 100, "least_span_days": 9, "seeds": (0,), "lightgbm": _TREES},
    },
    "candidates": {"top_n": 100, "middle_n": 100, "dimensions": 8, "coadoption_trends": 300},
    "trends": {"pool": {"generic_share": 0.1}},
    "forecast": {"market": {"particles": 100, "history_days": 28}},
    "promotion": {"resamples": 200},
    "simulator": {"creators": SMALL.creators, "trends": SMALL.trends, "days": SMALL.days, "seed": SMALL.seed},
}
"""Settings small enough that a training run takes seconds."""


def small_settings(home: Path, **overrides: Any) -> configs.Settings:
    """The local profile with `SMALL_TREE`."""
    return configs.load(home=home, **(SMALL_TREE | overrides))


def small_environment(home: Path) -> dict[str, str]:
    """The environment in which a process of its own has `small_settings`."""
    return {f"HARMONIC_{name.upper()}": json.dumps(tree) for name, tree in SMALL_TREE.items()} | {
        "HARMONIC_HOME": str(home)
    }


def fill_lake(home: Path, spec: WorldSpec = SMALL) -> Lake:
    """Simulate a world and ingest it into the lake below `home`."""
    write(simulate(spec), home / "world")
    lake = Lake(home / "lake")
    ingest([home / "world"], lake, NOW, 50_000)
    return lake


def train_and_publish(settings: configs.Settings) -> Outcome:
    """Everything after an ingest: train, register, release, materialise and publish."""
    lake, features = Lake(settings.home / "lake"), FeatureRepository.open(settings)
    features.apply()
    as_of = latest_instant(lake)
    registry = Registry(settings.mlflow, settings.home)
    outcome = train_and_register(lake, features, registry, as_of, settings, NOW)
    materialize_and_publish(lake, features, as_of, settings)
    return outcome


def straight_from(lake: Lake, history: History, settings: configs.Settings) -> Read:
    """Reads features as they are computed, without a store between."""
    trends = trend_features(history, settings.trends)
    frames = {
        TREND_ACTIVITY: trends,
        CREATOR_PROFILE: creator_features(history),
        CREATOR_HISTORY: creator_histories(history),
        TREND_FORECAST: forecast_market(lake, history.as_of, settings.forecast, keys=trends["trend_key"].tolist()),
    }

    def read(view: str, key: str, keys: Sequence[str], names: Sequence[str]) -> pd.DataFrame:
        return frames[view].set_index(key).reindex(pd.Index(keys, name=key)).reset_index()[[key, *names]]

    return read


def moment_of(lake: Lake, at: datetime, settings: configs.Settings) -> Moment:
    """The moment of an instant."""
    history = known_by(lake, at, settings)
    return moment(history, straight_from(lake, history, settings), settings)


def panels_of(lake: Lake, settings: configs.Settings, days: Sequence[int], everybody: bool = False) -> list[Panel]:
    """One panel per number of days before the end of the lake, labelled by the week after it."""
    as_of = latest_instant(lake)
    known, found = known_by(lake, as_of, settings), []
    for before in days:
        cutoff = as_of - timedelta(days=before)
        labels = adoptions(known, cutoff, 7)
        made = panel(moment_of(lake, cutoff, settings), labels, 1.0, 10**7, 0, everybody)
        assert made is not None
        found.append(made)
    return found
