from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import configs
import harmonic
from configs.console import warn
from features.lake import Lake
from features.materialize import dense_from, latest_instant
from features.store import FeatureRepository
from models.candidates import GENERATORS
from models.ranker import Ranker
from models.registry import Registry
from serving.batch import pipeline_at, score_all
from serving.score import Model
from tests.models.test_metrics import SCORER
from tests.training.cutting import BRIEF, cut_lake
from tests.worlds import NOW, SMALL_TREE, small_environment, small_settings
from training.errors import TooShort
from training.evaluate import METRICS, Figures
from training.origins import PLAIN, Origin, Rolling
from training.panels import SharedMoments, moment_at
from training.rolling import evaluate_rolling, ranker_as_of, regular_cutoffs
from training.rolling_report import for_terminal
from training.split import plan
from training.train import train

SHARE = 0.05
"""Above this share of creators a trend is generic, for the independent scorer."""


@dataclass(frozen=True)
class Place:
    """A lake with a feature store and a registry beside it."""

    settings: configs.Settings
    lake: Lake
    features: FeatureRepository

    @classmethod
    def at(cls, home: Path) -> Place:
        settings = small_settings(
            home,
            trends={"pool": {"generic_share": SHARE}},
            serving={"max_share_of_kind": 1.0},
            ranker={
                **{"max_cutoffs": 3, "cutoff_step_days": 7, "test_cutoffs": 1},
                "trees": SMALL_TREE["ranker"]["trees"] | {"least_queries": 40},
            },
            **BRIEF,
        )
        features = FeatureRepository.open(settings)
        features.apply()
        return cls(settings, Lake(home / "lake"), features)

    @property
    def registry(self) -> Registry:
        return Registry(self.settings.mlflow, self.settings.home)


@pytest.fixture(scope="module")
def place(world_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    home = tmp_path_factory.mktemp("rolling") / "home"
    home.mkdir()
    (home / "lake").symlink_to(world_home / "lake")
    return Place.at(home)


@pytest.fixture(scope="module")
def cutoffs(place: Place) -> tuple[datetime, ...]:
    return regular_cutoffs(latest_instant(place.lake), 2, 7, 7)


@pytest.fixture(scope="module")
def found(place: Place, cutoffs: Sequence[datetime]) -> Rolling:
    at = latest_instant(place.lake)
    return evaluate_rolling(place.lake, place.features, place.registry, at, cutoffs, place.settings)


def forest(ranker: Ranker) -> list[str]:
    return [booster.model_to_string() for booster in ranker.boosters]


def at_once(place: Place, cutoff: datetime) -> Ranker:
    split = plan(dense_from(place.lake, cutoff, place.settings), cutoff, place.settings.ranker)
    moments = partial(moment_at, place.lake, place.features, settings=place.settings)
    return ranker_as_of(place.lake, place.features, cutoff, split, place.settings, moments)[0]


def test_what_is_judged_is_what_a_system_that_knew_nothing_later_would_have_listed(
    place: Place, cutoffs: Sequence[datetime], found: Rolling, world_home: Path, tmp_path: Path
) -> None:
    """On the rows up to the cut-off alone: ingest, train as of it, score in batch, and let a stranger judge the lists.

    The slate's own rules (near-duplicates, shares of kinds) are no part of ranking; here they bind nobody.
    """
    cutoff = cutoffs[0]
    cut_lake(world_home / "world", cutoff, tmp_path / "home")
    blind = Place.at(tmp_path / "home")
    assert latest_instant(blind.lake) <= cutoff < latest_instant(place.lake)
    served = train(blind.lake, blind.features, cutoff, blind.settings).record.ranker

    seeing = at_once(place, cutoff)
    assert seeing.weights.tolist() == served.weights.tolist()
    assert forest(seeing) == forest(served) and served.trees > 0

    if not SCORER.is_file():
        pytest.skip("the independent scorer is not beside the project")
    model = Model.of("1", served)
    table = score_all(pipeline_at(blind.lake, blind.features, model, cutoff, blind.settings), 20)
    lists = table.sort_values("rank").groupby("creator_id")["trend_id"].apply(list).to_dict()
    spec = importlib.util.spec_from_file_location("adoption_eval", SCORER)
    assert spec and spec.loader
    scorer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(scorer)
    assert scorer.GENERIC == SHARE
    *_, truth = scorer.task(world_home / "world" / "videos.parquet", pd.Timestamp(cutoff), 7)
    assert set(truth) == set(found.origins[0].creators)
    theirs, ours = scorer.score(truth, lists), found.origins[0].figures["ranker"]
    assert theirs == {
        "queries": len(truth),
        "recall20": round(ours.mean("recall"), 4),
        "ndcg20": round(ours.mean("ndcg"), 4),
    }


def written(folder: Path) -> dict[Path, tuple[int, int]]:
    """Every file below a folder, and what changes when it is written anew."""
    found = {path: path.stat() for path in folder.rglob("*") if path.is_file()}
    return {path: (about.st_ino, about.st_mtime_ns) for path, about in found.items()}


def test_a_short_history_is_what_a_lake_of_its_posts_alone_would_have_been(
    place: Place, cutoffs: Sequence[datetime], world_home: Path, tmp_path: Path
) -> None:
    """Three weeks before a cut-off, and what came after, in a lake of their own: the same figures to the last bit."""
    cutoff, at = cutoffs[-1], latest_instant(place.lake)
    before, quiet = written(place.settings.home / "feast"), at + timedelta(days=30)
    cut_lake(world_home / "world", NOW, tmp_path / "home", after=cutoff - timedelta(days=21))
    alone = Place.at(tmp_path / "home")
    short = evaluate_rolling(
        *(place.lake, place.features, alone.registry, quiet + timedelta(days=7), [cutoff, quiet], place.settings),
        history_days=21,
    )
    assert short.history_days == 21 and short.to_dict()["history_days"] == 21
    assert short.skipped == (quiet,)  # nobody had posted for three weeks
    told = " ".join(for_terminal(short).split())
    assert "that know 21 days of posts" in told and f"Left out: {quiet:%Y-%m-%d}" in told
    assert written(place.settings.home / "feast") == before and not list(place.settings.home.glob(".short-*"))

    early = cutoff - timedelta(days=22)
    found = evaluate_rolling(alone.lake, alone.features, alone.registry, at, [early, cutoff], alone.settings)
    assert found.skipped == (early,)  # before the first post
    assert short.origins[0].creators == found.origins[0].creators
    assert short.origins[0].learned == found.origins[0].learned > 0
    for name, figures in found.origins[0].figures.items():
        assert short.origins[0].figures[name].per_query["ndcg"].tolist() == figures.per_query["ndcg"].tolist(), name


def test_every_ranking_is_judged_at_every_cutoff_on_the_same_queries(
    found: Rolling, cutoffs: Sequence[datetime]
) -> None:
    assert tuple(o.cutoff for o in found.origins) == tuple(cutoffs) and found.skipped == ()
    for origin in found.origins:
        assert set(origin.figures) == {"ranker", "linear_stage", *PLAIN, *GENERATORS}
        for ranking in origin.figures.values():
            assert all(len(ranking.per_query[metric]) == len(origin.creators) for metric in METRICS)
        assert origin.learned > 40 and 0 < origin.by_lot["ndcg"] < origin.figures["ranker"].mean("ndcg")
    for name, pooled in found.pooled.items():
        together = np.concatenate([o.figures[name].per_query["ndcg"] for o in found.origins])
        assert pooled.means["ndcg"].mean == pytest.approx(together.mean())
        assert pooled.means["ndcg"].low <= together.mean() <= pooled.means["ndcg"].high
    assert found.warning == ""


def test_one_run_holds_the_figures_and_a_report_to_read(place: Place, found: Rolling) -> None:
    client = place.registry._client
    experiment = client.get_experiment_by_name(place.settings.mlflow.experiment)
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name.startswith("rolling evaluation") and run.info.status == "FINISHED"
    logged = run.data.metrics
    assert logged["pooled.ranker.ndcg"] == pytest.approx(found.pooled["ranker"].means["ndcg"].mean)
    over = f"pooled.{found.generator}.ranker_over_it"
    assert logged[f"{over}.low"] <= logged[over] <= logged[f"{over}.high"]
    history = [m.value for m in client.get_metric_history(run.info.run_id, "cutoff.walk.ndcg")]
    assert history == pytest.approx([o.figures["walk"].mean("ndcg") for o in found.origins])
    assert len(run.data.params["cutoffs"].split()) == len(found.origins)
    text = Path(client.download_artifacts(run.info.run_id, "reports/report.md")).read_text()
    page = Path(client.download_artifacts(run.info.run_id, "reports/report.html")).read_text()
    assert page.count("data:image/png") == 2
    for part in (text, page):
        assert found.generator in part and all(f"{o.cutoff:%Y-%m-%d}" in part for o in found.origins)


def of(ndcg: list[float]) -> Figures:
    return Figures({metric: np.array(ndcg) for metric in METRICS}, 1.0, 0.0)


def origin(day: int, ranker: float, best: float, own: float) -> Origin:
    """Fifty queries; `long_walk` is good everywhere, `coadoption` at one cut-off."""
    spread = np.linspace(-0.05, 0.05, 50)
    levels = dict.fromkeys((*GENERATORS, *PLAIN, "linear_stage"), 0.1)
    levels |= {"ranker": ranker, "long_walk": best, "coadoption": own}
    found = {name: of((level + spread).tolist()) for name, level in levels.items()}
    creators = tuple(f"c{i}" for i in range(50))
    return Origin(datetime(2026, 1, day, tzinfo=UTC), creators, found, dict.fromkeys(METRICS, 0.01), 1000, 10)


def test_a_cutoff_at_which_the_ranker_fell_below_its_best_generator_is_told(settings: configs.Settings) -> None:
    origins = [origin(1, 0.4, 0.3, 0.2), origin(8, 0.28, 0.3, 0.2), origin(15, 0.33, 0.3, 0.35)]
    found = Rolling.of(origins, (), 7, settings)
    assert found.generator == "long_walk"
    assert [at.day for at in found.below] == [8] and [at.day for at in found.below_own] == [8, 15]
    assert [s.own_generator for s in found.standings] == ["long_walk", "long_walk", "coadoption"]
    told = for_terminal(found)
    assert "BELOW its best single generator (long_walk): ×0.93" in told
    assert "BELOW coadoption, the best at this cut-off: ×0.94" in told
    assert "below it at 1 of 3 cut-offs (2026-01-08)" in told
    assert [cutoff["below_best_generator"] for cutoff in found.to_dict()["cutoffs"]] == [False, True, False]


def test_creators_that_ask_at_every_cutoff_do_not_make_the_figures_surer(settings: configs.Settings) -> None:
    once = Rolling.of([origin(1, 0.4, 0.3, 0.2)], (), 7, settings).pooled["ranker"].means["ndcg"]
    four = [origin(day, 0.4, 0.3, 0.2) for day in (1, 8, 15, 22)]
    again = Rolling.of(four, (), 7, settings).pooled["ranker"].means["ndcg"]
    assert again.high - again.low == pytest.approx(once.high - once.low, rel=0.05)
    others = [replace(o, creators=tuple(f"{o.cutoff.day}{c}" for c in o.creators)) for o in four]
    surer = Rolling.of(others, (), 7, settings).pooled["ranker"].means["ndcg"]
    assert surer.high - surer.low < 0.7 * (once.high - once.low)


def test_a_jump_that_is_too_good_to_be_true_is_told(settings: configs.Settings) -> None:
    found = Rolling.of([origin(1, 0.95, 0.3, 0.2)], (), 7, settings)
    assert set(found.jumps) == {"ranker"} and "look for a feature from the future" in found.warning
    assert found.to_dict()["warning"] == found.warning


def test_a_moment_that_several_need_is_made_once_and_let_go_after_the_last() -> None:
    made: list[int] = []

    def make(cutoff: datetime) -> object:
        made.append(cutoff.day)
        return object()

    days = [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 1, 1)]
    moments = SharedMoments(make, days)  # type: ignore[arg-type]
    first, second, third, fourth = map(moments, days)
    assert first is third is fourth and first is not second
    assert made == [1, 2] and moments._held == {}


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)), st.integers(1, 9), st.integers(1, 30), st.integers(1, 30)
)
def test_regular_cutoffs_are_midnights_whose_horizon_is_over(
    naive: datetime, last: int, step: int, horizon: int
) -> None:
    as_of = naive.replace(tzinfo=UTC)
    found = regular_cutoffs(as_of, last, step, horizon)
    assert len(found) == last and all((c.hour, c.minute, c.second, c.microsecond) == (0, 0, 0, 0) for c in found)
    assert all(b - a == timedelta(days=step) for a, b in pairwise(found))
    assert timedelta(0) <= as_of - found[-1] - timedelta(days=horizon) < timedelta(days=1)


def test_a_cutoff_whose_horizon_is_not_over_is_refused(place: Place) -> None:
    at = latest_instant(place.lake)
    with pytest.raises(TooShort, match=r"are not over by .*: choose cut-offs up to"):
        evaluate_rolling(
            place.lake, place.features, place.registry, at, [at - timedelta(days=6, hours=23)], place.settings
        )


def test_the_command_line_tells_people_and_machines(
    place: Place, cutoffs: Sequence[datetime], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in small_environment(place.settings.home).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HARMONIC_FORECAST", json.dumps(BRIEF["forecast"]))
    monkeypatch.setenv("HARMONIC_RANKER", json.dumps({"max_cutoffs": 1}))
    configs.current.cache_clear()
    try:
        day = f"{cutoffs[-1]:%Y-%m-%d}"
        done = CliRunner().invoke(harmonic.app, ["evaluate", "--cutoffs", day, "--horizon", "5", "--json"])
        assert done.exit_code == 0, done.output
        told = json.loads(done.stdout)
        assert told["horizon_days"] == 5 and told["cutoffs"][0]["cutoff"].startswith(day) and told["warning"] == ""
        wrong = CliRunner().invoke(harmonic.app, ["evaluate", "--cutoffs", "soon"])
        assert wrong.exit_code == 2 and "2026-10-01" in wrong.output
    finally:
        configs.current.cache_clear()


def test_a_warning_is_framed_on_stderr_and_no_warning_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    warn("")
    assert capsys.readouterr() == ("", "")
    warn("ranker is 3.1 times as good as the best plain ranking")
    out, err = capsys.readouterr()
    assert out == "" and "WARNING: too good to be true. ranker is 3.1 times" in err
    assert err.splitlines()[0] == err.splitlines()[-1] == "!" * 80
