from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from models.generators import ItemToItem
from models.row_kernels import best_rows, sum_of_rows

SEEDS = st.integers(0, 2**32 - 1)


def history(rng: np.random.Generator, words: int, weighted: bool) -> sp.csr_matrix:
    """One creator's uses over a vocabulary."""
    used = sp.random(1, words, density=rng.random(), random_state=rng, format="csr")
    used.sort_indices()
    return used if weighted else (used != 0).astype(np.float64)


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, words=st.integers(1, 60), trends=st.integers(1, 80), weighted=st.booleans())
def test_the_sum_of_rows_is_the_score_of_an_item_to_item_generator(
    seed: int, words: int, trends: int, weighted: bool
) -> None:
    rng = np.random.default_rng(seed)
    matrix = sp.random(words, trends, density=rng.random(), random_state=rng, format="csr")
    used = history(rng, words, weighted)
    wanted = ItemToItem(matrix).scores(used)[0]
    np.testing.assert_allclose(sum_of_rows(matrix, used.indices, used.data), wanted, rtol=1e-12, atol=0)


def test_nothing_used_sums_to_nothing_and_unknown_rows_are_refused() -> None:
    matrix = sp.csr_matrix(np.ones((2, 3)))
    assert sum_of_rows(matrix, np.zeros(0, int), np.zeros(0)).tolist() == [0.0, 0.0, 0.0]
    for word in (-1, 2):
        with pytest.raises(IndexError, match="0 to 1"):
            sum_of_rows(matrix, np.array([word]), np.ones(1))


@settings(max_examples=150, deadline=None)
@given(seed=SEEDS, rows=st.integers(0, 200), most=st.integers(0, 220), decimals=st.integers(0, 3))
def test_the_best_rows_are_those_of_a_stable_sort(seed: int, rows: int, most: int, decimals: int) -> None:
    rng = np.random.default_rng(seed)
    scores = np.round(rng.normal(size=rows), decimals)
    scores[rng.random(rows) < 0.1] = rng.choice([np.nan, -np.inf])
    allowed = rng.random(rows) < rng.random()
    masked = np.where(allowed, scores, -np.inf)
    order = np.argsort(-masked, kind="stable")
    wanted = order[np.isfinite(masked[order])][:most]
    np.testing.assert_array_equal(best_rows(scores, allowed, most), wanted)


def test_scores_and_permissions_must_be_of_the_same_trends() -> None:
    with pytest.raises(ValueError, match="allowed"):
        best_rows(np.zeros(3), np.ones(2, bool), 1)
