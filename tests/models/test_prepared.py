from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import configs
from models.creator import Creator
from models.pairs import INPUTS, linear_inputs, proposals, trend_inputs
from models.panel import Panel
from models.prepared import CROSS, PreparedRanker, compiled_forest
from models.ranker import Ranker, fit_ranker

MANY = 10**6


@pytest.fixture(scope="module")
def ranker(panels: list[Panel]) -> Ranker:
    options = configs.load().ranker
    trees = {"least_queries": 50, "least_span_days": 7, "seeds": (0, 1)}
    trees["lightgbm"] = options.trees.lightgbm | {"n_estimators": 20, "num_leaves": 7, "min_data_in_leaf": 20}
    return fit_ranker(panels[:-1], options.model_copy(update={"trees": options.trees.model_copy(update=trees)}))


@pytest.fixture(scope="module")
def prepared(panels: list[Panel], ranker: Ranker) -> PreparedRanker:
    return PreparedRanker.of(ranker, panels[-1].market, compiled_forest(ranker), MANY)


def inputs_of(panel: Panel, creator: Creator) -> np.ndarray:
    market = panel.market
    scores = {name: table[0] for name, table in proposals(market, [creator]).items()}
    return linear_inputs(market, trend_inputs(market), creator, scores)


def somebody(panel: Panel) -> list[tuple[Creator, np.ndarray]]:
    """Creators of all sorts with what they may be recommended: known, blank, foreign, and newcomers with tags."""
    known = list(zip(panel.creators, panel.allowed, strict=True))[::3]
    everything = panel.market.recommendable
    tag = next(key for key in panel.market.keys if key.startswith("hashtag:")).removeprefix("hashtag:")
    blank = replace(panel.creators[0], trend_keys=(), words=())
    others = [blank, replace(blank, region="ZZ"), Creator.newcomer("x"), Creator.newcomer("y", "US", [tag])]
    return [*known, *((creator, everything) for creator in others)]


def test_it_picks_and_scores_what_the_reference_does(
    panels: list[Panel], ranker: Ranker, prepared: PreparedRanker
) -> None:
    panel = panels[-1]
    for creator, allowed in somebody(panel):
        inputs = inputs_of(panel, creator)
        wanted = ranker.best(panel.market, creator, inputs, allowed, ranker.shortlist)
        picked = prepared.pick(creator, allowed, ranker.shortlist)
        np.testing.assert_array_equal(picked.rows, wanted.rows)
        np.testing.assert_allclose(picked.stage_one, wanted.stage_one, atol=1e-9)
        features = prepared.features(creator, picked.rows, picked.cross)
        np.testing.assert_allclose(features, wanted.features, atol=1e-9)
        np.testing.assert_allclose(prepared.score(creator, picked), ranker.score(wanted, 1), atol=1e-9)
        np.testing.assert_allclose(picked.usual, inputs[panel.market.recommendable].mean(axis=0), atol=1e-9)


def test_nothing_allowed_picks_nothing(panels: list[Panel], prepared: PreparedRanker) -> None:
    creator = panels[-1].creators[0]
    picked = prepared.pick(creator, np.zeros(len(panels[-1].market), bool), 10)
    assert picked.rows.shape == (0,)
    assert picked.cross.shape == (0, len(CROSS))
    assert prepared.score(creator, picked).shape == (0,)


def test_without_compiled_trees_lightgbm_predicts(panels: list[Panel], prepared: PreparedRanker) -> None:
    panel, plain = panels[-1], replace(prepared, forest=None)
    for creator, allowed in somebody(panel)[:5]:
        picked = prepared.pick(creator, allowed, 50)
        np.testing.assert_allclose(plain.score(creator, picked), prepared.score(creator, picked), atol=1e-9)


def test_a_large_market_is_cut_to_what_matters(panels: list[Panel], ranker: Ranker, prepared: PreparedRanker) -> None:
    """A head of half the market, with what the creator's own words propose, still holds nearly the same best ten."""
    panel = panels[-1]
    cut = PreparedRanker.of(ranker, panel.market, compiled_forest(ranker), len(panel.market) // 2)
    shared = []
    for creator, allowed in somebody(panel):
        wanted, found = (p.pick(creator, allowed, 10).rows for p in (prepared, cut))
        shared.append(len(np.intersect1d(wanted, found)) / max(len(wanted), 1))
    assert np.mean(shared) > 0.9


def test_a_patched_market_scores_as_one_that_was_prepared_anew(panels: list[Panel], prepared: PreparedRanker) -> None:
    panel = panels[-1]
    rows = np.array([0, 3, 7])
    numeric = panel.market.numeric.copy()
    numeric[rows] = numeric[rows + 1]
    market = replace(panel.market, numeric=numeric)
    patched = prepared.patched(market, rows)
    anew = PreparedRanker.of(prepared.ranker, market, compiled_forest(prepared.ranker), MANY)
    for creator, allowed in somebody(panel)[:8]:
        one, other = patched.pick(creator, allowed, 100), anew.pick(creator, allowed, 100)
        np.testing.assert_array_equal(one.rows, other.rows)
        np.testing.assert_array_equal(patched.score(creator, one), anew.score(creator, other))
    assert len(prepared.pick(panel.creators[0], panel.allowed[0], 5).usual) == len(INPUTS)
