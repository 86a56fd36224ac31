from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import configs
from models.errors import IncompatibleModel
from models.metrics import expected_calibration_error
from models.pairs import FEATURES
from models.panel import Panel, best_places
from models.ranker import LEAST, Calibration, Ranker, fit_ranker
from training.evaluate import figures, score_panels
from training.judge import outcomes

FLOATS = st.floats(-20, 20)


def options(**trees: object) -> configs.RankerSettings:
    """Settings with trees on a hundred queries; anything of the trees can be said otherwise."""
    ranker = configs.load().ranker
    lightgbm = {**ranker.trees.lightgbm, "n_estimators": 10, "num_leaves": 7, "min_data_in_leaf": 20}
    changed = {"least_queries": 50, "least_span_days": 7, "seeds": (0, 1), "lightgbm": lightgbm} | trees
    return ranker.model_copy(update={"trees": ranker.trees.model_copy(update=changed)})


@pytest.fixture(scope="module")
def ranker(panels: list[Panel]) -> Ranker:
    return fit_ranker(panels[:-1], options())


def ndcg(ranker: Ranker, panels: list[Panel]) -> float:
    return figures(score_panels(ranker.rank_panel, panels), panels).mean("ndcg")


def test_it_overfits_one_small_batch(panels: list[Panel]) -> None:
    batch = [replace(panels[0], weight=1.0)]
    lightgbm = {"n_estimators": 150, "num_leaves": 31, "learning_rate": 0.2, "min_data_in_leaf": 1, "verbosity": -1}
    eager = options(least_queries=1, least_span_days=0, seeds=(0,), trust_queries=0, lightgbm=lightgbm)
    ranker = fit_ranker(batch, eager)
    assert ndcg(ranker, batch) > 0.95
    assert ndcg(ranker, batch) > ndcg(replace(ranker, boosters=()), batch) + 0.3


def test_training_twice_gives_the_same_model_bytes(panels: list[Panel], ranker: Ranker, tmp_path: Path) -> None:
    ranker.save(tmp_path / "a")
    fit_ranker(panels[:-1], options()).save(tmp_path / "b")
    for file in sorted((tmp_path / "a").iterdir()):
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes(), file.name


def test_a_saved_ranker_comes_back_with_the_same_scores(panels: list[Panel], ranker: Ranker, tmp_path: Path) -> None:
    ranker = ranker.with_calibration(Calibration(1.1, -2.5, (0.3, 0.1)))
    ranker.save(tmp_path / "ranker")
    again = Ranker.load(tmp_path / "ranker")
    assert again.calibration == ranker.calibration
    assert (again.trees, again.trust, again.shortlist) == (ranker.trees, ranker.trust, ranker.shortlist)
    assert again.rank_panel(panels[-1]).tobytes() == ranker.rank_panel(panels[-1]).tobytes()


def test_a_model_of_other_features_is_refused_and_says_which(ranker: Ranker, tmp_path: Path) -> None:
    ranker.save(tmp_path / "7")
    meta = json.loads((tmp_path / "7" / "ranker.json").read_text())
    meta["features"][-1] = "luck"
    (tmp_path / "7" / "ranker.json").write_text(json.dumps(meta))
    with pytest.raises(IncompatibleModel, match=rf"luck.*{FEATURES[-1]}.*train again"):
        Ranker.load(tmp_path / "7")


def test_trees_wait_for_enough_queries_over_enough_days(panels: list[Panel]) -> None:
    queries = sum(map(len, panels))
    assert fit_ranker(panels, options(least_queries=queries)).trees > 0
    assert fit_ranker(panels, options(least_queries=queries + 1)).trees == 0
    assert fit_ranker(panels, options(least_span_days=35)).trees > 0
    assert fit_ranker(panels, options(least_span_days=36)).trees == 0
    assert fit_ranker([], options(least_queries=0, least_span_days=0)).trees == 0


def test_ranking_a_panel_is_ranking_each_of_its_creators(panels: list[Panel], ranker: Ranker) -> None:
    panel = panels[-1]
    together = ranker.rank_panel(panel)
    for i in range(len(panel)):
        alone = ranker.best(panel.query(i), ranker.shortlist)
        assert together[i, alone.rows].tobytes() == ranker.score(alone).tobytes()
        assert (together[i, ~panel.allowed[i]] == -np.inf).all()
        unseen = panel.allowed[i].copy()
        unseen[alone.rows] = False
        assert (together[i, unseen] <= LEAST).all()


def test_what_the_trees_do_not_see_keeps_the_linear_order_below_what_they_see(
    panels: list[Panel], ranker: Ranker
) -> None:
    panel, short = panels[-1], replace(ranker, shortlist=10)
    scores = short.rank_panel(panel)
    linear = np.stack([short.linear(x.astype(float), a) for x, a in zip(panel.inputs, panel.allowed, strict=True)])
    n = int(panel.allowed.sum(axis=1).min())
    by_score, by_linear = best_places(scores, panel.allowed, n), best_places(linear, panel.allowed, n)
    assert (by_score[:, 10:] == by_linear[:, 10:]).all()
    assert (np.sort(by_score[:, :10]) == np.sort(by_linear[:, :10])).all()


def test_the_order_of_trees_and_rounds_is_kept_when_only_the_first_are_used(
    panels: list[Panel], ranker: Ranker
) -> None:
    assert ranker.first_rounds(0).trees == 0
    assert ranker.first_rounds(4).trees == 4 * len(ranker.boosters)
    all_of_them = ranker.first_rounds(10)
    assert all_of_them.rank_panel(panels[-1]) == pytest.approx(ranker.rank_panel(panels[-1]))


def test_no_trend_is_no_shortlist(panels: list[Panel], ranker: Ranker) -> None:
    panel = panels[-1]
    nothing = np.zeros(len(panel.market), bool)
    chosen = ranker.best(replace(panel.query(0), allowed=nothing), 20)
    assert len(chosen.rows) == 0 and len(ranker.score(chosen)) == 0


@given(st.lists(FLOATS, min_size=2, max_size=20), st.tuples(FLOATS, FLOATS))
@settings(max_examples=30, deadline=None)
def test_a_higher_score_is_never_less_probable(raw: list[float], terms: tuple[float, float]) -> None:
    calibration = Calibration(0.7, -3.0, (0.2, -0.1))
    said = calibration.probability(np.sort(raw), np.array(terms))
    assert ((said >= 0) & (said <= 1)).all() and (np.diff(said) >= 0).all()


def test_a_fitted_calibration_is_close_to_the_truth_and_never_falls_with_the_score() -> None:
    chance = np.random.default_rng(0)
    raw, terms = chance.normal(size=40_000), chance.normal(size=(40_000, 2))
    true = 1 / (1 + np.exp(-(1.5 * raw + terms @ [0.4, -0.2] - 2)))
    came = chance.random(40_000) < true
    fitted = Calibration.fit(raw, terms, came)
    assert fitted.probability(raw, terms) == pytest.approx(true, abs=0.03)
    assert Calibration.fit(-raw, terms, came).slope > 0
    assert Calibration.fit(raw, terms, np.zeros(40_000, bool)).probability(raw, terms).max() < 0.5


def test_probabilities_are_close_to_what_happens_in_the_week_after(
    panels: list[Panel], ranker: Ranker, world_home: Path
) -> None:
    from features.lake import Lake
    from tests.worlds import panels_of, small_settings

    before, after = (
        panels_of(Lake(world_home / "lake"), small_settings(world_home), [days], everybody=True) for days in (14, 7)
    )
    calibrated = ranker.with_calibration(Calibration.fit(*outcomes(ranker, before)))
    raw, terms, came = outcomes(ranker, after)
    said = calibrated.calibration.probability(raw, terms)
    assert came.mean() / 2 < said.mean() < came.mean() * 2
    assert expected_calibration_error(said, came) < 0.01
    assert said[came].mean() > 1.5 * said[~came].mean()
    assert after[0].cutoff - before[0].cutoff == timedelta(days=7)
