"""What the ranker of strategies is told, and that it starts as the rule and never ranks a greater lift lower."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.creators import creator_features
from features.evidence.lifts import Measure
from features.evidence.posts import Posts
from features.lake import Lake
from features.materialize import known_by, latest_instant
from models.interactions import Floats
from models.queries import Table
from models.ranker import Ranker
from models.strategies.kinds import FIT_WEIGHT, PRIOR_LIFT, fit, read_kinds, shrunk_lift
from models.strategies.practice import COLUMNS, LEAST_BEFORE, WAYS, Counts, Practice, take_up
from models.strategies.queries import PACE, RULE, STRATEGIES, StrategyScorer, fit_strategies, inputs_of, the_rule
from tests.worlds import small_settings

KINDS = read_kinds()


@pytest.fixture(scope="module")
def practice(world_home: Path) -> Practice:
    return practice_at(world_home, 0)


@pytest.fixture(scope="module")
def learned(world_home: Path) -> Ranker:
    """Learned from creators who take up what has the least lift: the worst that can be taught."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(400, len(KINDS), len(STRATEGIES.inputs))).astype(np.float32)
    inputs[..., 0] *= PRIOR_LIFT
    worst = inputs[..., 0].argsort(axis=1).argsort(axis=1) < 3
    pace = rng.normal(size=(400, len(PACE)))
    others = np.repeat(pace[:, None].astype(np.float32), len(KINDS), axis=1)
    table = Table(inputs, others, np.ones(worst.shape, bool), worst.astype(np.int8), pace)
    return fit_strategies([table], small_settings(world_home).strategy.ranker)


def practice_at(home: Path, days_before: int) -> Practice:
    lake = Lake(home / "lake")
    history = known_by(lake, latest_instant(lake) - timedelta(days=days_before), small_settings(home))
    return Practice.of(Posts(history), creator_features(history), 14)


def columns_of(practice: Practice, *names: str) -> Floats:
    rows = practice.rows_of(np.array(names))
    nobody = np.zeros((len(names), practice.centres.shape[1])), np.full(len(names), np.nan)
    return practice.columns(rows, *nobody, np.array([""] * len(names)))


def measured(lift: float, error: float = 0.02) -> Measure:
    return Measure("x", 100, 100, 20, lift, lift - 1.2816 * error, lift + 1.2816 * error)


@given(
    lifts=st.lists(st.floats(-0.5, 0.5), min_size=len(WAYS), max_size=len(WAYS)),
    followers=st.floats(0, 1e6),
    sounds=st.integers(0, 9),
)
@settings(max_examples=25, deadline=None)
def test_with_prior_weights_scores_are_those_of_the_rule(
    practice: Practice, lifts: list[float], followers: float, sounds: int
) -> None:
    measures = {way: measured(lift) for way, lift in zip(WAYS, lifts, strict=True)}
    own, told = {"followers": followers}, {"slate_sounds": float(sounds)}
    inputs = inputs_of(KINDS, measures, {}, own, told, columns_of(practice, "nobody"))[0]
    rule = [
        shrunk_lift(measures.get(kind.evidence)) + FIT_WEIGHT * (fit(kind, own | told) if kind.fits else 0.5)
        for kind in KINDS
    ]
    np.testing.assert_allclose(StrategyScorer.of(the_rule()).score(inputs, np.zeros(len(PACE))), rule, atol=1e-9)


@given(seed=st.integers(0, 1000), at=st.integers(0, len(KINDS) - 1), more=st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_no_strategy_falls_when_its_measured_lift_rises(learned: Ranker, seed: int, at: int, more: float) -> None:
    assert learned.boosters
    rng, scorer = np.random.default_rng(seed), StrategyScorer.of(learned)
    inputs, pace = rng.normal(size=(len(KINDS), len(STRATEGIES.inputs))), rng.normal(size=len(PACE))
    better = inputs.copy()
    better[at, 0] += more
    before, after = scorer.score(inputs, pace), scorer.score(better, pace)
    assert (before < before[at]).sum() <= (after < after[at]).sum()
    assert learned.named_weights()["lift"] >= RULE["lift"]


def test_compiled_trees_say_what_lightgbm_says(learned: Ranker) -> None:
    rng, scorer = np.random.default_rng(1), StrategyScorer.of(learned)
    inputs, pace = rng.normal(size=(len(KINDS), len(STRATEGIES.inputs))), rng.normal(size=len(PACE))
    assert scorer.forest is not None
    np.testing.assert_allclose(scorer.score(inputs, pace), replace(scorer, forest=None).score(inputs, pace), atol=1e-9)


def test_nothing_is_taken_up_by_going_on_as_before_and_the_first_time_counts() -> None:
    before, posts = np.array([[10, 0, 10], [0, 0, 0]]), np.array([20, LEAST_BEFORE - 1])
    after = np.array([[5, 1, 10], [1, 1, 1]])
    taken = take_up(Counts(posts, before), Counts(np.array([10, 3]), after))
    assert taken.tolist() == [[False, True, True], [False, False, False]]


def test_who_posts_how_is_kept_as_it_was_known(world_home: Path, tmp_path: Path, practice: Practice) -> None:
    earlier = practice_at(world_home, 21)
    assert earlier.posts.sum() < practice.posts.sum()
    earlier.publish(tmp_path / "practice.npz")
    again = Practice.load(tmp_path / "practice.npz")
    assert again is not None
    for name in Practice.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(again, name), getattr(earlier, name))
    assert Practice.load(tmp_path / "absent.npz") is None


@pytest.mark.parametrize("body", [b"", b"PK\x03\x04 half a file", b"no arrays"])
def test_who_posts_how_is_unknown_where_the_file_cannot_be_read(body: bytes, tmp_path: Path) -> None:
    (tmp_path / "practice.npz").write_bytes(body)
    assert Practice.load(tmp_path / "practice.npz") is None


def test_a_creator_nobody_knows_is_told_of_as_everybody(practice: Practice) -> None:
    columns = columns_of(practice, "nobody", str(practice.creators[0]))
    own = [COLUMNS.index(name) for name in ("own", "own_28d", "taste_peers", "region_peers")]
    assert columns.shape == (2, len(WAYS), len(COLUMNS))
    np.testing.assert_allclose(columns[0][:, own], 0, atol=1e-12)
    assert columns[1][:, own[0]].any() and np.isfinite(columns).all()
