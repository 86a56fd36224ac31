from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.explain import Explained, Explainer, explained, reasons
from models.pairs import FEATURES, INPUTS
from models.panel import Panel
from models.ranker import Calibration, Ranker, Shortlisted, fit_ranker
from models.reasons import PHRASES
from tests.models.test_ranker import options


@pytest.fixture(scope="module")
def ranker(panels: list[Panel]) -> Ranker:
    return fit_ranker(panels[:-1], options())


def shortlist(ranker: Ranker, panel: Panel, query: int) -> Shortlisted:
    return ranker.best(panel.query(query), 30)


def usual(panel: Panel, query: int) -> np.ndarray:
    return np.asarray(panel.inputs[query][panel.allowed[query]].astype(float).mean(axis=0))


def test_contributions_add_up_to_the_differences_between_scores(panels: list[Panel], ranker: Ranker) -> None:
    panel = panels[-1]
    explainer = Explainer.of(ranker)
    assert ranker.trees > 0
    for query in range(0, len(panel), 5):
        chosen = shortlist(ranker, panel, query)
        added = explainer.contributions(chosen.features, usual(panel, query)).sum(axis=1)
        scores = ranker.score(chosen)
        assert np.diff(added) == pytest.approx(np.diff(scores), abs=1e-9)


def test_the_linear_part_is_the_weighted_distance_from_a_usual_candidate(panels: list[Panel], ranker: Ranker) -> None:
    panel = panels[-1]
    linear = ranker.first_rounds(0)
    chosen = shortlist(linear, panel, 0)
    contributions = Explainer.of(linear).contributions(chosen.features, usual(panel, 0))
    scores = panel.inputs[0, chosen.rows] @ linear.weights
    assert contributions.sum(axis=1) == pytest.approx(scores - usual(panel, 0) @ linear.weights)
    at = FEATURES.index("adopters")
    expected = (chosen.features[:, at] - usual(panel, 0)[INPUTS.index("adopters")]) * linear.named_weights()["adopters"]
    assert contributions[:, at] == pytest.approx(expected)


def test_a_tree_gives_a_feature_what_its_splits_change(panels: list[Panel], ranker: Ranker) -> None:
    unused = [FEATURES.index(name) for name, gain in ranker.importance().items() if gain == 0 and name not in INPUTS]
    chosen = shortlist(ranker, panels[-1], 0)
    contributions = Explainer.of(ranker).contributions(chosen.features, usual(panels[-1], 0))
    assert unused and not contributions[:, unused].any()


def explained_of(values: np.ndarray, contributions: np.ndarray, most: int = 9) -> Explained:
    raw = np.linspace(-2, 2, len(values))
    return explained(values, contributions, raw, Calibration(0.5, -1.0, (0.1, 0.2)), np.array([1.0, 2.0]), most)


def test_fit_is_the_creators_side_and_heat_the_trends() -> None:
    contributions = np.zeros((3, len(FEATURES)))
    contributions[1, FEATURES.index("walk")] = 2.0
    contributions[2, FEATURES.index("uses_7d")] = 2.0
    contributions[:, FEATURES.index("stage_one")] = 5.0
    _, fit, heat = explained_of(np.zeros(contributions.shape), contributions).numbers.T
    high = round(1 / (1 + np.exp(-2)), 4)
    assert fit.tolist() == [0.5, high, 0.5]
    assert heat.tolist() == [0.5, 0.5, high]


def test_the_probability_that_is_told_is_the_calibrated_one() -> None:
    nothing = np.zeros((9, len(FEATURES)))
    told = explained_of(nothing, nothing).numbers[:, 0]
    expected = Calibration(0.5, -1.0, (0.1, 0.2)).probability(np.linspace(-2, 2, 9), np.array([1.0, 2.0]))
    assert told.tolist() == np.round(expected, 6).tolist()


def plainly(values: np.ndarray, contributions: np.ndarray, most: int) -> list[str]:
    """The reasons of one row, phrase by phrase."""
    found = []
    for phrase in PHRASES:
        x = values[FEATURES.index(phrase.reads)]
        strongest = max(contributions[FEATURES.index(name)] for name in phrase.features)
        if strongest > 0 and phrase.above < x < phrase.below:
            found.append((-strongest, phrase.say(x)))
    return [sentence for _, sentence in sorted(found, key=lambda one: one[0])[:most]]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), most=st.integers(0, 6))
def test_the_compiled_loop_finds_the_phrases_that_speak_for_a_row(seed: int, most: int) -> None:
    chance = np.random.default_rng(seed)
    values, contributions = chance.normal(0, 3, (2, 7, len(FEATURES)))
    values[chance.random(values.shape) < 0.2] = np.nan
    told = reasons(explained_of(values, contributions, most))
    assert told == [plainly(*row, most) for row in zip(values, contributions, strict=True)]


def told(most: int = 9, **both: tuple[float, float]) -> list[str]:
    """Reasons for a row of NaN but for feature=(value, contribution)."""
    values, contributions = np.full(len(FEATURES), np.nan), np.zeros(len(FEATURES))
    for name, (value, contribution) in both.items():
        values[FEATURES.index(name)], contributions[FEATURES.index(name)] = value, contribution
    return reasons(explained_of(values[None], contributions[None], most))[0]


def test_a_stranger_is_told_nothing_of_what_they_did() -> None:
    values, contributions = np.zeros((2, 1, len(FEATURES)))
    for name, value in (("neighbours", -0.1), ("sound_habit", 0.5), ("adopters_7d", 12.0)):
        values[0, FEATURES.index(name)], contributions[0, FEATURES.index(name)] = value, 1.0
    said = values, contributions, np.zeros(1), Calibration(0.5, -1.0, (0.1, 0.2)), np.array([1.0, 2.0]), 9
    calls = (explained(*said, is_stranger) for is_stranger in (False, True))
    known, stranger = (reasons(told)[0] for told in calls)
    assert [text for text in known if "you" in text]
    assert stranger == ["12 creators used it for the first time in the last 7 days"]


def test_reasons_carry_the_numbers_and_the_strongest_comes_first() -> None:
    sentences = told(uses_7d=(41, 0.2), adopters_7d=(12, 0.5), region_share=(0.62, 0.3))
    assert sentences == [
        "12 creators used it for the first time in the last 7 days",
        "62% of its posts come from your region",
        "41 posts used it in the last 7 days",
    ]
    assert told(1, uses_7d=(41, 0.2), adopters_7d=(12, 0.5)) == sentences[:1]


def test_what_speaks_against_an_item_or_adds_nothing_is_no_reason() -> None:
    assert told(uses_7d=(41, -0.2), adopters_7d=(12, 0.0)) == []


def test_reasons_never_say_what_the_numbers_do_not() -> None:
    assert told(uses_7d=(1, 1.0)) == []
    assert told(region_share=(0.1, 1.0)) == []
    assert told(region_share=(np.nan, 1.0), uses_7d=(3, 0.5)) == ["3 posts used it in the last 7 days"]
    assert told(velocity_7d=(-0.3, 1.0), market_growth_7d=(-0.1, 1.0), median_lift=(-1, 1.0)) == []
    assert told(age_days=(30, 1.0)) == [] and told(age_days=(5, 1.0)) == ["it is only 5 days old"]
    assert told(long_walk=(-3.9, 1.0), neighbours=(-3.9, 1.0), same_post=(-3.9, 1.0)) == []
    assert told(is_sound=(0.0, 1.0), sound_habit=(0.0, 1.0)) == []
    assert told(is_sound=(1.0, 1.0), sound_habit=(-0.5, 1.0)) == []


def test_unknown_numbers_are_no_reasons() -> None:
    everything = np.ones(len(FEATURES))
    assert reasons(explained_of(np.full((1, len(FEATURES)), np.nan), everything[None])) == [[]]


def test_a_family_speaks_once() -> None:
    assert len(told(uses_7d=(41, 0.5), uses_3d=(20, 0.4), uses_1d=(9, 0.3))) == 1


def test_every_reason_of_a_real_slate_is_true_of_its_market(panels: list[Panel], ranker: Ranker) -> None:
    panel, explainer = panels[-1], Explainer.of(ranker)
    said = 0
    for query in range(len(panel)):
        chosen = shortlist(ranker, panel, query)
        added = explainer.contributions(chosen.features, usual(panel, query))
        for row, sentences in zip(chosen.rows, reasons(explained_of(chosen.features, added, 3)), strict=True):
            for sentence in sentences:
                said += 1
                if sentence.endswith("posts used it in the last 7 days"):
                    assert int(sentence.split()[0]) == panel.market.column("uses_7d")[row]
                if sentence.endswith("first time in the last 7 days"):
                    assert int(sentence.split()[0]) == panel.market.column("adopters_7d")[row]
                if sentence.startswith("you often post with named sounds"):
                    assert panel.market.types[row] == "sound"
    assert said > 20
