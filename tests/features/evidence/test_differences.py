"""Intervals hold what they promise, and few numbers promise nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from features.evidence.differences import LEAST_DONE, LEAST_OTHERS, LEAST_STUDIES, own_effect, pooled, welch

WORLDS = 1500


def covered(sizes: tuple[int, int], spreads: tuple[float, float], effect: float, seed: int) -> float:
    """Share of drawn worlds whose interval holds the planted effect."""
    chance = np.random.default_rng(seed)
    hits = 0
    for _ in range(WORLDS):
        done, others = (chance.normal(0, spread, size) for size, spread in zip(sizes, spreads, strict=True))
        found = welch(done + effect, others)
        assert found is not None
        hits += found.lo <= effect <= found.hi
    return hits / WORLDS


@pytest.mark.parametrize(
    ("sizes", "spreads"), [((3, 8), (1.0, 1.0)), ((5, 40), (0.4, 1.2)), ((20, 20), (1.2, 0.4)), ((4, 5), (1.0, 1.0))]
)
def test_eight_intervals_in_ten_hold_the_planted_effect(sizes: tuple[int, int], spreads: tuple[float, float]) -> None:
    assert covered(sizes, spreads, 0.7, 11) == pytest.approx(0.8, abs=0.045)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 20), min_size=3, max_size=20), st.lists(st.floats(0, 20), min_size=5, max_size=20))
def test_the_interval_is_the_one_of_scipy(done: list[float], others: list[float]) -> None:
    found = welch(np.array(done), np.array(others))
    assert found is not None
    assert found.mean == pytest.approx(np.mean(done) - np.mean(others))
    if np.ptp(done) > 1e-3 and np.ptp(others) > 1e-3:
        expected = stats.ttest_ind(done, others, equal_var=False).confidence_interval(0.8)
        assert (found.lo, found.hi) == pytest.approx((expected.low, expected.high))


def test_fewer_numbers_than_needed_give_no_difference() -> None:
    many = np.arange(50.0)
    assert welch(many[: LEAST_DONE - 1], many) is None and welch(many, many[: LEAST_OTHERS - 1]) is None
    assert own_effect(many[:0], many) is None and own_effect(many[:1], many[: LEAST_OTHERS - 1]) is None
    assert own_effect(many[:1], many) is not None
    assert pooled([(0.1, 0.1)] * (LEAST_STUDIES - 1)) is None


@pytest.mark.parametrize(("creators", "between"), [(8, 0.0), (10, 0.5), (40, 0.3)])
def test_eight_pooled_intervals_in_ten_hold_the_mean_of_creators_who_differ(creators: int, between: float) -> None:
    chance, hits, effect = np.random.default_rng(5), 0, 0.3
    for _ in range(WORLDS):
        errors = chance.uniform(0.05, 0.6, creators)
        told = effect + chance.normal(0, between, creators) + chance.normal(0, errors)
        found = pooled(list(zip(told, errors**2, strict=True)))
        assert found is not None and found.done == creators
        hits += found.lo <= effect <= found.hi
    assert 0.76 <= hits / WORLDS <= 0.93  # never narrower than the known errors: more where creators are alike


def test_creators_who_agree_have_no_spread_and_posts_that_are_all_alike_do_not_break_it() -> None:
    found = pooled([(0.2, 0.0)] * 9 + [(0.2, 1.0)])
    assert found is not None and found.mean == pytest.approx(0.2) and found.spread == 0
    assert found.hi - found.lo < 1e-3
