from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import pytest

from models.compiled.contributions import Nodes, Ways
from models.compiled.masks import SIDES, CompiledForest, texts_of
from tests.models.compiled.test_masks import FEATURES, SPLIT, examples, trained


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"num_leaves": 60, "min_data_in_leaf": 1},
        {"num_leaves": 2},
        {"zero_as_missing": True},
        {"use_missing": False},
    ],
    ids=str,
)
def test_the_ways_to_the_leaves_add_what_walking_down_the_trees_does(parameters: dict[str, Any]) -> None:
    boosters = [trained(seed=seed, **parameters) for seed in (1, 2)]
    forest, nodes = CompiledForest.of(boosters, SPLIT), Nodes.of_texts(texts_of(boosters))
    values, rows = examples(150, seed=4)[0], np.arange(150)
    trend, creator, cross = (forest.columns(side) for side in SIDES)
    values[:, creator] = values[7, creator]
    leaves = forest.prepare(values[:, trend]).leaves(values[7, creator], rows, values[:, cross])
    assert leaves is not None
    added = Ways.of(nodes, FEATURES).contributions(leaves, 0.5)
    np.testing.assert_allclose(added, nodes.contributions(values, 0.5), rtol=0, atol=1e-5)  # kept in single precision


def test_a_way_that_looks_at_many_features_goes_on_line_by_line() -> None:
    random = np.random.default_rng(6)
    values, way = random.normal(size=(4000, 24)), np.arange(24)
    # Features count for less and less, and only where all before them were high: one deep branch.
    target = np.where(np.cumprod(values > -1.0, axis=1), 1.0, 0.0) @ (1.0 / (1 + way))
    data = lightgbm.Dataset(values, target, params={"verbose": -1})
    parameters = {"num_leaves": 25, "max_depth": -1, "min_data_in_leaf": 5, "num_threads": 1, "verbose": -1}
    booster = lightgbm.train(parameters, data, 8)
    forest, nodes = CompiledForest.of([booster], ("cross",) * 24), Nodes.of_texts(texts_of([booster]))
    ways = Ways.of(nodes, 24)
    assert ways.lines > 1
    leaves = forest.prepare(np.zeros((60, 0))).leaves(np.zeros(0), np.arange(60), values[:60])
    assert leaves is not None
    np.testing.assert_allclose(
        ways.contributions(leaves, 1.0), nodes.contributions(values[:60], 1.0), rtol=0, atol=1e-5
    )


def test_every_tree_says_where_a_row_ends_as_lightgbm_does() -> None:
    booster = trained(30, num_leaves=31)
    forest = CompiledForest.of([booster], SPLIT)
    values = examples(70, seed=5)[0]
    trend, creator, cross = (forest.columns(side) for side in SIDES)
    values[:, creator] = values[0, creator]
    leaves = forest.prepare(values[:, trend]).leaves(values[0, creator], np.arange(70), values[:, cross])
    assert leaves is not None
    outputs = forest.values[np.arange(leaves.shape[1]), leaves]
    of_lightgbm = booster.predict(values, pred_leaf=True)
    wanted = [[booster.get_leaf_output(tree, int(leaf)) for tree, leaf in enumerate(row)] for row in of_lightgbm]
    np.testing.assert_array_equal(outputs, wanted)


def test_of_trees_that_fill_blocks_of_their_own_no_leaves_are_told_and_rows_must_be_of_the_snapshot() -> None:
    large = CompiledForest.of([trained(3, num_leaves=100, min_data_in_leaf=1)], SPLIT).prepare(np.zeros((4, 3)))
    assert large.leaves(np.zeros(2), np.arange(2), np.zeros((2, 2))) is None
    small = CompiledForest.of([trained(3)], SPLIT).prepare(np.zeros((4, 3)))
    with pytest.raises(IndexError, match="0 to 3"):
        small.leaves(np.zeros(2), np.array([0, 4]), np.zeros((2, 2)))
