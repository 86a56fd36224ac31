"""Candidates by a mean of generators, what a ranker is told of them, and trees that start from a first stage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import scipy.sparse as sp

from models.forest import Examples, Forest, fit_forest
from models.generators.blend import LEAST, Blend, best, places, shares
from models.generators.forms import ItemToItem

RNG = np.random.default_rng(5)
ITEMS = 30
TREES = {"n_estimators": 20, "num_leaves": 4, "learning_rate": 0.2, "min_data_in_leaf": 20, "num_threads": 1}


@dataclass(frozen=True)
class Case:
    """A blend of two of three generators and some histories."""

    blend: Blend
    used: sp.csr_matrix

    def share(self, name: str) -> np.ndarray:
        return shares(self.blend.generators[name].scores(self.used))


@pytest.fixture(scope="module")
def case() -> Case:
    generators = {name: ItemToItem(sp.random(ITEMS, ITEMS, 0.4, "csr", random_state=7)) for name in ("a", "b", "c")}
    used = sp.csr_matrix((RNG.random((40, ITEMS)) < 0.15).astype(float))
    return Case(Blend(generators, {"a": 1.0, "b": 0.25}), used)


def test_candidates_are_the_best_by_the_mean_share_and_what_was_seen_is_not_allowed(case: Case) -> None:
    mean = np.where(case.used.toarray() > 0, -1, case.share("a") + 0.25 * case.share("b"))
    found = case.blend.candidates(case.used, case.used, ITEMS)
    np.testing.assert_array_equal(np.take_along_axis(mean, found.items, axis=1), np.sort(mean, axis=1)[:, ::-1])
    np.testing.assert_array_equal(found.table.allowed, np.take_along_axis(mean, found.items, axis=1) >= 0)


def test_a_ranker_is_told_the_logarithm_of_each_share_with_one_name_a_column(case: Case) -> None:
    found, schema = case.blend.candidates(case.used, case.used, 10), case.blend.schema
    assert schema.inputs == ("blend", "a", "b", "c") and found.table.inputs.shape == (40, 10, 4)
    shared = np.take_along_axis(case.share("c"), found.items, axis=1)
    np.testing.assert_allclose(found.table.inputs[:, :, 3], np.log(shared + LEAST), rtol=1e-5)
    query = found.table.query(0)
    assert query.features(query.inputs[:, 0], np.arange(10)).shape == (10, len(schema.features))
    np.testing.assert_array_equal(found.table.others[0, :, 0], np.full(10, np.log1p(case.used[0].nnz), np.float32))
    assert sorted(found.table.others[0, :, 1]) == list(range(1, 11))


def test_a_history_gets_the_same_candidates_alone_and_among_others(case: Case) -> None:
    together = case.blend.candidates(case.used, case.used, 10)
    for row in range(5):
        alone = case.blend.candidates(case.used[row], case.used[row], 10)
        np.testing.assert_array_equal(alone.table.inputs[0], together.table.inputs[row])
        np.testing.assert_array_equal(alone.items[0], together.items[row])


def test_best_and_places_break_ties_by_column() -> None:
    assert best(np.array([[1.0, 3, 3, 2]]), 3).tolist() == [[1, 2, 3]]
    assert best(np.array([[1.0, 2]]), 5).tolist() == [[1, 0]]
    assert places(np.array([[1.0, 3, 3, 2]])).tolist() == [[4, 1, 2, 3]]


def examples(queries: int = 120, size: int = 10) -> Examples:
    """The second feature says what is wanted; the first stage knows nothing."""
    features = RNG.random((queries * size, 2))
    table = features[:, 1].reshape(queries, size)
    grades = (table == table.max(axis=1, keepdims=True)).astype(int).ravel()
    return Examples(features, grades, np.zeros(queries * size), np.full(queries, size))


def test_trees_learn_what_the_first_stage_lacks_and_obey_the_directions() -> None:
    made = examples()
    forest = fit_forest(made, ("noise", "signal"), TREES | {"monotone_constraints": [0, 1]}, (0, 1))
    assert len(forest.boosters) == 2
    right = forest.correction(made.features, 1).reshape(-1, 10).argmax(axis=1) == made.grades.reshape(-1, 10).argmax(
        axis=1
    )
    assert right.mean() > 0.5
    ladder = np.column_stack([np.full(50, 0.5), np.linspace(0, 1, 50)])
    assert (np.diff(forest.correction(ladder, 1)) >= 0).all()


def test_a_forest_is_the_mean_of_its_seeds_and_the_same_each_time() -> None:
    made = examples()
    each = [fit_forest(made, ("x", "y"), TREES, (seed,)).correction(made.features, 1) for seed in (0, 1)]
    both = fit_forest(made, ("x", "y"), TREES, (0, 1)).correction(made.features, 1)
    np.testing.assert_allclose(both, np.mean(each, axis=0))


def test_no_trees_correct_nothing() -> None:
    assert Forest().correction(np.ones((3, 2))).tolist() == [0, 0, 0]


def test_joined_examples_keep_queries_in_order() -> None:
    first, second = examples(3), examples(4)
    both = Examples.joined([first, second])
    assert both.sizes.tolist() == [10] * 7
    np.testing.assert_array_equal(both.features[:30], first.features)
    np.testing.assert_array_equal(both.grades[30:], second.grades)
