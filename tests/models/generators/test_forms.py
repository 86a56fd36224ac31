from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from models.generators.forms import Generator, ItemToItem, Latent, lean, restore, strongest

ROWS = st.integers(0, 2**32 - 1)


def generators(chance: np.random.Generator, words: int = 40, market: int = 30) -> list[Generator]:
    matrix = sp.random(words, market, 0.3, "csr", rng=chance)
    latent = Latent.of(chance.normal(size=(words, 8)), chance.normal(size=(8, market)))
    return [ItemToItem(matrix), latent, lean(ItemToItem(matrix)), lean(latent)]


def histories(chance: np.random.Generator, rows: int, words: int = 40) -> sp.csr_matrix:
    used = (chance.random((rows, words)) < chance.random((rows, 1))).astype(float)
    return sp.csr_matrix(used)


@settings(max_examples=20, deadline=None)
@given(ROWS, st.integers(1, 60))
def test_a_creator_alone_gets_the_same_bits_as_among_many(seed: int, rows: int) -> None:
    chance = np.random.default_rng(seed)
    used = histories(chance, rows)
    for generator in generators(chance):
        together = generator.scores(used)
        for row in range(0, rows, 7):
            assert generator.scores(used[row]).tobytes() == together[row].tobytes()


@settings(max_examples=20, deadline=None)
@given(ROWS)
def test_what_is_written_down_as_arrays_comes_back_with_the_same_scores(seed: int) -> None:
    chance = np.random.default_rng(seed)
    used = histories(chance, 5)
    for generator in generators(chance):
        again = restore({name: array.copy() for name, array in generator.arrays().items()})
        assert type(again) is type(generator)
        assert again.scores(used).tobytes() == generator.scores(used).tobytes()


def test_nobody_is_proposed_anything_without_a_history() -> None:
    for generator in generators(np.random.default_rng(0)):
        assert not generator.scores(sp.csr_matrix((2, 40))).any()


def test_latent_scores_are_cosines_that_never_fall_below_zero() -> None:
    latent = Latent.of(np.array([[2.0, 0], [0, 3]]), np.array([[1.0, 0, -1], [0, 1, 0]]))
    both = latent.scores(sp.csr_matrix(np.array([[1.0, 0], [1, 1]])))
    assert both[0].tolist() == [1, 0, 0]
    assert both[1] == pytest.approx([2 / 13**0.5, 3 / 13**0.5, 0])


def test_fewer_bytes_change_no_score_by_more_than_the_rounding_of_a_vector() -> None:
    chance = np.random.default_rng(3)
    vectors = chance.normal(size=(8, 30)) * 10.0 ** chance.integers(-6, 6, 30)  # some trends are used far more
    vectors[:, 4] = 0.0
    latent, used = Latent.of(chance.normal(size=(40, 8)), vectors), histories(chance, 50)
    few = lean(latent)
    assert isinstance(few, Latent) and few.market.dtype.itemsize == 2
    off = np.abs(few.scores(used) - latent.scores(used)) / np.maximum(np.abs(vectors).max(axis=0), 1e-300)
    assert off.max() <= 8**0.5 / 2**16


def test_the_strongest_are_kept_with_ties_by_column_and_nothing_below_zero() -> None:
    matrix = sp.csr_matrix(np.array([[5.0, 1, 1, 1], [-2, -1, 0, 3], [0, 0, 0, 0], [4, 4, 4, 9]]))
    assert strongest(matrix, 2).toarray().tolist() == [[5, 1, 0, 0], [0, 0, 0, 3], [0, 0, 0, 0], [4, 0, 0, 9]]


@settings(max_examples=30, deadline=None)
@given(ROWS, st.integers(1, 12))
def test_the_strongest_equal_a_sort_of_every_row(seed: int, top_n: int) -> None:
    dense = np.random.default_rng(seed).integers(-3, 5, (6, 10)).astype(float)
    found = strongest(sp.csr_matrix(dense), top_n).toarray()
    for row, kept in zip(dense, found, strict=True):
        best = sorted((column for column in range(10) if row[column] > 0), key=lambda c: (-row[c], c))[:top_n]
        assert kept.tolist() == [row[c] if c in best else 0 for c in range(10)]
