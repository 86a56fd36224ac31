from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import configs
from features.lake import Lake
from features.materialize import latest_instant
from features.store import FeatureRepository
from models.errors import TooLittleData
from models.registry import CHALLENGER, CHAMPION, Registry
from tests.worlds import NOW, small_settings
from training.errors import NotComparable
from training.panels import held_out_panels
from training.run import evaluate, promote, rollback, train_and_register


@pytest.fixture(scope="module")
def settings(trained_home: Path, tmp_path_factory: pytest.TempPathFactory) -> configs.Settings:
    """A copy of the trained state, for tests that go on from there."""
    home = tmp_path_factory.mktemp("again") / "home"
    for part in ("lake", "feast", "mlflow", "serving"):
        shutil.copytree(trained_home / part, home / part)
    return small_settings(home)


@pytest.fixture
def trained(trained_home: Path) -> Registry:
    """The registry as the first training left it."""
    return Registry(small_settings(trained_home).mlflow, trained_home)


@pytest.fixture
def lake(settings: configs.Settings) -> Lake:
    return Lake(settings.home / "lake")


@pytest.fixture
def features(settings: configs.Settings) -> FeatureRepository:
    made = FeatureRepository.open(settings)
    made.apply()
    return made


def test_the_first_good_model_is_champion_and_served(trained: Registry, trained_home: Path) -> None:
    assert trained.version(CHAMPION) == trained.version(CHALLENGER) == "1"
    (tenure,) = trained.audit()
    assert (tenure.since, tenure.until) == (NOW, None)
    assert tenure.reason.startswith("beats popularity: ndcg +")
    assert (trained_home / "serving" / "model" / CHAMPION).read_text() == "1"


def test_a_run_leaves_everything_that_is_needed_to_judge_and_repeat_it(trained: Registry, trained_home: Path) -> None:
    client = trained._client
    run = client.get_run(client.get_model_version("trend-ranker", "1").run_id)
    metrics, parameters = run.data.metrics, run.data.params
    for ranking in ("ranker", "linear_stage", "popular_creators_7d", "walk", "hist_gradient_boosting", "logistic"):
        for metric in ("ndcg", "recall", "mrr"):
            low, mean, high = (metrics[f"test.{ranking}.{metric}{end}"] for end in (".low", "", ".high"))
            assert low <= mean <= high
        assert 0 < metrics[f"test.{ranking}.coverage"] <= 1
    for part in ("new_creators", "established_creators", "sounds", "hashtags"):
        assert f"test.ranker.{part}.queries" in metrics
    assert metrics["test.ranker.new_creators.queries"] + metrics["test.ranker.established_creators.queries"] == float(
        parameters["test_queries"]
    )
    assert metrics["test.suspicious"] == 0 and "warning" not in run.data.tags
    lake = Lake(trained_home / "lake")
    assert parameters["data_hash"] == lake.fingerprint()
    assert parameters["as_of"] == latest_instant(lake).isoformat()
    figures = {Path(a.path).name for a in client.list_artifacts(run.info.run_id, "figures")}
    assert {"importance.png", "learning.png", "calibration.png"} <= figures
    assert {Path(a.path).suffix for a in client.list_artifacts(run.info.run_id, "reports")} == {".md", ".html"}


def test_the_held_out_twin_has_not_seen_the_test_period(
    trained: Registry, lake: Lake, features: FeatureRepository, settings: configs.Settings
) -> None:
    champion = trained.load(CHAMPION)
    panels = held_out_panels(lake, features, latest_instant(lake), settings)
    assert champion.trained_through <= min(panel.cutoff for panel in panels)


def test_evaluating_the_champion_repeats_the_figures_of_its_run(
    trained: Registry, lake: Lake, features: FeatureRepository, settings: configs.Settings
) -> None:
    client = trained._client
    logged = client.get_run(client.get_model_version("trend-ranker", "1").run_id).data.metrics
    judged = evaluate(lake, features, trained.load(CHAMPION), latest_instant(lake), settings)
    for name in (
        "test.ranker.ndcg",
        "test.walk.recall",
        "test.popular_creators_7d.mrr",
        "test.ranker.calibration_error",
    ):
        assert judged.metrics[name] == pytest.approx(logged[name], abs=1e-12), name


def test_training_again_makes_an_equal_challenger_that_does_not_replace_the_champion(
    lake: Lake, features: FeatureRepository, settings: configs.Settings
) -> None:
    registry = Registry(settings.mlflow, settings.home)
    at = latest_instant(lake)
    outcome = train_and_register(lake, features, registry, at, settings, NOW)
    assert not outcome.verdict.promoted and "is challenger" in outcome.verdict.message
    assert (registry.version(CHAMPION), registry.version(CHALLENGER)) == ("1", "2")
    first, second = registry.load("1"), registry.load("2")
    assert first.ranker.weights.tolist() == second.ranker.weights.tolist()
    assert [b.model_to_string() for b in first.ranker.boosters] == [b.model_to_string() for b in second.ranker.boosters]

    verdict = promote(lake, features, registry, at, settings, NOW)
    assert not verdict.promoted and verdict.gain is not None and verdict.gain.mean == 0
    assert "the gain is not proven" in verdict.message

    registry.promote("2", "by hand", NOW)
    assert rollback(registry, settings, NOW) == "1"
    assert (settings.released_models / CHAMPION).read_text() == "1"


def test_a_model_is_not_judged_on_what_it_has_learned_from(
    trained: Registry, lake: Lake, features: FeatureRepository, settings: configs.Settings
) -> None:
    from datetime import timedelta

    with pytest.raises(NotComparable, match="train a challenger on later data"):
        evaluate(lake, features, trained.load(CHAMPION), latest_instant(lake) - timedelta(days=21), settings)


def test_data_without_any_held_out_query_say_so(
    lake: Lake, features: FeatureRepository, settings: configs.Settings
) -> None:
    from datetime import timedelta

    with pytest.raises(TooLittleData, match="hold no test queries"):
        held_out_panels(lake, features, latest_instant(lake) - timedelta(days=62), settings)
