from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from models.metrics import (
    bootstrap,
    coverage,
    expected_calibration_error,
    ndcg,
    paired_bootstrap,
    recall,
    reciprocal_rank,
)

SCORER = Path(__file__).parents[3] / "shared" / "tools" / "adoption_eval.py"


@pytest.fixture(scope="module")
def scorer() -> ModuleType:
    """The independent scorer beside the project."""
    if not SCORER.is_file():
        pytest.skip("the independent scorer is not beside the project")
    spec = importlib.util.spec_from_file_location("adoption_eval", SCORER)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_figures_equal_those_computed_by_hand() -> None:
    hits = np.array([[False, True, False, True], [True, False, False, False], [False] * 4])
    wanted = np.array([3, 1, 2])
    found = (1 / math.log2(3) + 1 / math.log2(5)) / (1 + 1 / math.log2(3) + 1 / math.log2(4))
    assert ndcg(hits, wanted).tolist() == pytest.approx([found, 1, 0])
    assert recall(hits, wanted).tolist() == pytest.approx([2 / 3, 1, 0])
    assert reciprocal_rank(hits).tolist() == [0.5, 1, 0]


def test_a_perfect_list_is_perfect_even_where_more_is_wanted_than_fits() -> None:
    assert ndcg(np.ones((1, 4), bool), np.array([9])).tolist() == pytest.approx([1])


def test_figures_agree_with_the_independent_scorer_to_four_decimals(scorer: ModuleType) -> None:
    chance = np.random.default_rng(3)
    creators, trends, k = 60, 80, scorer.K
    truth = {c: set(chance.choice(trends, chance.integers(1, 30), replace=False).tolist()) for c in range(creators)}
    lists = {c: chance.permutation(trends)[: chance.integers(1, k + 1)].tolist() for c in range(creators)}
    theirs = scorer.score(truth, lists)
    hits = np.array([[t in truth[c] for t in lists[c]] + [False] * (k - len(lists[c])) for c in range(creators)])
    wanted = np.array([len(truth[c]) for c in range(creators)])
    assert theirs["queries"] == creators
    assert round(float(ndcg(hits, wanted).mean()), 4) == theirs["ndcg20"]
    assert round(float(recall(hits, wanted).mean()), 4) == theirs["recall20"]


def test_coverage_counts_each_listed_trend_once_and_no_empty_place() -> None:
    assert coverage(np.array([[0, 1, -1], [1, 2, -1]]), 6) == 0.5


def test_calibration_error_is_zero_for_true_probabilities_and_the_gap_for_wrong_ones() -> None:
    chance = np.random.default_rng(0)
    said = chance.random(100_000)
    came = chance.random(100_000) < said
    assert expected_calibration_error(said, came) < 0.01
    assert expected_calibration_error(np.full(1000, 0.9), np.zeros(1000, bool)) == pytest.approx(0.9)
    assert math.isnan(expected_calibration_error(np.zeros(0), np.zeros(0, bool)))


def test_the_bootstrap_interval_holds_the_mean_narrows_with_queries_and_is_seeded() -> None:
    chance = np.random.default_rng(0)
    few, many = chance.random(30), chance.random(3000)
    a, b = bootstrap(few, 500, seed=1), bootstrap(many, 500, seed=1)
    assert a.low < a.mean < a.high
    assert b.high - b.low < a.high - a.low
    assert a == bootstrap(few, 500, seed=1) != bootstrap(few, 500, seed=2)
    assert all(map(math.isnan, vars(bootstrap(np.zeros(0), 500, seed=1)).values()))


def test_the_bootstrap_interval_covers_the_truth_as_often_as_it_says() -> None:
    chance = np.random.default_rng(0)
    inside = 0
    for seed in range(200):
        found = bootstrap(chance.random(80), 200, seed, confidence=0.9)
        inside += found.low <= 0.5 <= found.high
    assert 0.82 <= inside / 200 <= 0.97


def test_a_paired_interval_sees_a_small_gain_that_unpaired_ones_would_not() -> None:
    chance = np.random.default_rng(0)
    champion = chance.random(200)
    challenger = champion + chance.normal(0.01, 0.02, 200)
    gain = paired_bootstrap(challenger, champion, 500, seed=0)
    assert gain.low > 0
    assert bootstrap(challenger, 500, 0).low < bootstrap(champion, 500, 0).high
