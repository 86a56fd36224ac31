from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.lift import BASELINE_POSTS, LEAST_BASELINE, grouped_median, post_lifts
from tests.features.small_lakes import Rows, counted, history_of, post

VALUES = st.lists(st.tuples(st.integers(0, 4), st.floats(-1e6, 1e6)), max_size=40)


@given(VALUES)
def test_the_grouped_median_is_the_median_of_each_group(pairs: list[tuple[int, float]]) -> None:
    group, values = np.array([g for g, _ in pairs], int), np.array([v for _, v in pairs], float)
    found = grouped_median(group, values, 6)
    for number in range(6):
        of_group = values[group == number]
        assert found[number] == pytest.approx(np.median(of_group) if len(of_group) else np.nan, nan_ok=True)


def lifts_of(views: list[int | None], creator: str = "anna") -> np.ndarray:
    """Lifts of one creator's posts, a day apart and each counted five days after."""
    posts = [post(f"{n:02}", creator, 24 * n) for n in range(len(views))]
    counts = [counted(f"{n:02}", 24 * (n + 5), v) for n, v in enumerate(views) if v is not None]
    return post_lifts(history_of(Rows(posts, counts)))


def test_a_post_is_compared_with_the_median_of_its_creators_earlier_ones() -> None:
    lifts = lifts_of([10, 20, 40, 80, 40])
    assert np.isnan(lifts[:LEAST_BASELINE]).all()
    assert lifts[3] == pytest.approx(np.log(81 / 21))
    assert lifts[4] == pytest.approx(np.log(41) - np.median(np.log1p([10, 20, 40, 80])))


def test_a_post_without_a_count_has_no_lift_and_is_no_baseline() -> None:
    lifts = lifts_of([10, None, 20, None, 40, 80, None])
    assert np.isnan(lifts[[1, 3, 6]]).all()
    assert lifts[5] == pytest.approx(np.log(81 / 21))
    assert np.isnan(lifts_of([None] * 4)).all()


def test_only_the_latest_posts_make_the_baseline() -> None:
    assert lifts_of([1000] + [10] * BASELINE_POSTS + [10])[-1] == pytest.approx(0)


def test_posts_are_compared_at_the_same_age() -> None:
    posts, counts = [], []
    for n in range(30):  # every post has 100 views after a day and 1,000 after ten
        creator, age = "ab"[n % 2], (1, 10)[n // 2 % 2]
        posts.append(post(f"{n:02}", creator, n))
        counts.append(counted(f"{n:02}", n + 24 * age - 1, {1: 99, 10: 999}[age]))
    lifts = post_lifts(history_of(Rows(posts, counts)))
    assert np.nanmax(np.abs(lifts)) == pytest.approx(0)


def test_a_post_of_another_creator_changes_nothing() -> None:
    mine = [post(f"m{n}", "anna", 24 * n) for n in range(5)]
    others = [post(f"o{n}", "ben", 24 * n + 1) for n in range(5)]
    counts = [counted(f"m{n}", 24 * (n + 5), 10 * 2**n) for n in range(5)]
    more = [counted(f"o{n}", 24 * (n + 5) + 1, 7) for n in range(5)]
    both = post_lifts(history_of(Rows(mine + others, counts + more)))
    assert both[0::2] == pytest.approx(post_lifts(history_of(Rows(mine, counts))), nan_ok=True)
