"""The micro-video benchmark on a small world of tastes: protocol, determinism, and files that do not fit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import configs
from configs import BenchmarkSettings
from models.ranker import Ranker
from training.benchmark import BenchmarkResult, benchmark_tiktok
from training.benchmark_data import UnusableBenchmark, histories, hold_out

USERS, ITEMS, TASTES = 240, 120, 8
COLD = ITEMS - 1
NEWCOMER = USERS - 1


@dataclass(frozen=True)
class Files:
    """Paths of one benchmark."""

    train: Path
    val: Path
    image: Path
    audio: Path


def world() -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray, np.ndarray]:
    """Users like items of one taste; the last item is cold and the last user has no rows."""
    rng = np.random.default_rng(7)
    taste = np.arange(ITEMS) % TASTES
    rows, held = [], []
    for user in range(USERS - 1):
        mine = rng.permutation(np.flatnonzero(taste[:COLD] == user % TASTES))[: rng.integers(3, 9)]
        rows += [(user, item) for item in mine[1:]]
        held.append((user, mine[0]))
    held.append((NEWCOMER, 0))
    centres = rng.normal(size=(TASTES, 12))
    image = centres[taste] + 0.3 * rng.normal(size=(ITEMS, 12))
    audio = np.hstack([centres[taste], centres[taste]])[:, :8] + 0.3 * rng.normal(size=(ITEMS, 8))
    columns = ["user", "item"]
    train, val = pd.DataFrame(rows, columns=columns), pd.DataFrame(held, columns=columns)
    return train.astype("int32"), val.astype("int32"), image.astype("float32"), audio.astype("float32")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("benchmark")
    train, val, image, audio = world()
    train.to_parquet(folder / "train.parquet", index=False)
    val.to_parquet(folder / "val.parquet", index=False)
    np.save(folder / "image.npy", image)
    np.save(folder / "audio.npy", audio)
    return Files(folder / "train.parquet", folder / "val.parquet", folder / "image.npy", folder / "audio.npy")


@pytest.fixture(scope="module")
def recipe() -> BenchmarkSettings:
    """The shipped recipe, with trees small enough for a small world."""
    shipped = configs.load().benchmark
    lightgbm = shipped.trees.lightgbm | {"n_estimators": 10, "min_data_in_leaf": 20}
    trees = shipped.trees.model_copy(update={"least_queries": 50, "seeds": (0, 1), "lightgbm": lightgbm})
    return shipped.model_copy(update={"trees": trees})


@pytest.fixture(scope="module")
def result(files: Files, recipe: BenchmarkSettings) -> BenchmarkResult:
    return benchmark_tiktok(files.train, files.val, files.image, files.audio, recipe)


def test_every_user_gets_twenty_distinct_unseen_items_ranked_1_to_20(files: Files, result: BenchmarkResult) -> None:
    frame = result.frame
    assert list(frame.columns) == ["user", "item", "rank"]
    assert sorted(frame["user"].unique()) == list(range(USERS))
    assert (frame.groupby("user")["rank"].apply(list).map(lambda ranks: ranks == list(range(1, 21)))).all()
    assert not frame.duplicated(["user", "item"]).any()
    assert frame["item"].between(0, ITEMS - 1).all()
    assert frame.merge(pd.read_parquet(files.train), on=["user", "item"]).empty


def test_lists_find_the_tastes_and_the_figures_agree_with_counting_hits(files: Files, result: BenchmarkResult) -> None:
    held = pd.read_parquet(files.val)
    hits = held.merge(result.frame, on=["user", "item"])["rank"]
    assert result.figures["recall20"] == pytest.approx(len(hits) / len(held))
    assert result.figures["ndcg20"] == pytest.approx((1 / np.log2(hits + 1)).sum() / len(held))
    assert result.figures["recall20"] > 2 * 20 / ITEMS
    assert result.figures["trees"] == result.ranker.trees
    assert 10 <= result.ranker.trees <= 20  # a booster stops where no split is left to make


def test_a_user_without_rows_gets_popular_items(files: Files, result: BenchmarkResult) -> None:
    degrees = pd.read_parquet(files.train)["item"].value_counts().reindex(range(ITEMS), fill_value=0)
    listed = result.frame.loc[result.frame["user"] == NEWCOMER, "item"]
    assert degrees[listed].mean() > degrees.mean()


def test_content_brings_an_item_nobody_used_onto_lists_and_rows_alone_do_not(
    files: Files, recipe: BenchmarkSettings, result: BenchmarkResult
) -> None:
    without = benchmark_tiktok(files.train, files.val, None, None, recipe).frame
    listed = result.frame.loc[result.frame["item"] == COLD, "user"]
    assert set(range(COLD % TASTES, NEWCOMER, TASTES)) <= set(listed)
    assert COLD not in set(without["item"])


def test_the_same_rows_in_another_order_give_the_same_lists(
    files: Files, recipe: BenchmarkSettings, result: BenchmarkResult, tmp_path: Path
) -> None:
    shuffled = tmp_path / "shuffled.parquet"
    pd.read_parquet(files.train).sample(frac=1, random_state=1).to_parquet(shuffled, index=False)
    again = benchmark_tiktok(shuffled, files.val, files.image, files.audio, recipe)
    pd.testing.assert_frame_equal(again.frame, result.frame)
    assert again.figures == result.figures


def test_lists_do_not_depend_on_what_is_held_out_in_val(
    files: Files, recipe: BenchmarkSettings, result: BenchmarkResult, tmp_path: Path
) -> None:
    other = tmp_path / "other.parquet"
    pd.DataFrame({"user": [NEWCOMER], "item": [COLD]}).to_parquet(other, index=False)
    again = benchmark_tiktok(files.train, other, files.image, files.audio, recipe)
    pd.testing.assert_frame_equal(again.frame, result.frame)


@pytest.mark.parametrize("given", ["image", "audio"])
def test_one_kind_of_vector_is_enough(files: Files, recipe: BenchmarkSettings, given: str) -> None:
    image, audio = (files.image, None) if given == "image" else (None, files.audio)
    frame = benchmark_tiktok(files.train, files.val, image, audio, recipe).frame
    assert len(frame) == 20 * USERS


def test_too_few_held_out_rows_leave_the_linear_stage_alone(files: Files, recipe: BenchmarkSettings) -> None:
    trees = recipe.trees.model_copy(update={"least_queries": 10**6})
    alone = recipe.model_copy(update={"trees": trees})
    figures = benchmark_tiktok(files.train, files.val, files.image, files.audio, alone).figures
    assert figures["trees"] == 0
    assert figures["recall20"] == figures["linear_recall20"]


def test_the_ranker_is_of_the_products_class_and_comes_back_with_the_same_trees(
    result: BenchmarkResult, tmp_path: Path
) -> None:
    result.ranker.save(tmp_path / "ranker")
    again = Ranker.load(tmp_path / "ranker", result.ranker.schema)
    rows = np.random.default_rng(0).normal(size=(20, len(again.schema.features)))
    assert again.correction(rows, 1).tolist() == result.ranker.correction(rows, 1).tolist()
    assert again.named_weights() == result.ranker.named_weights()


def bad_files(files: Files, folder: Path) -> dict[str, tuple[dict[str, Path], str]]:
    """What is wrong → the path to use instead, and words of the message."""
    table = pd.read_parquet(files.train)
    made = {name: folder / name for name in ("column", "text", "negative", "huge", "damaged", "few", "flat", "nan")}
    table[["user"]].to_parquet(made["column"])
    table.assign(item=table["item"].astype(str)).to_parquet(made["text"])
    table.assign(item=table["item"] - 1000).to_parquet(made["negative"])
    table.assign(user=table["user"].astype("int64") + 10**15).to_parquet(made["huge"])
    made["damaged"].write_bytes(b"neither Parquet nor npy")
    for name, vectors in (("few", np.ones((50, 4))), ("flat", np.ones(ITEMS)), ("nan", np.full((ITEMS, 4), np.nan))):
        with made[name].open("wb") as file:
            np.save(file, vectors)
    return {
        "no such file": ({"train": folder / "absent"}, "absent"),
        "missing column": ({"train": made["column"]}, "item"),
        "text ids": ({"val": made["text"]}, "whole numbers"),
        "negative ids": ({"train": made["negative"]}, "whole numbers"),
        "ids that are no numbering": ({"train": made["huge"]}, "numbered"),
        "damaged rows": ({"train": made["damaged"]}, "Parquet"),
        "damaged vectors": ({"image": made["damaged"]}, "npy"),
        "no such vectors": ({"audio": folder / "absent"}, "absent"),
        "different lengths": ({"audio": made["few"]}, "50"),
        "more items than vectors": ({"image": made["few"], "audio": made["few"]}, "50"),
        "not a table": ({"image": made["flat"]}, "shape"),
        "not finite": ({"image": made["nan"]}, "finite"),
    }


FAULTS = [
    "no such file",
    "missing column",
    "text ids",
    "negative ids",
    "ids that are no numbering",
    "damaged rows",
    "damaged vectors",
    "no such vectors",
    "different lengths",
    "more items than vectors",
    "not a table",
    "not finite",
]


@pytest.mark.parametrize("fault", FAULTS)
def test_files_that_do_not_fit_are_told_in_one_line(
    files: Files, recipe: BenchmarkSettings, tmp_path: Path, fault: str
) -> None:
    changed, words = bad_files(files, tmp_path)[fault]
    paths = {"train": files.train, "val": files.val, "image": files.image, "audio": files.audio} | changed
    with pytest.raises(UnusableBenchmark, match=words) as told:
        benchmark_tiktok(**paths, settings=recipe)
    assert "\n" not in str(told.value)


def test_a_catalogue_too_small_for_twenty_items_is_refused(recipe: BenchmarkSettings, tmp_path: Path) -> None:
    tiny = tmp_path / "tiny.parquet"
    pd.DataFrame({"user": [0, 0, 1], "item": [0, 1, 2]}).to_parquet(tiny)
    with pytest.raises(UnusableBenchmark, match="fewer than 20"):
        benchmark_tiktok(tiny, tiny, None, None, recipe)


tables = st.integers(1, 12).flatmap(
    lambda users: st.lists(st.tuples(st.integers(0, users - 1), st.integers(0, 9)), max_size=40).map(
        lambda pairs: sp.csr_matrix(
            (np.ones(len(set(pairs))), tuple(np.array(sorted(set(pairs)), int).reshape(-1, 2).T)), (users, 10)
        )
    )
)


@given(tables, st.integers(1, 4), st.floats(0, 2), st.integers(0, 99))
@hypothesis_settings(max_examples=60, deadline=None)
def test_folds_hold_out_one_row_of_every_user_who_has_two(
    used: sp.csr_matrix, folds: int, exponent: float, seed: int
) -> None:
    parts = hold_out(used, folds, exponent, seed)
    users = np.concatenate([fold.users for fold in parts])
    assert sorted(users) == np.flatnonzero(np.diff(used.indptr) >= 2).tolist()
    for fold in parts:
        lost = (used - fold.used).tocoo()
        lost.eliminate_zeros()
        assert sorted(zip(lost.row, lost.col, strict=True)) == sorted(zip(fold.users, fold.items, strict=True))


def test_a_higher_exponent_holds_out_less_popular_items() -> None:
    train = world()[0]
    skewed = np.concatenate([train["item"] % 8, train["item"]])
    twice = np.concatenate([train["user"], train["user"]])
    used = (sp.csr_matrix((np.ones(len(twice)), (twice, skewed))) > 0).astype(float).tocsr()
    degrees = np.bincount(used.indices)
    held = [np.concatenate([f.items for f in hold_out(used, 3, exponent, 0)]) for exponent in (0.0, 1.0)]
    assert degrees[held[1]].mean() < degrees[held[0]].mean()


def test_a_history_is_the_users_own_or_everybodys() -> None:
    used = sp.csr_matrix(np.array([[1.0, 1, 0], [0, 0, 0], [1, 0, 0]]))
    assert histories(used, np.array([1, 0])).toarray().tolist() == [[2, 1, 0], [1, 1, 0]]
