from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from features.taste import TASTE_DIMENSIONS, directions, nearest_by_cosine, trend_tastes


def test_a_trends_direction_depends_on_its_name_alone() -> None:
    both, one = directions(["hashtag:a", "hashtag:b"]), directions(["hashtag:b"])
    assert both[1].tobytes() == one[0].tobytes()
    assert np.linalg.norm(both, axis=1) == pytest.approx(1)
    assert directions([]).shape == (0, TASTE_DIMENSIONS)


def test_nearest_by_cosine_keeps_the_closest_with_ties_by_column_and_never_itself() -> None:
    used = sp.csr_matrix(np.array([[1, 1, 1, 0], [1, 1, 1, 0], [0, 0, 1, 1.0]]))
    near = nearest_by_cosine(used, 1).toarray()
    assert near[0].nonzero()[0].tolist() == [1]  # as close as column 2 would not be
    assert near[2].nonzero()[0].tolist() == [0]  # columns 0 and 1 are equally close
    assert near[3].nonzero()[0].tolist() == [2]
    assert near.diagonal().sum() == 0
    assert nearest_by_cosine(used, 3).toarray()[0, 2] == pytest.approx(2 / np.sqrt(2 * 3))


def test_trends_of_the_same_creators_have_closer_tastes_than_others() -> None:
    chance = np.random.default_rng(1)
    group = np.arange(40) % 2
    used = sp.csr_matrix((chance.random((40, 20)) < 0.8) * (group[:, None] == (np.arange(20) % 2)[None, :]) * 1.0)
    tastes = trend_tastes(used, [f"hashtag:{n}" for n in range(20)])
    alike = tastes @ tastes.T
    same = (np.arange(20)[:, None] - np.arange(20)) % 2 == 0
    assert alike[same & ~np.eye(20, dtype=bool)].min() > alike[~same].max()
    assert np.linalg.norm(tastes, axis=1) == pytest.approx(1)
