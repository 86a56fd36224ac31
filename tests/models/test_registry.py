from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

import configs
from models.errors import IncompatibleModel, NoChampion
from models.pairs import FEATURES, TRENDS
from models.panel import Panel
from models.ranker import Calibration, Ranker, fit_ranker
from models.registry import CHALLENGER, CHAMPION, Registry, RunRecord
from models.releases import load_checked
from tests.models.test_ranker import options
from tests.worlds import NOW, small_settings

HOUR = timedelta(hours=1)


def record(ranker: Ranker, held_out: Ranker | None = None, trained_through: datetime = NOW) -> RunRecord:
    """The least that a run may leave behind."""
    return RunRecord(
        parameters={"as_of": NOW.isoformat(), "long": "x" * 9000},
        metrics={"test.ranker.ndcg": 0.25, "test.none": float("nan")},
        figures={},
        reports={"report.md": "# Ranker\n"},
        curve={"test.ndcg20_by_trees": (0.1, 0.2)},
        ranker=ranker,
        held_out_ranker=held_out or ranker,
        trained_through=trained_through,
        example=np.ones((2, len(FEATURES))),
        tags={"warning": "none"},
    )


def plain(scale: float = 1.0) -> Ranker:
    """A linear ranker with the prior's weights, scaled."""
    weights = scale * TRENDS.weights(configs.load().ranker.linear.prior)
    return Ranker(weights, (), 0.0, 50, Calibration(0.9, -3.0), learned=10)


FIRST = float(plain().weights[0])


def registry_of_one(home: Path, scale: float = 1.0) -> Registry:
    """A registry with one challenger."""
    made = Registry(small_settings(home).mlflow, home)
    made.log(record(plain(scale)), f"scale {scale}")
    return made


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """A registry with three versions: two linear ones, and none that is champion."""
    settings = small_settings(tmp_path_factory.mktemp("registry") / "home")
    made = Registry(settings.mlflow, settings.home)
    for scale in (1.0, 2.0, 3.0):
        made.log(record(plain(scale), plain(-scale)), f"scale {scale}")
    return made


def test_the_story_of_a_champion(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(NoChampion, match="harmonic train"):
        registry.load(CHAMPION)
    assert registry.version(CHAMPION) is None and registry.audit() == []
    assert registry.version(CHALLENGER) == "3"

    registry.promote("1", "first", NOW)
    with pytest.raises(NoChampion, match="nothing to go back to"):
        registry.rollback(NOW)
    registry.promote("2", "better", NOW + HOUR)
    registry.promote("2", "again", NOW + 2 * HOUR)
    assert registry.rollback(NOW + 3 * HOUR) == "1"
    assert registry.version(CHAMPION) == "1"
    told = [(t.version, t.since, t.until, t.reason) for t in registry.audit()]
    assert told == [
        ("1", NOW, NOW + HOUR, "first"),
        ("2", NOW + HOUR, NOW + 3 * HOUR, "better"),
        ("1", NOW + 3 * HOUR, None, "rolled back from version 2"),
    ]

    # killed between the audit's tag and the alias: the next promotion of the same version heals it, once
    entry = {"version": "3", "since": (NOW + 4 * HOUR).isoformat(), "reason": "killed"}
    registry._client.set_registered_model_tag("trend-ranker", "champion.000004", json.dumps(entry))
    assert registry.version(CHAMPION) == "1"
    registry.promote("3", "healed", NOW + 5 * HOUR)
    assert registry.version(CHAMPION) == "3"
    assert [t.version for t in registry.audit()] == ["1", "2", "1", "3"]

    released = tmp_path / "models"
    assert registry.release(CHAMPION, released) == registry.release(CHAMPION, released) == "3"
    assert (released / CHAMPION).read_text() == "3"
    assert Ranker.load(released / "3").weights.tolist() == plain(3.0).weights.tolist()
    assert sorted(p.name for p in released.iterdir()) == ["3", CHAMPION]


def test_a_version_comes_back_as_it_was_logged(registry: Registry) -> None:
    found = registry.load("2")
    assert found.version == "2" and found.as_of == found.trained_through == NOW
    assert found.ranker.weights.tolist() == plain(2.0).weights.tolist()
    assert found.held_out_ranker.weights.tolist() == plain(-2.0).weights.tolist()
    assert found.ranker.calibration == Calibration(0.9, -3.0)


def test_a_version_that_does_not_exist_is_no_traceback(registry: Registry) -> None:
    with pytest.raises(NoChampion):
        registry.load("no such alias")


def test_a_run_keeps_parameters_metrics_reports_and_its_warning(registry: Registry) -> None:
    client = registry._client
    run = client.get_run(client.get_model_version("trend-ranker", "1").run_id)
    assert run.data.params["as_of"] == NOW.isoformat() and len(run.data.params["long"]) == 500
    assert run.data.metrics["test.ranker.ndcg"] == 0.25 and "test.none" not in run.data.metrics
    assert run.data.tags["warning"] == "none"
    curve = client.get_metric_history(run.info.run_id, "test.ndcg20_by_trees")
    assert [point.value for point in sorted(curve, key=lambda p: p.step)] == [0.1, 0.2]
    assert [a.path for a in client.list_artifacts(run.info.run_id, "reports")] == ["reports/report.md"]


def test_the_logged_model_predicts_in_mlflows_own_form(registry: Registry, panels: list[Panel]) -> None:
    import mlflow
    import pandas as pd

    ranker = fit_ranker(panels[:-1], options())
    version = registry.log(record(ranker), "trees")
    panel = panels[-1]
    chosen = ranker.best(panel.query(0), 8)
    model = mlflow.pyfunc.load_model(f"models:/trend-ranker/{version}")
    frame = pd.DataFrame(chosen.features, columns=list(FEATURES))
    assert np.asarray(model.predict(frame)).tolist() == ranker.correction(chosen.features).tolist()
    assert model.metadata.signature is not None
    assert {column.name for column in model.metadata.signature.inputs} == set(FEATURES)
    assert registry.load(version).ranker.rank_panel(panel).tobytes() == ranker.rank_panel(panel).tobytes()


def test_a_model_of_other_features_is_told_apart(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    assert registry.usable("1") == "1"
    wider = replace(TRENDS, features=(*FEATURES, "one more"))
    monkeypatch.setattr(registry, "_schema", wider)
    assert registry.usable("1") is None
    with pytest.raises(IncompatibleModel, match="one more"):
        registry.load("1")


@pytest.mark.parametrize("how", ["missing", "cut short", "gone"])
def test_a_damaged_model_is_not_usable_and_nobody_goes_back_to_it(home: Path, how: str) -> None:
    registry = registry_of_one(home)
    registry.promote("1", "first", NOW)
    registry.promote(registry.log(record(plain(2.0)), "second"), "second", NOW + HOUR)
    (file,) = (path for path in home.rglob("ranker/ranker.json") if json.loads(path.read_text())["weights"][0] == FIRST)
    if how == "missing":
        file.unlink()
    elif how == "cut short":
        file.write_bytes(file.read_bytes()[:100])
    else:
        shutil.rmtree(file.parents[2])
    assert registry.usable("1") is None
    assert registry.usable(CHAMPION) == "2" and registry.usable(CHALLENGER) == "2"
    with pytest.raises(IncompatibleModel, match="version 1, the champion before"):
        registry.rollback(NOW + 2 * HOUR)
    assert registry.version(CHAMPION) == "2" and len(registry.audit()) == 2


def test_a_version_of_another_registry_takes_the_place_of_one_of_the_same_number(home: Path, tmp_path: Path) -> None:
    released = tmp_path / "released"
    registry_of_one(home).release(CHALLENGER, released)
    wrote = (released / "1" / "release.json").stat()
    registry_of_one(home / "anew", scale=3.0).release(CHALLENGER, released)
    assert load_checked(released / "1").weights[0] == pytest.approx(3 * FIRST)
    again = Registry(small_settings(home / "anew").mlflow, home / "anew")
    taken = (released / "1" / "release.json").stat()
    again.release(CHALLENGER, released)
    assert (released / "1" / "release.json").stat() == taken != wrote  # the same is left where it is


def test_a_database_whose_making_was_killed_is_made_anew(home: Path) -> None:
    (home / "mlflow").mkdir(parents=True)
    (home / "mlflow" / ".mlflow.db.new").write_bytes(b"half a database")
    settings = small_settings(home)
    assert Registry(settings.mlflow, home).version(CHAMPION) is None
    assert [p.name for p in (home / "mlflow").iterdir() if p.suffix in (".db", ".new")] == ["mlflow.db"]
