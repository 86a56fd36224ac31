"""Content candidates: likeness of vectors, and trends that nobody used yet."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from models.generators.content import CentroidCandidates, ContentCandidates, joined, unit_rows, whitened
from models.interactions import Interactions

RNG = np.random.default_rng(3)


def nobody(trends: int, targets: np.ndarray | None = None) -> Interactions:
    return Interactions.undated(sp.csr_matrix((0, trends)), targets)


def test_neighbours_are_shares_of_the_positive_cosines_without_the_trend_itself() -> None:
    vectors = unit_rows(RNG.normal(size=(40, 6)))
    expected = np.maximum(vectors @ vectors.T, 0) ** 3
    np.fill_diagonal(expected, 0)
    expected /= expected.sum(axis=1, keepdims=True)
    found = ContentCandidates(vectors, 3.0, 40).fit(nobody(40)).matrix.toarray()
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_only_the_nearest_are_kept_and_share_one() -> None:
    vectors = unit_rows(RNG.normal(size=(60, 6)))
    matrix = ContentCandidates(vectors, 2.0, 5).fit(nobody(60)).matrix
    assert (np.diff(matrix.indptr) == 5).all()
    np.testing.assert_allclose(matrix.sum(axis=1), 1)


def test_a_trend_that_nobody_used_is_reached_and_one_without_a_vector_is_not() -> None:
    vectors = np.vstack([unit_rows(np.abs(RNG.normal(size=(9, 4)))), np.zeros((1, 4))])
    for candidates in (ContentCandidates(vectors, 3.0, 10), CentroidCandidates(vectors)):
        scores = candidates.fit(nobody(10)).scores(sp.csr_matrix(np.eye(10)[:1]))
        assert (scores[0, 1:9] > 0).all()
        assert scores[0, 9] == 0


def test_targets_are_the_columns_and_a_target_is_not_its_own_neighbour() -> None:
    vectors = unit_rows(np.abs(RNG.normal(size=(10, 4))))
    matrix = ContentCandidates(vectors, 1.0, 10).fit(nobody(10, np.array([3, 7]))).matrix.toarray()
    assert matrix.shape == (10, 2)
    assert matrix[3, 0] == matrix[7, 1] == 0
    assert (matrix[0] > 0).all()


def test_the_centroid_scores_the_cosine_with_the_middle_of_the_history() -> None:
    vectors = unit_rows(np.abs(RNG.normal(size=(8, 5))))
    scores = CentroidCandidates(vectors).fit(nobody(8)).scores(sp.csr_matrix([[1.0, 0, 1, 0, 0, 0, 0, 0]]))
    middle = vectors[0] + vectors[2]
    np.testing.assert_allclose(scores[0], vectors @ middle / np.linalg.norm(middle))


def test_whitening_undoes_mixing_and_scaling_of_the_columns() -> None:
    plain = RNG.normal(size=(50, 5))
    mixed = 3 + plain @ RNG.normal(size=(5, 5)) * 10
    np.testing.assert_allclose(whitened(mixed) @ whitened(mixed).T, whitened(plain) @ whitened(plain).T, atol=1e-8)


def test_constant_columns_fall_away() -> None:
    plain = RNG.normal(size=(30, 3))
    assert whitened(np.hstack([plain, np.ones((30, 2))])).shape == (30, 3)


def test_joined_vectors_weigh_the_cosines_of_their_parts() -> None:
    image, audio = unit_rows(RNG.normal(size=(6, 3))), unit_rows(RNG.normal(size=(6, 2)))
    both = joined([image, audio], [1.0, 0.5])
    np.testing.assert_allclose(both @ both.T, (image @ image.T + 0.25 * audio @ audio.T) / 1.25)


@pytest.mark.parametrize("candidates", [ContentCandidates, CentroidCandidates])
def test_vectors_that_are_not_one_per_trend_are_refused(candidates: type) -> None:
    made = candidates(np.eye(4), 3.0, 4) if candidates is ContentCandidates else candidates(np.eye(4))
    with pytest.raises(ValueError, match="4 vectors for a vocabulary of 5"):
        made.fit(nobody(5))
