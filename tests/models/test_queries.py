"""A ranker of anything: a small schema, its tables, and the same class that ranks trends."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from configs import LinearSettings, StageSettings, TreeSettings
from models.errors import IncompatibleModel
from models.explain import Explainer
from models.queries import Table, stage_one_columns
from models.ranker import Calibration, Ranker, fit_ranker
from models.releases import load_checked, publish, write_release
from models.schema import Schema

PLANS = Schema.of_table("plans", ("lift", "doubt", "affinity"), ("fits",), ("lift", "affinity"), ("doubt",), ("posts",))
"""Ranks a few plans for a creator; a plan that does not fit is worth nothing, which only trees can tell."""

SIZE = 12
FIRST = datetime(2024, 3, 1, tzinfo=UTC)
LIGHTGBM = {"n_estimators": 30, "num_leaves": 4, "learning_rate": 0.2, "min_data_in_leaf": 20, "num_threads": 1}
SETTINGS = StageSettings(
    linear=LinearSettings(prior={"lift": 1.0}, ridge=1.0, trust_queries=10),
    trees=TreeSettings(
        shortlist=SIZE,
        least_queries=100,
        least_span_days=7,
        trust_queries=0,
        seeds=(0,),
        lightgbm=LIGHTGBM,
    ),
)


def table(queries: int, seed: int) -> Table:
    """Creators who take up the plan of the largest lift and affinity that fits them."""
    chance = np.random.default_rng(seed)
    inputs = chance.normal(size=(queries, SIZE, 3)).astype(np.float32)
    fits = (chance.random((queries, SIZE, 1)) < 0.5).astype(np.float32)
    allowed = chance.random((queries, SIZE)) < 0.9
    worth = np.where(allowed, inputs @ np.array([1.0, -0.5, 1.0]) + 5 * fits[:, :, 0], -np.inf)
    grades = (worth == worth.max(axis=1, keepdims=True)).astype(np.int8)
    return Table(inputs, fits, allowed, grades, np.ones((queries, 1)), FIRST + timedelta(days=7 * seed))


def hits(ranker: Ranker, asked: Table) -> float:
    return float((ranker.rank_panel(asked).argmax(axis=1) == asked.grades.argmax(axis=1)).mean())


@pytest.fixture(scope="module")
def ranker() -> Ranker:
    return fit_ranker([table(100, seed) for seed in range(3)], SETTINGS, PLANS)


def test_trees_learn_what_the_linear_stage_cannot_and_the_linear_stage_beats_its_prior(ranker: Ranker) -> None:
    asked = table(200, 9)
    linear, prior = replace(ranker, boosters=()), fit_ranker([], SETTINGS, PLANS)
    assert prior.named_weights() == {"lift": 1.0, "doubt": 0.0, "affinity": 0.0}
    assert hits(ranker, asked) > hits(linear, asked) + 0.2 > hits(prior, asked) + 0.2
    assert (ranker.rank_panel(asked)[~asked.allowed] == -np.inf).all()


def test_a_score_moves_with_a_feature_only_as_the_schema_lets_it(ranker: Ranker) -> None:
    rows = np.random.default_rng(0).normal(size=(200, len(PLANS.features)))
    for name, direction in zip(PLANS.features, PLANS.directions, strict=True):
        more = rows.copy()
        more[:, PLANS.features.index(name)] += 1
        assert (direction * (ranker.correction(more, 1) - ranker.correction(rows, 1)) >= 0).all()


def test_trees_wait_until_the_cutoffs_span_enough_days_and_undated_queries_span_none() -> None:
    undated = [replace(table(100, seed), cutoff=None) for seed in range(3)]
    assert fit_ranker(undated, SETTINGS, PLANS).trees == 0
    patient = SETTINGS.trees.model_copy(update={"least_span_days": 0})
    assert fit_ranker(undated, SETTINGS.model_copy(update={"trees": patient}), PLANS).trees > 0


def test_learning_from_the_head_of_each_shortlist_leaves_out_what_is_far_down_and_not_wanted() -> None:
    learned = SETTINGS.trees.model_copy(update={"learned": 4})
    head = fit_ranker([table(100, seed) for seed in range(3)], SETTINGS.model_copy(update={"trees": learned}), PLANS)
    assert head.trees > 0 and hits(head, table(200, 9)) > 0.3


def test_it_is_released_and_read_back_like_the_ranker_of_trends(ranker: Ranker, tmp_path: Path) -> None:
    calibrated = ranker.with_calibration(Calibration(1.2, -1.0, (0.1,)))
    asked = table(5, 9)
    chosen = calibrated.best(asked.query(0), SIZE)

    def fill(folder: Path) -> None:
        write_release(calibrated, chosen.features, folder)

    publish(tmp_path / "plans", "champion", "1", fill, PLANS)
    again = load_checked(tmp_path / "plans" / "1", PLANS)
    assert again.rank_panel(asked).tobytes() == calibrated.rank_panel(asked).tobytes()
    assert (again.calibration, again.schema) == (calibrated.calibration, PLANS)
    with pytest.raises(IncompatibleModel, match=r"affinity.*train again"):
        load_checked(tmp_path / "plans" / "1")


def test_its_scores_are_explained_like_those_of_trends(ranker: Ranker) -> None:
    asked = table(1, 9)
    chosen = ranker.best(asked.query(0), SIZE)
    usual = asked.inputs[0][asked.allowed[0]].astype(float).mean(axis=0)
    parts = Explainer.of(ranker).contributions(chosen.features, usual)
    assert parts.shape == chosen.features.shape
    assert np.ptp(parts.sum(axis=1) - ranker.score(chosen, 1)) == pytest.approx(0, abs=1e-6)


def test_what_the_linear_stage_says_is_its_distance_from_the_best_and_how_many_are_better() -> None:
    stage_one = np.array([1.0, 3.0, -np.inf, 3.0, -50.0])
    assert stage_one_columns(stage_one, np.array([1, 0, 4])).tolist() == [[0, 0], [-2, 2], [-30, 3]]
    nothing = np.full(3, -np.inf)
    assert stage_one_columns(nothing, np.array([0])).tolist() == [[-30, 0]]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"features": ("a", "a", "b")}, "not all different"),
        ({"features": ("a", "c", "b")}, "side by side"),
        ({"features": ("c",)}, "side by side"),
        ({"rising": frozenset({"luck"})}, "luck"),
        ({"falling": frozenset({"luck"})}, "luck"),
    ],
)
def test_names_that_do_not_fit_each_other_are_refused(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(Schema("x", ("a", "b"), ("c", "a", "b")), **wrong)  # type: ignore[arg-type]


def test_the_version_of_a_schema_tells_names_and_their_order_apart() -> None:
    one, other = Schema("x", ("a", "b"), ("a", "b", "c")), Schema("x", ("b", "a"), ("b", "a", "c"))
    assert one.version != other.version and one.version == replace(one, rising=frozenset({"c"})).version
