from __future__ import annotations

import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

import configs
from models.errors import BrokenRelease, IncompatibleModel
from models.registry import CHALLENGER, CHAMPION
from models.releases import LoggedPredictions, load_checked, point, publish, withdraw
from serving.errors import NotReady
from serving.holder import PipelineHolder
from serving.schemas import RankQuery
from serving.watching.telemetry import Telemetry
from tests.serving.releases import broken_variant, champion_of, home_to_change, release_variant

BOTH = {"traffic": {"shadow_share": 0.5, "warm_up_milliseconds": 5000}}
PATIENT = {"traffic": {"warm_up_milliseconds": 5000}}


@pytest.fixture
def settings(trained_home: Path, tmp_path: Path) -> configs.Settings:
    return home_to_change(trained_home, tmp_path / "home", **PATIENT)


def serving(settings: configs.Settings) -> PipelineHolder:
    holder = PipelineHolder(lambda: settings, telemetry=Telemetry())
    holder.refresh()
    return holder


def refusals(holder: PipelineHolder, alias: str = CHAMPION) -> float:
    """How many were counted; where metrics live in files for all workers, those of earlier tests among them."""
    assert holder.telemetry is not None
    holder.telemetry.refused.labels(alias)
    return holder.telemetry.registry.get_sample_value("harmonic_models_refused_total", {"alias": alias}) or 0.0


def test_a_release_carries_what_it_predicted_and_passes_its_own_check(settings: configs.Settings) -> None:
    folder = champion_of(settings)
    ranker, logged = load_checked(folder), LoggedPredictions.load(folder)
    assert len(logged.features) > 200 and np.isnan(logged.features).any()
    assert np.unique(logged.correction).size > 20
    assert logged.correction.tolist() == ranker.correction(logged.features).tolist()


def test_compiled_trees_that_say_something_else_are_refused(settings: configs.Settings) -> None:
    from dataclasses import replace

    from models.compiled.prepared import compiled_forest

    folder = champion_of(settings)
    ranker, logged = load_checked(folder), LoggedPredictions.load(folder)
    forest = compiled_forest(ranker)
    assert forest is not None
    logged.check(ranker, folder)
    with pytest.raises(BrokenRelease, match="correction differs"):
        logged.check(replace(ranker, trust=ranker.trust + 1e-6), folder)


def test_the_champion_is_swapped_twenty_times_while_somebody_asks(settings: configs.Settings) -> None:
    holder = serving(settings)
    seen: set[str] = set()
    failures: list[Exception] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            try:
                pipeline = holder.get()
                _, slate = pipeline.recommend(RankQuery("creator_0007", 5))
                assert len(slate.rows) == 5 and np.isfinite(slate.raw).all()
                seen.add(pipeline.model.version)
            except Exception as error:
                failures.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    for swap in range(2, 22):
        release_variant(settings, str(swap), swap / 30)
        holder.refresh()
        assert holder.get().model.version == str(swap)
    stop.set()
    asking.join()
    assert not failures
    assert len(seen) > 10
    left = {path.name for path in settings.released_models.iterdir() if path.is_dir()}
    assert left == {"19", "20", "21"}


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("truncated", "trees-0.txt altered"),
        ("features", "other features"),
        ("leaf", "correction differs"),
        ("weight", "linear of the example rows is not finite"),
        ("no examples", "carries no example predictions"),
    ],
)
def test_a_bad_release_is_refused_told_once_and_the_old_model_stays(
    settings: configs.Settings, how: str, why: str
) -> None:
    holder = serving(settings)
    before, counted = holder.get(), refusals(holder)
    broken_variant(settings, "2", how)
    holder.refresh()
    assert holder.get().model is before.model
    told = holder.report()
    assert told["ready"] and told["models"] == {CHAMPION: "1"}
    assert [(r["alias"], r["version"]) for r in told["refused"]] == [(CHAMPION, "2")]
    assert why in told["refused"][0]["why"]

    holder.refresh()
    holder.refresh()
    assert refusals(holder) == counted + 1

    release_variant(settings, "3", 0.5)
    holder.refresh()
    assert holder.get().model.version == "3" and holder.report()["refused"] == []


def test_a_refused_release_is_tried_again_when_it_is_written_anew(settings: configs.Settings) -> None:
    holder = serving(settings)
    counted = refusals(holder)
    broken_variant(settings, "2", "truncated")
    holder.refresh()
    release_variant(settings, "2", 0.4)
    holder.refresh()
    assert holder.get().model.version == "2" and refusals(holder) == counted + 1


def test_a_worker_that_starts_on_a_bad_release_serves_the_last_good_one(settings: configs.Settings) -> None:
    serving(settings)
    broken_variant(settings, "2", "leaf")
    late = serving(settings)
    assert late.get().model.version == "1"
    assert late.report()["refused"][0]["version"] == "2"


def test_without_any_good_release_nothing_is_served_and_the_reason_is_told(settings: configs.Settings) -> None:
    broken_variant(settings, "2", "truncated")
    holder = PipelineHolder(lambda: settings)
    for _ in range(2):
        with pytest.raises(NotReady, match="altered since the release"):
            holder.refresh()
    assert not holder.is_ready
    with pytest.raises(NotReady):
        holder.get()


def test_a_half_written_release_is_invisible(settings: configs.Settings) -> None:
    holder = serving(settings)

    class Killed(BaseException):
        pass

    def fill(folder: Path) -> None:
        shutil.copy(champion_of(settings) / "trees-0.txt", folder)
        holder.refresh()
        raise Killed

    with pytest.raises(Killed):
        publish(settings.released_models, CHAMPION, "2", fill)
    holder.refresh()
    assert holder.get().model.version == "1" and holder.report()["refused"] == []
    release_variant(settings, "2", 0.3)
    assert not [path for path in settings.released_models.iterdir() if path.name.startswith(".")]


def test_what_is_not_fit_to_serve_is_never_released(settings: configs.Settings) -> None:
    first = champion_of(settings)

    def fill(folder: Path) -> None:
        shutil.copytree(first, folder, dirs_exist_ok=True)
        (folder / "examples.npz").unlink()

    with pytest.raises(IncompatibleModel, match=r"model 2: examples\.npz is missing"):
        publish(settings.released_models, CHAMPION, "2", fill)
    assert champion_of(settings).name == "1"


def test_a_model_too_slow_for_its_budget_is_refused(settings: configs.Settings) -> None:
    holder = serving(settings)
    release_variant(settings, "2", 0.3)
    hurried = settings.model_copy(
        update={"traffic": settings.traffic.model_copy(update={"warm_up_milliseconds": 1e-3})}
    )
    slow = PipelineHolder(lambda: hurried)
    with pytest.raises(NotReady, match="a slate takes"):
        slow.refresh()
    holder.refresh()
    assert holder.get().model.version == "2"


def test_the_challenger_comes_and_goes_with_its_release(trained_home: Path, tmp_path: Path) -> None:
    settings = home_to_change(trained_home, tmp_path / "home", **BOTH)
    holder = serving(settings)
    assert holder.traffic().challenger is None
    assert holder.traffic().of("challenger") == ("champion", holder.get())

    release_variant(settings, "2", 0.3, CHALLENGER)
    champion = holder.get()
    holder.refresh()
    arm, pipeline = holder.traffic().of("challenger")
    assert (arm, pipeline.model.version) == ("challenger", "2")
    assert holder.get().model is champion.model and pipeline.snapshot is holder.get().snapshot

    withdraw(settings.released_models, CHALLENGER)
    holder.refresh()
    assert holder.traffic().challenger is None


def test_a_patch_of_the_market_survives_a_swap_of_the_model(settings: configs.Settings) -> None:
    from dataclasses import replace

    holder = serving(settings)
    patched = replace(holder.get().snapshot, forecasts={})
    holder.patch(lambda snapshot: patched)
    assert holder.get().snapshot is patched
    release_variant(settings, "2", 0.3)
    holder.refresh()
    assert holder.get().snapshot is patched and holder.get().model.version == "2"


def test_a_pointer_to_a_folder_that_is_not_there_is_refused(settings: configs.Settings) -> None:
    holder = serving(settings)
    point(settings.released_models, CHAMPION, "77")
    holder.refresh()
    assert holder.get().model.version == "1"
    with pytest.raises(BrokenRelease, match=r"release\.json is missing"):
        load_checked(settings.released_models / "77")
