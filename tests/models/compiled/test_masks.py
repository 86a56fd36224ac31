from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.compiled.forest_dump import ZERO, UnsupportedForest
from models.compiled.masks import SIDES, CompiledForest, Side, texts_of
from models.errors import IncompatibleModel

FEATURES = 7
AROUND_ZERO = [0.0, -0.0, ZERO, -ZERO, np.nextafter(ZERO, 1), np.nextafter(-ZERO, -1), 1e-36, -1e-36, 5e-324, -5e-324]
FAR_OFF = [np.nan, np.inf, -np.inf, 1e300, -1e300, 1.7e308, -1.7e308]
HEADER = """tree
version=v4
num_class=1
num_tree_per_iteration=1
label_index=0
max_feature_idx={last}
objective=regression
feature_names={names}
feature_infos={infos}

"""


def grown(rng: np.random.Generator, leaves: int, thresholds: np.ndarray) -> str:
    """A random tree as LightGBM writes it: of any shape, with every kind of missing value."""
    if leaves == 1:
        return f"num_leaves=1\nnum_cat=0\nleaf_value={rng.normal():.17g}\nis_linear=0\nshrinkage=1\n"
    children = np.zeros((2, leaves - 1), int)
    parent = {0: (0, 0)}
    for split in range(leaves - 1):
        leaf = int(rng.integers(split + 1))
        if split:
            children[parent[leaf]] = split
        children[:, split] = ~leaf, ~(split + 1)
        parent |= {leaf: (0, split), split + 1: (1, split)}
    fields: dict[str, Any] = {
        "split_feature": rng.integers(0, FEATURES, leaves - 1),
        "threshold": [f"{value:.17g}" for value in rng.choice(thresholds, leaves - 1)],
        "decision_type": rng.choice([0, 2, 4, 6, 8, 10], leaves - 1),
        "left_child": children[0],
        "right_child": children[1],
        "leaf_value": [f"{value:.17g}" for value in rng.normal(size=leaves) * 10.0 ** rng.integers(-8, 8, leaves)],
    }
    lines = [f"{name}={' '.join(map(str, values))}" for name, values in fields.items()]
    return "\n".join([f"num_leaves={leaves}", "num_cat=0", *lines, "is_linear=0", "shrinkage=1", ""])


def random_text(rng: np.random.Generator, sizes: list[int], thresholds: np.ndarray) -> str:
    header = HEADER.format(
        last=FEATURES - 1,
        names=" ".join(f"f{i}" for i in range(FEATURES)),
        infos=" ".join(["[-1:1]"] * FEATURES),
    )
    trees = [f"Tree={number}\n{grown(rng, leaves, thresholds)}\n\n" for number, leaves in enumerate(sizes)]
    return header + "".join(trees) + "end of trees\n"


def assert_same(boosters: list[Any], values: np.ndarray, sides: list[Side], owner: int = 0) -> None:
    """The trends are the rows of `values`, each asked for twice; the creator side is that of one row for all."""
    forest = CompiledForest.of(boosters, sides)
    trend, creator, cross = (forest.columns(side) for side in SIDES)
    prepared = forest.prepare(values[:, trend])
    rows = np.concatenate([np.arange(len(values))[::-1], np.arange(len(values))])
    whole = values[rows]
    whole[:, creator] = values[owner, creator]
    wanted = np.mean([b.predict(whole, raw_score=True, num_threads=1) for b in boosters], axis=0)
    np.testing.assert_array_equal(prepared.score(values[owner, creator], rows, whole[:, cross]), wanted)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    most_leaves=st.sampled_from([1, 2, 5, 16, 17, 32, 33, 64, 65, 128, 200, 500]),
    trees=st.sampled_from([1, 2, 7, 33]),
    boosters=st.integers(1, 2),
    near_zero=st.booleans(),
)
def test_scores_equal_lightgbm_bit_for_bit(
    seed: int, most_leaves: int, trees: int, boosters: int, near_zero: bool
) -> None:
    rng = np.random.default_rng(seed)
    drawn = np.round(rng.normal(size=int(rng.integers(1, 60))), int(rng.integers(0, 17)))
    thresholds = np.concatenate([drawn, AROUND_ZERO, [1e300, -1e300]]) if near_zero else drawn
    texts = [random_text(rng, rng.integers(1, most_leaves + 1, trees).tolist(), thresholds) for _ in range(boosters)]
    pool = np.concatenate(
        [thresholds, np.nextafter(thresholds, np.inf), np.nextafter(thresholds, -np.inf), AROUND_ZERO, FAR_OFF]
    )
    values = rng.choice(np.concatenate([pool, rng.normal(size=len(pool))]), (int(rng.integers(1, 150)), FEATURES))
    sides = [SIDES[i] for i in rng.integers(0, 3, FEATURES)]
    assert_same([lightgbm.Booster(model_str=text) for text in texts], values, sides)


def examples(rows: int = 600, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Numbers with NaN, zeros and few distinct values; and what is to be learned from them."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, FEATURES))
    values[:, 1] = rng.integers(0, 4, rows)
    values[:, 2] = np.where(rng.random(rows) < 0.6, 0.0, values[:, 2])
    values[:, 3] = np.round(values[:, 3], 1)
    target = values[:, 0] * values[:, 1] + np.sin(3 * values[:, 2]) + values[:, 4] + rng.normal(size=rows) / 4
    values[rng.random(values.shape) < 0.1] = np.nan
    return values, target


def trained(rounds: int = 25, seed: int = 0, **parameters: Any) -> Any:
    values, target = examples(seed=seed)
    chosen = {"num_leaves": 15, "min_data_in_leaf": 3, "verbosity": -1, "num_threads": 1, "seed": seed} | parameters
    if chosen.get("objective") in ("binary", "lambdarank"):
        target = (target > 0.5).astype(float)
    group = [20] * (len(values) // 20) if chosen.get("objective") == "lambdarank" else None
    return lightgbm.train(chosen, lightgbm.Dataset(values, target, group=group, params=chosen), rounds)


SPLIT: list[Side] = ["trend", "creator", "cross", "trend", "cross", "creator", "trend"]


@pytest.mark.parametrize(
    "parameters",
    [
        {"objective": "lambdarank", "monotone_constraints": [1, 0, 0, -1, 1, 0, 0]},
        {"objective": "binary", "max_bin": 7},
        {"objective": "binary", "boosting": "dart"},
        {"use_missing": False, "num_leaves": 31},
        {"zero_as_missing": True, "num_leaves": 40},
        {"num_leaves": 200, "min_data_in_leaf": 1},
        {"num_leaves": 2},
        {"min_data_in_leaf": 10_000},
        {"boost_from_average": False, "bagging_fraction": 0.5, "bagging_freq": 1, "extra_trees": True},
    ],
    ids=lambda parameters: "-".join(f"{name}={value}" for name, value in parameters.items()),
)
def test_trained_forests_score_as_lightgbm_does(parameters: dict[str, Any]) -> None:
    boosters = [trained(seed=seed, **parameters) for seed in (1, 2)]
    assert_same(boosters, examples(200, seed=9)[0], SPLIT, owner=3)


def test_only_the_best_rounds_count_after_early_stopping() -> None:
    values, target = examples()
    data = lightgbm.Dataset(values[:400], target[:400])
    parameters = {"verbosity": -1, "num_threads": 1, "learning_rate": 0.5, "early_stopping_round": 5}
    valid = data.create_valid(values[400:], target[400:])
    booster = lightgbm.train(parameters, data, 80, valid_sets=[valid], keep_training_booster=True)
    assert booster.best_iteration < booster.num_trees()
    assert_same([booster], values[:100], SPLIT)


@pytest.mark.parametrize("side", SIDES)
def test_all_features_may_be_of_one_side(side: Side) -> None:
    assert_same([trained()], examples(100)[0], [side] * FEATURES)


def test_a_forest_without_trees_corrects_nothing() -> None:
    empty = random_text(np.random.default_rng(0), [], np.zeros(1))
    prepared = CompiledForest.of_texts([empty], SPLIT).prepare(np.zeros((3, 3)))
    assert prepared.score(np.zeros(2), np.arange(3), np.zeros((3, 2))).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("parameters", "categorical"),
    [
        ({"linear_tree": True}, []),
        ({"objective": "multiclass", "num_class": 3}, []),
        ({"boosting": "rf", "bagging_fraction": 0.5, "bagging_freq": 1}, []),
        ({"min_data_per_group": 1}, [1]),
    ],
    ids=["linear", "classes", "averaged", "categorical"],
)
def test_other_kinds_of_forests_are_refused(parameters: dict[str, Any], categorical: list[int]) -> None:
    values, target = examples()
    values, target = np.nan_to_num(values), np.clip(np.round(np.abs(target)), 0, 2)
    chosen = {"verbosity": -1, "num_threads": 1, **parameters}
    data = lightgbm.Dataset(values, target, categorical_feature=categorical)
    booster = lightgbm.train(chosen, data, 3)
    with pytest.raises(UnsupportedForest):
        CompiledForest.of([booster], SPLIT)


@pytest.mark.parametrize("text", ["", "tree\nversion=v4\nend of trees", "half of a text"])
def test_what_is_no_model_is_refused(text: str) -> None:
    with pytest.raises(UnsupportedForest):
        CompiledForest.of_texts([text], SPLIT)


def test_no_boosters_and_boosters_of_other_features_are_refused() -> None:
    one = random_text(np.random.default_rng(0), [2], np.ones(1))
    with pytest.raises(UnsupportedForest):
        CompiledForest.of_texts([], SPLIT)
    with pytest.raises(UnsupportedForest):
        CompiledForest.of_texts([one, one.replace("max_feature_idx=6", "max_feature_idx=7")], SPLIT)
    with pytest.raises(IncompatibleModel):
        CompiledForest.of_texts([one], SPLIT[1:])


def test_a_saved_forest_comes_back_with_the_same_scores(tmp_path: Path) -> None:
    boosters = [trained(seed=1), trained(seed=2)]
    forest = CompiledForest.of(boosters, SPLIT)
    forest.save(tmp_path / "forest.npz")
    for number, booster in enumerate(boosters):
        booster.save_model(tmp_path / f"{number}.txt")
    texts = [(tmp_path / f"{number}.txt").read_text() for number in range(2)]
    again = CompiledForest.load(tmp_path / "forest.npz", texts)
    values, rows = examples(100)[0], np.arange(100)
    trend, creator, cross = (forest.columns(side) for side in SIDES)
    scores = [f.prepare(values[:, trend]).score(values[0, creator], rows, values[:, cross]) for f in (forest, again)]
    np.testing.assert_array_equal(*scores)


def test_reading_a_model_back_does_not_change_its_checksum() -> None:
    booster = trained(5)
    again = lightgbm.Booster(model_str=booster.model_to_string())
    assert CompiledForest.of([again], SPLIT).trees.checksum == CompiledForest.of([booster], SPLIT).trees.checksum


def test_a_saved_forest_of_other_trees_is_refused(tmp_path: Path) -> None:
    CompiledForest.of([trained(5)], SPLIT).save(tmp_path / "forest.npz")
    with pytest.raises(IncompatibleModel, match="other trees"):
        CompiledForest.load(tmp_path / "forest.npz", texts_of([trained(6)]))


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 half of an archive"])
def test_a_broken_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "forest.npz").write_bytes(content)
    with pytest.raises(IncompatibleModel, match="no compiled forest"):
        CompiledForest.load(tmp_path / "forest.npz", texts_of([trained(2)]))


def test_rows_of_another_snapshot_and_wrong_shapes_are_refused() -> None:
    prepared = CompiledForest.of([trained(3)], SPLIT).prepare(np.zeros((4, 3)))
    for row in (-1, 4):
        with pytest.raises(IndexError, match="0 to 3"):
            prepared.score(np.zeros(2), np.array([0, row]), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="creator"):
        prepared.score(np.zeros(3), np.zeros(1, int), np.zeros((1, 2)))
    with pytest.raises(ValueError, match="cross"):
        prepared.score(np.zeros(2), np.zeros(1, int), np.zeros((1, 3)))
    with pytest.raises(ValueError, match="scores"):
        prepared.score(np.zeros(2), np.zeros(2, int), np.zeros((2, 2)), np.zeros(2, np.float32))


def test_any_layout_of_the_inputs_gives_the_same_scores_in_the_array_that_was_asked_for() -> None:
    values = examples(90)[0]
    forest = CompiledForest.of([trained()], SPLIT)
    trend, creator, cross = (forest.columns(side) for side in SIDES)
    prepared = forest.prepare(np.asfortranarray(values[:, trend]))
    rows, out = np.arange(90), np.empty(90)
    plain = prepared.score(values[0, creator], rows, values[:, cross])
    odd = prepared.score(values[0][creator][::1], rows.astype(np.int32), np.asfortranarray(values[:, cross]), out)
    assert odd is out
    np.testing.assert_array_equal(out, plain)
    assert len(prepared.score(values[0, creator], rows[:0], values[:0, cross])) == 0


def test_threads_share_a_prepared_forest_that_nobody_can_change() -> None:
    values = examples(400)[0]
    forest = CompiledForest.of([trained(num_leaves=31)], SPLIT)
    trend, creator, cross = (forest.columns(side) for side in SIDES)
    prepared, rows = forest.prepare(values[:, trend]), np.arange(400)

    def scored(owner: int) -> np.ndarray:
        return prepared.score(values[owner, creator], rows, values[:, cross])

    alone = [scored(owner) for owner in range(40)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(scored, range(40)))
    np.testing.assert_array_equal(alone, together)
    with pytest.raises(ValueError, match="read-only"):
        prepared.masks[0, 0] = 0


def test_importing_the_evaluator_compiles_nothing() -> None:
    script = "import sys, models.compiled.masks; sys.exit('numba' in sys.modules or 'lightgbm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[3], check=False).returncode == 0


def test_the_kernels_work_where_nothing_can_be_written(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    shutil.copytree(root / "models", tmp_path / "models", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "models" / "compiled" / "__pycache__").touch()  # a file, so that there can be no such folder
    nowhere = {"HOME": os.devnull, "XDG_CACHE_HOME": os.devnull, "NUMBA_CACHE_DIR": f"{os.devnull}/none"}
    environment = os.environ | nowhere | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{root}"}
    script = """
import numpy as np, models.compiled.choice_kernels as kernels
print(kernels.__file__)
kernels.choose(np.zeros(3), 2, np.empty(3), np.empty(3, np.int64))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path))
