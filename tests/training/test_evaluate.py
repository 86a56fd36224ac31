from __future__ import annotations

import importlib.util
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import configs
from features.ingest import ingest
from features.lake import Lake
from features.materialize import known_by, latest_instant
from models.baseline import classifier_baselines, generator_baselines, popularity_baselines
from models.pairs import INPUTS, TREND_INPUTS, trend_inputs
from models.panel import Panel, best_places
from models.ranker import fit_ranker
from tests.models.test_metrics import SCORER
from tests.models.test_ranker import options
from tests.training.cutting import BRIEF
from tests.worlds import NOW, moment_of, panels_of, small_settings
from training.dataset import panel as panel_of
from training.evaluate import (
    METRICS,
    Figures,
    chance,
    difference,
    figures,
    generator_recall,
    score_panels,
    segments,
    suspicious,
)
from training.judge import judge
from training.labels import adoptions

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


def drawn_by_lot(panels: list[Panel], rounds: int = 20) -> Figures:
    """What random lists reach."""
    draw = np.random.default_rng(1)
    many = [figures([draw.random(p.allowed.shape) for p in panels], panels) for _ in range(rounds)]
    return Figures({m: np.mean([f.per_query[m] for f in many], axis=0) for m in METRICS}, 1.0, 0.0)


def off_chance(found: Figures, by_lot: dict[str, float]) -> dict[str, float]:
    """Metric → how many standard errors a ranking lies above (below: negative) what a list drawn by lot reaches."""
    errors = {m: values.std(ddof=1) / np.sqrt(len(values)) for m, values in found.per_query.items()}
    return {m: (found.mean(m) - by_lot[m]) / errors[m] for m in METRICS}


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


def test_chance_is_what_lists_drawn_by_lot_reach_on_average(panels: list[Panel]) -> None:
    said, drawn = chance(panels), drawn_by_lot(panels, rounds=40)
    for metric in METRICS:
        assert said[metric] == pytest.approx(drawn.mean(metric), rel=0.05), metric
    (panel,) = panels[:1]
    pool = panel.allowed.sum(axis=1)
    assert chance([panel])["recall"] == pytest.approx(float((20 / pool).mean()))
    assert 0.02 < said["ndcg"] < 0.3 and 0.02 < said["mrr"] < 0.3


def test_chance_of_a_pool_shorter_than_the_list_is_its_whole_recall(panels: list[Panel]) -> None:
    panel = panels[0]
    few = np.zeros_like(panel.allowed)
    few[np.arange(len(panel)), panel.grades.argmax(axis=1)] = True
    one = chance([panel], segment=lambda _: few)
    assert one == {"ndcg": 1.0, "recall": 1.0, "mrr": 1.0}


def test_shuffled_labels_bring_every_ranking_down_to_chance_by_every_metric(panels: list[Panel]) -> None:
    """Chance: what a list drawn by lot from what is allowed reaches; here within five standard errors of 40 shuffles.

    The same bound is broken by every ranking as soon as the labels are the true ones.
    """
    learn = [shuffled(panel, 0) for panel in panels[:4]]
    test = [shuffled(panel, seed) for seed in range(1, 41) for panel in panels[4:]]
    rankings = {**PLAIN, **classifier_baselines(learn, 0), "ranker": fit_ranker(learn, options()).rank_panel}
    by_lot = chance(test)
    for name, ranking in rankings.items():
        of_panel = {id(panel.market): ranking(panel) for panel in panels[4:]}
        for metric, errors in off_chance(figures([of_panel[id(p.market)] for p in test], test), by_lot).items():
            assert abs(errors) < 5, (name, metric, errors)
    true = off_chance(figures(score_panels(rankings["walk"], panels), panels), chance(panels))
    assert min(true.values()) > 5


def test_what_comes_after_a_cutoff_by_lot_is_foreseen_by_nothing_honest(world_home: Path, tmp_path: Path) -> None:
    """From the files on: every post after the cut-off uses hashtags drawn by lot, so no honest feature can tell which.

    Chance is again a list drawn by lot; its recall is about 20 ÷ the size of the pool.
    """
    settings = small_settings(tmp_path, **BRIEF)
    lake, cutoff = lottery(world_home / "world", tmp_path, skewed=False)
    asked = asked_after(lake, cutoff, cutoff, settings)
    assert 0.05 < chance([asked])["recall"] < 0.5
    for name, ranking in {**PLAIN, "ranker": fit_ranker([], options()).rank_panel}.items():
        errors = off_chance(figures([ranking(asked)], [asked]), chance([asked]))
        assert max(errors.values()) < 4, (name, errors)


def test_a_market_that_knows_the_weeks_after_foresees_even_what_is_drawn_by_lot(
    world_home: Path, tmp_path: Path
) -> None:
    """The same with some hashtags likelier than others, and the market's columns taken from two weeks too late."""
    settings = small_settings(tmp_path, **BRIEF)
    lake, cutoff = lottery(world_home / "world", tmp_path, skewed=True)
    asked = asked_after(lake, cutoff, cutoff + timedelta(days=14), settings)
    for name in ("popular_creators_7d", "popular_creators_28d", "popular_adopters_7d"):
        errors = off_chance(figures([PLAIN[name](asked)], [asked]), chance([asked]))
        assert min(errors.values()) > 4, (name, errors)


def asked_after(lake: Lake, cutoff: datetime, market_of: datetime, settings: configs.Settings) -> Panel:
    """The queries of a cut-off, the trends' columns as of an instant that should be the same."""
    labels = adoptions(known_by(lake, cutoff + timedelta(days=14), settings), cutoff, 14)
    honest = moment_of(lake, cutoff, settings)
    asked = panel_of(honest, labels, 1.0, 10**7, 0)
    assert asked is not None
    if market_of == cutoff:
        return asked
    later = moment_of(lake, market_of, settings).market
    numeric = honest.market.numeric.copy()
    for row, key in enumerate(honest.market.keys):
        numeric[row] = later.numeric[later.row_of[key]] if key in later.row_of else 0
    leaked = replace(honest.market, numeric=numeric)
    inputs = asked.inputs.copy()
    inputs[:, :, -len(TREND_INPUTS) :] = trend_inputs(leaked)
    return replace(asked, market=leaked, inputs=inputs)


def lottery(world: Path, home: Path, skewed: bool) -> tuple[Lake, datetime]:
    """A lake of the world up to two weeks before its end, and that instant; later posts' hashtags are drawn by lot."""
    draw = np.random.default_rng(0)
    videos = pd.read_parquet(world / "videos.parquet")
    cutoff = videos["create_time"].max() - pd.Timedelta(days=14)
    later = (videos["create_time"] > cutoff).to_numpy()
    tags = np.unique(np.concatenate(videos.loc[~later, "hashtag_names"].tolist()))
    odds = draw.permutation(1 / np.arange(1, len(tags) + 1)) if skewed else np.ones(len(tags))
    drawn = {i: draw.choice(tags, 3, replace=False, p=odds / odds.sum()).tolist() for i in videos["id"].unique()}
    videos["hashtag_names"] = [
        drawn[i] if after else list(old)
        for i, old, after in zip(videos["id"], videos["hashtag_names"], later, strict=True)
    ]
    videos.loc[later, ["music_id", "music_title", "music_author"]] = None
    (home / "lottery").mkdir()
    videos.to_parquet(home / "lottery" / "videos.parquet", index=False)
    lake = Lake(home / "lake")
    assert ingest([home / "lottery"], lake, NOW, 50_000).quarantined == 0
    return lake, cutoff.to_pydatetime()


def test_true_labels_lift_the_ranker_above_chance(panels: list[Panel]) -> None:
    test = panels[4:]
    found = figures(score_panels(fit_ranker(panels[:4], options()).rank_panel, test), test)
    assert difference(found, drawn_by_lot(test), "ndcg", 300, 0, 0.95).low > 0.03


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
