from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.compiled.choice_kernels import choose, in_order

SEEDS = st.integers(0, 2**32 - 1)


def best_rows(scores: np.ndarray, most: int) -> np.ndarray:
    """Rows of the highest scores, −inf not counted, as `choose` writes them."""
    rows = np.empty(len(scores), np.int64)
    return rows[: choose(scores, most, np.empty(len(scores)), rows)]


@settings(max_examples=150, deadline=None)
@given(seed=SEEDS, rows=st.integers(0, 3000), most=st.integers(0, 3100), decimals=st.integers(0, 9))
def test_the_best_rows_are_those_of_a_stable_sort(seed: int, rows: int, most: int, decimals: int) -> None:
    rng = np.random.default_rng(seed)
    scores = np.round(rng.normal(size=rows), decimals)
    scores[rng.random(rows) < 0.1] = rng.choice([np.nan, -np.inf])
    allowed = rng.random(rows) < rng.random()
    masked = np.where(allowed, scores, -np.inf)
    order = np.argsort(-masked, kind="stable")
    wanted = order[np.isfinite(masked[order])][:most]
    np.testing.assert_array_equal(best_rows(np.where(np.isfinite(masked), masked, -np.inf), most), wanted)


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, rows=st.integers(1_000, 5_000), most=st.integers(1, 600), far=st.sampled_from([1e3, 1e300, 1.7e308]))
def test_the_order_holds_for_many_equals_and_for_scores_far_apart(seed: int, rows: int, most: int, far: float) -> None:
    """What is guessed from some of the scores must not matter: the best may stand together, or nearly all be equal."""
    rng = np.random.default_rng(seed)
    scores = np.sort(rng.normal(size=rows)) if rng.random() < 0.5 else np.round(rng.normal(size=rows) / 2)
    scores[rng.integers(0, rows, 3)] = far * rng.choice([-1.0, 1.0], 3)
    wanted = np.argsort(-scores, kind="stable")[:most]
    np.testing.assert_array_equal(best_rows(scores, most), wanted)


@settings(max_examples=100, deadline=None)
@given(seed=SEEDS, many=st.integers(0, 6_000), decimals=st.integers(-1, 9))
def test_equal_scores_are_put_in_order_by_row(seed: int, many: int, decimals: int) -> None:
    rng = np.random.default_rng(seed)
    scores, rows = np.round(rng.normal(size=many), decimals), rng.permutation(many)
    np.testing.assert_array_equal(in_order(scores, rows), np.lexsort((rows, -scores)))


def test_scores_that_are_no_numbers_come_last_in_any_order() -> None:
    scores = np.array([1.0, np.nan, 3.0, np.inf, np.nan, 2.0])
    assert in_order(scores, np.arange(6))[:4].tolist() == [3, 2, 5, 0]
