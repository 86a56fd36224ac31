from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import configs
from models.compiled.prepared import CROSS, PreparedRanker, compiled_forest
from models.creator import Creator, word_columns
from models.explain import Explainer, explain
from models.pairs import INPUTS, linear_inputs, proposals, query, trend_inputs
from models.panel import Panel
from models.ranker import Ranker, fit_ranker
from serving.bench.world import World


@pytest.fixture(scope="module")
def ranker(panels: list[Panel]) -> Ranker:
    options = configs.load().ranker
    trees = {"least_queries": 50, "least_span_days": 7, "seeds": (0, 1)}
    trees["lightgbm"] = options.trees.lightgbm | {"n_estimators": 20, "num_leaves": 7, "min_data_in_leaf": 20}
    return fit_ranker(panels[:-1], options.model_copy(update={"trees": options.trees.model_copy(update=trees)}))


@pytest.fixture(scope="module")
def prepared(panels: list[Panel], ranker: Ranker) -> PreparedRanker:
    return PreparedRanker.of(ranker, panels[-1].market, compiled_forest(ranker))


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
        wanted = ranker.best(query(panel.market, creator, inputs, allowed), ranker.shortlist)
        picked = prepared.pick(creator, allowed, ranker.shortlist)
        np.testing.assert_array_equal(picked.rows, wanted.rows)
        np.testing.assert_allclose(picked.stage_one, wanted.stage_one, atol=1e-9)
        features = prepared.features(creator, picked.rows, picked.cross)
        np.testing.assert_allclose(features, wanted.features, atol=1e-9)
        np.testing.assert_allclose(prepared.score(creator, picked), ranker.score(wanted, 1), atol=1e-9)
        np.testing.assert_allclose(picked.usual, inputs[panel.market.recommendable].mean(axis=0), atol=1e-9)


@pytest.mark.parametrize("most", [0, 1, 60, 100_000])
def test_one_loop_ranks_as_its_steps_do(panels: list[Panel], prepared: PreparedRanker, most: int) -> None:
    in_steps = replace(prepared, forest=None)
    for creator, allowed in somebody(panels[-1]):
        picked, ranked = prepared.pick(creator, allowed, most), prepared.rank(creator, allowed, most)
        raw = prepared.score(creator, picked)
        order = np.lexsort([picked.rows, -raw])
        np.testing.assert_array_equal(ranked.places, order)
        np.testing.assert_array_equal(ranked.rows, picked.rows[order])
        np.testing.assert_array_equal(ranked.raw, raw[order])
        np.testing.assert_array_equal(ranked.table, picked.cross)
        np.testing.assert_array_equal(ranked.usual, picked.usual)
        by_lightgbm = in_steps.rank(creator, allowed, most)
        np.testing.assert_allclose(np.sort(by_lightgbm.raw), np.sort(ranked.raw), atol=1e-9)


def test_a_creator_with_another_number_of_features_is_refused(panels: list[Panel], prepared: PreparedRanker) -> None:
    creator, allowed = somebody(panels[-1])[0]
    with pytest.raises(ValueError, match="the creator side has"):
        prepared.rank(replace(creator, profile=np.append(creator.profile, 0.0)), allowed, 10)


def test_a_change_of_no_row_costs_nothing(prepared: PreparedRanker) -> None:
    market = replace(prepared.market)
    same = prepared.patched(market, np.zeros(0, np.int64))
    assert same.market is market
    assert same.forest is prepared.forest and same.trends is prepared.trends


def test_what_is_told_in_one_call_is_what_the_steps_tell(
    panels: list[Panel], ranker: Ranker, prepared: PreparedRanker
) -> None:
    explainer, told = Explainer.of(ranker), 0
    for creator, allowed in somebody(panels[-1]):
        picked = prepared.pick(creator, allowed, 20)
        raw = prepared.score(creator, picked)
        at_once = explain(prepared, explainer, creator, picked.rows, picked.cross, picked.usual, raw, 3)
        by_lightgbm = replace(prepared, forest=None)
        in_steps = explain(by_lightgbm, explainer, creator, picked.rows, picked.cross, picked.usual, raw, 3)
        np.testing.assert_allclose(at_once.numbers, in_steps.numbers, rtol=0, atol=1.1e-4)
        np.testing.assert_array_equal(at_once.phrases, in_steps.phrases)
        np.testing.assert_allclose(at_once.values, in_steps.values, atol=1e-9)
        told += int((at_once.phrases >= 0).sum())
    assert told


def test_nothing_is_told_of_rows_that_are_not_of_the_market(
    panels: list[Panel], ranker: Ranker, prepared: PreparedRanker
) -> None:
    creator, allowed = somebody(panels[-1])[0]
    picked = prepared.pick(creator, allowed, 3)
    beyond = picked.rows + len(prepared.market)
    with pytest.raises(IndexError, match="rows must be"):
        explain(prepared, Explainer.of(ranker), creator, beyond, picked.cross, picked.usual, picked.stage_one, 3)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), trends=st.integers(2, 900), most=st.integers(0, 1_000))
def test_any_weights_on_any_market_pick_what_the_reference_does(seed: int, trends: int, most: int) -> None:
    chance, options = np.random.default_rng(seed), configs.load()
    world = World.of(trends, 4, seed, options.trends)
    market, known = world.market, world.creators
    market = replace(market, recommendable=market.recommendable & (chance.random(trends) < chance.random()))
    linear = Ranker(chance.normal(size=len(INPUTS)), (), 0.0, most)
    prepared, of_trends = PreparedRanker.of(linear, market, None), trend_inputs(market)
    used = market.keys[:3].tolist()
    blank = replace(known[0], trend_keys=())
    sorts = [*known, blank, replace(blank, words=(), region="ZZ"), Creator.newcomer("x").since(used, used, used)]
    for creator in sorts:
        allowed = chance.random(trends) < 0.9
        scores = {name: table[0] for name, table in proposals(market, [creator]).items()}
        inputs = linear_inputs(market, of_trends, creator, scores)
        wanted, picked = (
            linear.best(query(market, creator, inputs, allowed), most),
            prepared.pick(creator, allowed, most),
        )
        np.testing.assert_array_equal(picked.rows, wanted.rows)
        np.testing.assert_allclose(picked.stage_one, wanted.stage_one, atol=1e-9)
        features = prepared.features(creator, picked.rows, picked.cross)
        np.testing.assert_allclose(features, wanted.features, atol=1e-9)
        usual = inputs[market.recommendable].mean(axis=0) if market.recommendable.any() else np.zeros(len(INPUTS))
        np.testing.assert_allclose(picked.usual, usual, atol=1e-9)


def test_a_creators_words_are_looked_up_once_and_again_for_another_market(panels: list[Panel]) -> None:
    creator, (one, other) = panels[-1].creators[0], (panels[-1].market, panels[0].market)
    found = creator.words_of(one)
    assert creator.words_of(one) is found
    assert found.columns.tolist() == word_columns(creator, one)
    assert creator.words_of(other).columns.tolist() == word_columns(creator, other)
    assert pickle.loads(pickle.dumps(creator)).words_of(one).columns.tolist() == found.columns.tolist()
    assert "_known" not in vars(pickle.loads(pickle.dumps(creator)))


def test_threads_pick_at_once_without_getting_in_each_others_way(panels: list[Panel], prepared: PreparedRanker) -> None:
    everybody = somebody(panels[-1])
    alone = [prepared.pick(creator, allowed, 60) for creator, allowed in everybody]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda one: prepared.pick(one[0], one[1], 60), everybody * 5))
    for number, picked in enumerate(together):
        np.testing.assert_array_equal(picked.rows, alone[number % len(alone)].rows)
        np.testing.assert_array_equal(picked.cross, alone[number % len(alone)].cross)


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


def test_a_patched_market_scores_as_one_that_was_prepared_anew(panels: list[Panel], prepared: PreparedRanker) -> None:
    panel = panels[-1]
    rows = np.array([0, 3, 7])
    numeric = panel.market.numeric.copy()
    numeric[rows] = numeric[rows + 1]
    market = replace(panel.market, numeric=numeric)
    patched = prepared.patched(market, rows)
    anew = PreparedRanker.of(prepared.ranker, market, compiled_forest(prepared.ranker))
    for creator, allowed in somebody(panel)[:8]:
        one, other = patched.pick(creator, allowed, 100), anew.pick(creator, allowed, 100)
        np.testing.assert_array_equal(one.rows, other.rows)
        np.testing.assert_array_equal(patched.score(creator, one), anew.score(creator, other))
    assert len(prepared.pick(panel.creators[0], panel.allowed[0], 5).usual) == len(INPUTS)
