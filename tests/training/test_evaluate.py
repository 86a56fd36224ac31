from __future__ import annotations

import importlib.util
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import configs
from features.lake import Lake
from features.materialize import latest_instant
from models.baseline import classifier_baselines, generator_baselines, popularity_baselines
from models.pairs import INPUTS
from models.panel import Panel, best_places
from models.ranker import fit_ranker
from tests.models.test_metrics import SCORER
from tests.models.test_ranker import options
from tests.worlds import panels_of, small_settings
from training.evaluate import (
    METRICS,
    Figures,
    difference,
    figures,
    generator_recall,
    score_panels,
    segments,
    suspicious,
)
from training.judge import judge

PLAIN = {**popularity_baselines(), **generator_baselines()}


@pytest.fixture(scope="module")
def judged_by(world_home: Path) -> configs.Settings:
    return small_settings(world_home)


def shuffled(panel: Panel, seed: int) -> Panel:
    """The same queries wanting just as many trends, but any."""
    chance = np.random.default_rng(seed)
    grades = np.zeros_like(panel.grades)
    for i, mask in enumerate(panel.allowed):
        grades[i, chance.choice(np.flatnonzero(mask), panel.wanted[i], replace=False)] = 2
    return replace(panel, grades=grades)


def leaking(panel: Panel, name: str = "repeat_use") -> Panel:
    """One input knows what will be adopted, under a fifth of noise."""
    inputs = panel.inputs.copy()
    noise = np.random.default_rng(0).normal(size=panel.grades.shape)
    inputs[:, :, INPUTS.index(name)] = np.where(panel.grades > 0, 5.0, 0.0) + noise
    return replace(panel, inputs=inputs)


def chance_of(panels: list[Panel], rounds: int = 20) -> Figures:
    """What random lists reach."""
    chance = np.random.default_rng(1)
    many = [figures([chance.random(p.allowed.shape) for p in panels], panels) for _ in range(rounds)]
    return Figures({m: np.mean([f.per_query[m] for f in many], axis=0) for m in METRICS}, 1.0, 0.0)


def test_a_ranking_that_knows_the_answer_is_perfect(panels: list[Panel]) -> None:
    found = figures([p.grades.astype(float) for p in panels], panels)
    assert found.mean("ndcg") == found.mean("recall") == found.mean("mrr") == 1
    assert len(found.per_query["ndcg"]) == sum(map(len, panels))


def test_what_is_not_allowed_is_never_listed_however_high_its_score(panels: list[Panel]) -> None:
    panel = panels[0]
    scores = np.where(panel.allowed, panel.grades, 1e9).astype(float)
    assert figures([scores], [panel]).mean("ndcg") == 1


def test_figures_are_the_same_as_the_independent_scorers_on_the_same_lists(world_home: Path, tmp_path: Path) -> None:
    if not SCORER.is_file():
        pytest.skip("the independent scorer is not beside the project")
    spec = importlib.util.spec_from_file_location("adoption_eval", SCORER)
    assert spec and spec.loader
    scorer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(scorer)
    settings = small_settings(world_home, trends={"pool": {"generic_share": scorer.GENERIC}})
    lake = Lake(world_home / "lake")
    cutoff = latest_instant(lake) - timedelta(days=7)
    (panel,) = panels_of(lake, settings, [7])
    scores = fit_ranker([], options()).rank_panel(panel)
    places = best_places(scores, panel.allowed, 20)
    lists = {
        c.creator_id: panel.market.ids[row[row >= 0]].tolist() for c, row in zip(panel.creators, places, strict=True)
    }
    *_, truth = scorer.task(world_home / "world" / "videos.parquet", pd.Timestamp(cutoff), 7)
    theirs, ours = scorer.score(truth, lists), figures([scores], [panel])
    assert set(truth) == set(lists)
    assert theirs == {
        "queries": len(panel),
        "recall20": round(ours.mean("recall"), 4),
        "ndcg20": round(ours.mean("ndcg"), 4),
    }


def test_segments_part_the_queries_and_the_trends(panels: list[Panel]) -> None:
    parts = segments(established_posts=10)
    for panel in panels:
        chosen = {name: np.broadcast_to(of(panel), panel.allowed.shape) for name, of in parts.items()}
        assert (chosen["new_creators"] ^ chosen["established_creators"]).all()
        assert (chosen["sounds"] ^ chosen["hashtags"]).all()
        new = [creator.column("posts_known") < 10 for creator in panel.creators]
        assert chosen["new_creators"][:, 0].tolist() == new


def test_a_segment_ranks_and_wants_only_its_own(panels: list[Panel]) -> None:
    sounds = segments(10)["sounds"]
    perfect = [p.grades.astype(float) for p in panels]
    found = figures(perfect, panels, sounds)
    queries = sum(int((p.grades[:, p.market.types == "sound"] > 0).any(axis=1).sum()) for p in panels)
    assert len(found.per_query["ndcg"]) == queries
    assert found.mean("ndcg") == 1


def test_a_queries_difference_to_itself_is_nothing(panels: list[Panel]) -> None:
    found = figures(score_panels(PLAIN["walk"], panels), panels)
    same = difference(found, found, "ndcg", 100, 0, 0.95)
    assert (same.low, same.mean, same.high) == (0, 0, 0)


def test_generators_together_propose_at_least_what_the_best_of_them_does(panels: list[Panel]) -> None:
    found = generator_recall(panels)
    assert found["union"] >= max(found.values()) > 0.5
    few = generator_recall(panels, most=5)
    assert all(few[name] <= found[name] for name in found)


def test_shuffled_labels_bring_every_ranking_down_to_chance(panels: list[Panel]) -> None:
    learn = [shuffled(panel, 0) for panel in panels[:4]]
    test = [shuffled(panel, seed) for seed in range(1, 31) for panel in panels[4:]]
    rankings = {**PLAIN, **classifier_baselines(learn, 0), "ranker": fit_ranker(learn, options()).rank_panel}
    random = chance_of(test, rounds=3)
    for name, ranking in rankings.items():
        of_panel = {id(panel.market): ranking(panel) for panel in panels[4:]}
        found = figures([of_panel[id(panel.market)] for panel in test], test)
        for metric in METRICS:
            assert found.mean(metric) == pytest.approx(random.mean(metric), abs=0.04), (name, metric)


def test_true_labels_lift_the_ranker_above_chance(panels: list[Panel]) -> None:
    test = panels[4:]
    found = figures(score_panels(fit_ranker(panels[:4], options()).rank_panel, test), test)
    assert difference(found, chance_of(test), "ndcg", 300, 0, 0.95).low > 0.03


def test_a_feature_from_the_future_is_flagged_and_honest_training_is_not(
    panels: list[Panel], judged_by: configs.Settings
) -> None:
    honest = judge(fit_ranker(panels[:4], options()), PLAIN, panels[4:], judged_by)
    assert honest.jumps == {} and honest.warning == "" and honest.metrics["test.suspicious"] == 0

    told = [leaking(panel) for panel in panels]
    caught = judge(fit_ranker(told[:4], options()), PLAIN, told[4:], judged_by)
    assert {"ranker", "linear_stage"} <= set(caught.jumps)
    assert caught.metrics["test.suspicious"] == len(caught.jumps)
    assert "look for a feature from the future" in caught.warning


def test_a_jump_must_be_proven_not_just_large() -> None:
    def of(values: list[float]) -> Figures:
        return Figures({"ndcg": np.array(values)}, 1.0, 0.0)

    lucky, steady, plain = of([1.0] + [0.0] * 9), of([0.5] * 10), of([0.04] * 10)
    found = suspicious(
        {"lucky": lucky, "steady": steady}, {"plain": plain, "worse": of([0.0] * 10)}, "ndcg", 200, 0, 0.95
    )
    assert found == {"steady": pytest.approx(12.5)}
