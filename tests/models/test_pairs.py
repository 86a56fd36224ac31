from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from models.candidates import GENERATORS
from models.creator import CREATOR_COLUMNS, Creator
from models.pairs import (
    FEATURES,
    INPUTS,
    OFFSET,
    TREND_INPUTS,
    allowed,
    linear_inputs,
    proposals,
    region_share,
    tree_features,
    trend_inputs,
)
from models.panel import Panel, best_places


def test_one_creator_alone_gets_the_same_inputs_to_the_last_bit_as_among_many(panels: list[Panel]) -> None:
    panel = panels[-1]
    market, of_trends = panel.market, trend_inputs(panel.market)
    for i, creator in enumerate(panel.creators):
        scores = {name: of_all[0] for name, of_all in proposals(market, [creator]).items()}
        alone = linear_inputs(market, of_trends, creator, scores).astype(np.float32)
        assert alone.tobytes() == panel.inputs[i].tobytes()


def test_sounds_have_their_adopters_and_their_reach_once_more(panels: list[Panel]) -> None:
    market = panels[-1].market
    found = dict(zip(TREND_INPUTS, trend_inputs(market).T, strict=True))
    is_sound = market.column("is_sound") == 1
    assert is_sound.any() and not is_sound.all()
    for name in ("adopters", "reach"):
        assert np.ptp(found[name][is_sound]) > 0
        assert found[f"sound_{name}"].tolist() == np.where(is_sound, found[name], 0).tolist()


def test_every_input_is_a_number_even_for_a_newcomer(panels: list[Panel]) -> None:
    market = panels[-1].market
    for newcomer in (Creator.newcomer("x"), Creator.newcomer("x", "DE", ["#Dance", "", "#", "dance"])):
        scores = {name: of_all[0] for name, of_all in proposals(market, [newcomer]).items()}
        assert np.isfinite(linear_inputs(market, trend_inputs(market), newcomer, scores)).all()
        assert allowed(market, newcomer).sum() >= market.recommendable.sum() - 1
    assert newcomer.trend_keys == ("hashtag:dance",)
    assert np.linalg.norm(newcomer.taste) == pytest.approx(1)


def test_what_is_generic_or_used_already_is_not_allowed(panels: list[Panel]) -> None:
    panel = panels[-1]
    for creator, mask in zip(panel.creators, panel.allowed, strict=True):
        used = {panel.market.row_of[key] for key in creator.trend_keys if key in panel.market.row_of}
        expected = [bool(ok) and row not in used for row, ok in enumerate(panel.market.recommendable)]
        assert mask.tolist() == expected
        assert allowed(panel.market, creator).tolist() == expected


def test_a_generators_input_is_the_logarithm_of_its_share_of_its_best(panels: list[Panel]) -> None:
    market = panels[-1].market
    creator = panels[-1].creators[0]
    scores = {name: np.zeros(len(market)) for name in GENERATORS}
    best, half = np.flatnonzero(market.recommendable)[:2]
    scores["walk"][[best, half]] = [4.0, 2.0]
    inputs = linear_inputs(market, trend_inputs(market), creator, scores)[:, INPUTS.index("walk")]
    assert inputs[best] == pytest.approx(math.log(1 + OFFSET))
    assert inputs[half] == pytest.approx(math.log(0.5 + OFFSET))
    assert np.median(inputs) == pytest.approx(math.log(OFFSET))


def test_a_region_share_is_unknown_where_either_region_is(panels: list[Panel]) -> None:
    market = panels[-1].market
    assert np.isnan(region_share(market, "")).all() and np.isnan(region_share(market, "ZZ")).all()
    code = market.region_codes[0]
    shares = market.region_shares.copy()
    shares[0] = 0
    of_code = region_share(replace(market, region_shares=shares), code)
    assert np.isnan(of_code[0]) and of_code[1] == market.region_shares[1, 0]


def test_the_features_of_the_trees_are_named_rows_of_market_creator_and_pair(panels: list[Panel]) -> None:
    panel = panels[-1]
    market, creator = panel.market, panel.creators[0]
    stage_one = np.where(panel.allowed[0], np.arange(len(market), dtype=float), -np.inf)
    rows = best_places(stage_one[None], panel.allowed[:1], 7)[0]
    features = tree_features(market, creator, panel.inputs[0].astype(float), stage_one, rows)
    assert features.shape == (7, len(FEATURES)) and len(set(FEATURES)) == len(FEATURES)
    row = dict(zip(FEATURES, features[2], strict=True))
    assert row["uses_7d"] == market.column("uses_7d")[rows[2]]
    assert row["walk"] == panel.inputs[0, rows[2], INPUTS.index("walk")]
    assert [row[name] for name in CREATOR_COLUMNS] == pytest.approx(creator.profile.tolist(), nan_ok=True)
    assert features[:, FEATURES.index("stage_one_place")].tolist() == list(range(7))
    assert row["stage_one"] == stage_one[rows[2]] - stage_one[rows[0]]


def test_best_places_break_ties_by_row_and_leave_empty_what_nobody_may_fill() -> None:
    scores = np.array([[1.0, 3, 3, 2], [9, 9, 9, 9]])
    mask = np.array([[True, True, True, False], [False, False, True, False]])
    assert best_places(scores, mask, 3).tolist() == [[1, 2, 0], [2, -1, -1]]
    assert best_places(scores[:1], mask[:1], 6).tolist() == [[1, 2, 0, -1, -1, -1]]
