from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

import configs
import harmonic
from features.lake import Lake
from features.materialize import dense_from, latest_instant
from features.store import FeatureRepository
from models.errors import TooLittleData
from models.panel import Panel
from models.ranker import fit_ranker
from models.registry import Registry
from tests.training.cutting import BRIEF, cut_lake
from tests.worlds import SMALL_TREE, small_environment, small_settings
from training.split import plan
from training.tune import TUNED_FILE, Tuned, _weighted, selection_panels, tune, tuned_settings

TREES = SMALL_TREE["ranker"]["trees"] | {"least_queries": 20, "least_span_days": 2}
FEWER = {"ranker": {"max_cutoffs": 2, "trees": TREES}} | BRIEF
FIRST, THEN = 3, 8


@pytest.fixture(scope="module")
def settings(world_home: Path, tmp_path_factory: pytest.TempPathFactory) -> configs.Settings:
    home = tmp_path_factory.mktemp("tune") / "home"
    home.mkdir()
    (home / "lake").symlink_to(world_home / "lake")
    return small_settings(home, **FEWER)


@pytest.fixture(scope="module")
def lake(settings: configs.Settings) -> Lake:
    return Lake(settings.home / "lake")


@pytest.fixture(scope="module")
def features(settings: configs.Settings) -> FeatureRepository:
    made = FeatureRepository.open(settings)
    made.apply()
    return made


@pytest.fixture(scope="module")
def registry(settings: configs.Settings) -> Registry:
    return Registry(settings.mlflow, settings.home)


@pytest.fixture(scope="module")
def searched(
    lake: Lake, features: FeatureRepository, registry: Registry, settings: configs.Settings
) -> tuple[Tuned, Tuned, list[float]]:
    """A search, the same search called a second time, and the progress it told."""
    at, told = latest_instant(lake), list[float]()
    first = tune(lake, features, registry, at, settings, trials=FIRST, minutes=5)
    second = tune(
        lake, features, registry, at, settings, trials=THEN, minutes=5, progress=lambda _, share: told.append(share)
    )
    return first, second, told


def study(settings: configs.Settings) -> list[object]:
    import optuna

    storage = f"sqlite:///{settings.home / 'mlflow' / 'tune.db'}"
    (summary,) = optuna.get_all_study_summaries(storage)
    return list(optuna.load_study(study_name=summary.study_name, storage=storage).trials)


def test_a_second_call_goes_on_where_the_first_stopped(
    searched: tuple[Tuned, Tuned, list[float]], settings: configs.Settings
) -> None:
    first, second, told = searched
    assert (first.trials, second.trials) == (FIRST, FIRST + THEN)
    assert second.value >= first.value and second.default == first.default
    trials = study(settings)
    assert [t.number for t in trials] == list(range(FIRST + THEN))  # type: ignore[attr-defined]
    tried = {tuple(sorted(t.params.items())) for t in trials}  # type: ignore[attr-defined]
    assert len(tried) == FIRST + THEN, "the second call tries what the first did not"
    assert told == sorted(told) and told[-1] == 1


def test_what_promises_less_than_the_median_after_its_first_stage_is_not_trained_to_the_end(
    searched: tuple[Tuned, Tuned, list[float]], settings: configs.Settings
) -> None:
    trials = study(settings)
    states = [t.state.name for t in trials]  # type: ignore[attr-defined]
    assert set(states) == {"COMPLETE", "PRUNED"} and set(states[:5]) == {"COMPLETE"}
    firsts = [t.intermediate_values[0] for t in trials]  # type: ignore[attr-defined]
    for number, state in enumerate(states):
        if state == "PRUNED":
            earlier = sorted(f for f, s in zip(firsts[:number], states, strict=False) if s == "COMPLETE")
            assert firsts[number] < earlier[len(earlier) // 2]
    assert searched


def test_a_search_is_one_run_with_a_nested_run_per_trial(
    searched: tuple[Tuned, Tuned, list[float]], registry: Registry, settings: configs.Settings
) -> None:
    client = registry._client
    experiment = client.get_experiment_by_name(settings.mlflow.experiment)
    runs = client.search_runs([experiment.experiment_id], max_results=100)
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert len(parents) == 2
    (latest,) = [run for run in parents if sum(_is_of(child, run) for child in runs) == FIRST + THEN]
    assert latest.data.metrics["default.ndcg"] == pytest.approx(searched[1].default)
    for child in runs:
        if _is_of(child, latest):
            assert {"half_life_days", "trees.lightgbm.num_leaves"} <= set(child.data.params)
            assert ("validation.ndcg" in child.data.metrics) or child.data.tags["state"] == "PRUNED"


def _is_of(child: object, parent: object) -> bool:
    return child.data.tags.get("mlflow.parentRunId") == parent.info.run_id  # type: ignore[attr-defined, no-any-return]


def test_no_trial_begins_when_the_time_is_over(
    searched: tuple[Tuned, Tuned, list[float]], lake: Lake, features: FeatureRepository, settings: configs.Settings
) -> None:
    registry = Registry(settings.mlflow, settings.home)
    found = tune(lake, features, registry, latest_instant(lake), settings, trials=50, minutes=1e-6)
    assert searched[1].trials <= found.trials <= searched[1].trials + 1


def same(a: Panel, b: Panel) -> bool:
    names = [creator.creator_id for creator in a.creators] == [creator.creator_id for creator in b.creators]
    bytes_of = [
        (p.inputs.tobytes(), p.market.numeric.tobytes(), p.grades.tobytes(), p.allowed.tobytes()) for p in (a, b)
    ]
    return names and a.cutoff == b.cutoff and a.weight == b.weight and bytes_of[0] == bytes_of[1]


def test_nothing_after_the_start_of_the_test_period_is_read(
    lake: Lake, features: FeatureRepository, settings: configs.Settings, world_home: Path, tmp_path: Path
) -> None:
    at, label = latest_instant(lake), timedelta(days=settings.ranker.horizon_days)
    start = min(plan(dense_from(lake, at, settings), at, settings.ranker).test)
    learn, judge = selection_panels(lake, features, at, settings, lambda *_: None)
    assert max(p.cutoff for p in learn) + label <= min(p.cutoff for p in judge)
    for p in (*learn, *judge):
        assert p.cutoff + label <= start < at and p.market.as_of == p.cutoff

    # where the lake ends at that start, the panels are the same to the last bit
    blind = cut_lake(world_home / "world", start, tmp_path / "home")
    there = small_settings(tmp_path / "home", **FEWER)
    store = FeatureRepository.open(there)
    store.apply()
    assert _latest(blind) <= start < _latest(lake)
    for whole, cut in zip((learn, judge), selection_panels(blind, store, at, there, lambda *_: None), strict=True):
        assert len(whole) == len(cut) and all(map(same, whole, cut))


def _latest(lake: Lake) -> datetime:
    return latest_instant(lake)


def test_a_half_life_that_is_tried_weighs_the_panels_anew(panels: list[Panel], settings: configs.Settings) -> None:
    from dataclasses import replace

    made = settings.ranker.model_copy(update={"half_life_days": 30.0})
    tried = made.model_copy(update={"half_life_days": 10.0})
    aged = [replace(panel, weight=0.5 ** (days / 30)) for panel, days in zip(panels, range(50, 0, -9), strict=True)]
    weights = [panel.weight for panel in _weighted(aged, made, tried)]
    assert weights == pytest.approx([0.5 ** (days / 10) for days in range(50, 0, -9)])
    assert fit_ranker(aged, made).weights.tolist() != fit_ranker(_weighted(aged, made, tried), tried).weights.tolist()


def test_data_too_short_to_choose_by_say_so(
    lake: Lake, features: FeatureRepository, settings: configs.Settings
) -> None:
    with pytest.raises(TooLittleData, match="keep the defaults"):
        selection_panels(lake, features, latest_instant(lake) - timedelta(days=55), settings, lambda *_: None)


def test_training_with_what_was_found_uses_it(
    lake: Lake, registry: Registry, settings: configs.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (settings.home / TUNED_FILE).write_text("half_life_days: 17.5\ntrees.lightgbm.num_leaves: 5\n")
    assert tuned_settings(settings).ranker.half_life_days == 17.5
    assert tuned_settings(settings).ranker.trees.lightgbm["num_leaves"] == 5
    assert tuned_settings(settings).ranker.trees.lightgbm["n_estimators"] == 8

    for name, value in small_environment(settings.home).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HARMONIC_FORECAST", json.dumps(BRIEF["forecast"]))
    configs.current.cache_clear()
    try:
        early = latest_instant(lake) - timedelta(days=40)  # few cut-offs: what is trained on does not matter here
        done = CliRunner().invoke(harmonic.app, ["train", "--tuned", "--as-of", f"{early:%Y-%m-%d}", "--json"])
    finally:
        configs.current.cache_clear()
    assert done.exit_code == 0, done.output
    client = registry._client
    run = client.get_run(client.get_model_version(settings.mlflow.model_name, "1").run_id)
    assert run.data.params["ranker.half_life_days"] == "17.5"
    assert "'num_leaves': 5" in run.data.params["trees.lightgbm"]


def test_without_a_search_the_settings_stay(home: Path) -> None:
    assert tuned_settings(small_settings(home)) == small_settings(home)
