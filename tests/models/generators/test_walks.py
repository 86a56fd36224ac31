"""Walks of several lengths against their definition, entry by entry."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from models.generators.forms import restore
from models.generators.walks import DampedWalkCandidates, chained, densest
from models.interactions import Interactions


def graph(creators: int = 30, trends: int = 12, seed: int = 0) -> Interactions:
    rng = np.random.default_rng(seed)
    used = sp.csr_matrix((rng.random((creators, trends)) < 0.25).astype(float))
    return Interactions.undated(used)


def by_definition(used: np.ndarray, walk: DampedWalkCandidates) -> np.ndarray:
    """Σ damping^n × T^(n+1), each entry of T summed creator by creator."""
    by_creator, by_trend = used.sum(axis=1), used.sum(axis=0)
    trends = used.shape[1]
    step = np.zeros((trends, trends))
    for i in range(trends):
        for j in range(trends):
            for c in range(len(used)):
                if used[c, i] and used[c, j]:
                    step[i, j] += by_trend[i] ** -walk.trend_exponent * by_creator[c] ** -walk.creator_exponent
    powers = [np.linalg.matrix_power(step, n + 1) for n in range(walk.steps)]
    return sum(walk.damping**n * power for n, power in enumerate(powers))


@given(st.integers(1, 5), st.floats(0.1, 1), st.floats(0, 1.5), st.floats(0, 1.5), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_a_damped_walk_is_the_sum_of_powers_of_its_step(
    steps: int, damping: float, trend: float, creator: float, seed: int
) -> None:
    interactions = graph(seed=seed)
    walk = DampedWalkCandidates(steps, damping, trend, creator, top_n=12)
    found = walk.fit(interactions).scores(sp.identity(12, format="csr"))
    np.testing.assert_allclose(found, by_definition(interactions.used.toarray(), walk), rtol=1e-9, atol=1e-12)


def test_targets_are_the_columns_of_the_scores() -> None:
    interactions = graph()
    walk = DampedWalkCandidates(3, 0.7, 0.8, 1.2, top_n=12)
    everything = walk.fit(interactions).scores(interactions.used)
    some = walk.fit(replace(interactions, targets=np.array([2, 5, 11]))).scores(interactions.used)
    np.testing.assert_array_equal(some, everything[:, [2, 5, 11]])


def test_a_higher_creator_exponent_makes_a_collector_speak_softer() -> None:
    used = sp.csr_matrix(np.array([[1.0, 1, 0, 0, 0], [1, 0, 1, 1, 1]]))
    interactions = Interactions.undated(used)

    def preference(exponent: float) -> float:
        scores = DampedWalkCandidates(1, 1.0, 1.0, exponent, 5).fit(interactions).scores(used[:1])[0]
        return float(scores[1] / scores[2])

    assert preference(1.5) > preference(1.0) > preference(0.5)


def test_a_trend_nobody_used_leads_nowhere() -> None:
    used = sp.csr_matrix(np.array([[1.0, 1, 0], [1, 0, 0]]))
    interactions = Interactions.undated(used)
    scores = DampedWalkCandidates(4, 0.7, 0.8, 1.2, 3).fit(interactions).scores(sp.identity(3, format="csr"))
    assert np.isfinite(scores).all()
    assert not scores[2].any()
    assert not scores[:, 2].any()


def test_one_creator_scores_the_same_alone_and_among_others() -> None:
    interactions = graph(200, 40)
    generator = DampedWalkCandidates(4, 0.7, 0.8, 1.2, 20).fit(interactions)
    together = generator.scores(interactions.used)
    alone = np.vstack([generator.scores(interactions.used[row]) for row in range(200)])
    np.testing.assert_array_equal(alone, together)


def test_a_walk_survives_being_written_down() -> None:
    interactions = graph()
    generator = DampedWalkCandidates(2, 0.7, 0.8, 1.2, 5).fit(interactions)
    again = restore(generator.arrays())
    np.testing.assert_array_equal(again.scores(interactions.used), generator.scores(interactions.used))


def test_a_chain_is_the_product_of_its_links() -> None:
    interactions = graph()
    first = DampedWalkCandidates(1, 1.0, 0.8, 1.2, 12).fit(interactions)
    second = DampedWalkCandidates(2, 0.5, 1.0, 1.0, 12).fit(replace(interactions, targets=np.array([1, 4])))
    expected = first.scores(interactions.used) @ second.matrix.toarray()
    np.testing.assert_allclose(chained(first, second, 12).scores(interactions.used), expected)


@pytest.mark.parametrize("top_n", [1, 3, 8, 20])
def test_each_row_keeps_its_largest_positive_entries_and_what_ties_with_the_last(top_n: int) -> None:
    table = np.random.default_rng(0).integers(-2, 6, (30, 8)).astype(float)
    kept = densest(table, top_n).toarray()
    for row, left in zip(table, kept, strict=True):
        least = np.sort(row)[::-1][min(top_n, 8) - 1]
        np.testing.assert_array_equal(left, np.where((row >= least) & (row > 0), row, 0))
