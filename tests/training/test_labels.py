from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from features.lift import post_lifts
from tests.features.small_lakes import AT, START, Rows, counted, history_of, hours, post, rows
from training.labels import UNKNOWN_LIFT_GRADE, adoptions, grade

QUICK = settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)


def keys_of(video: dict) -> list[str]:  # type: ignore[type-arg]
    sound = [f"sound:{video['music_id']}"] if video["music_id"] else []
    return [f"hashtag:{tag}" for tag in video["hashtag_names"]] + sound


@QUICK
@given(rows(), st.integers(0, 35), st.integers(1, 14))
def test_labels_equal_their_definition(drawn: Rows, day: int, horizon: int) -> None:
    cutoff = START + timedelta(days=day)
    if cutoff + timedelta(days=horizon) > AT:
        return
    first: dict[tuple[str, str], object] = {}
    for video in sorted(drawn.videos, key=lambda v: (v["create_time"], v["id"])):
        for key in keys_of(video):
            first.setdefault((video["username"], key), video["create_time"])
    expected = {pair for pair, at in first.items() if cutoff < at <= cutoff + timedelta(days=horizon)}  # type: ignore[operator]
    found = adoptions(history_of(drawn), cutoff, horizon)
    assert set(zip(found.creator_ids, found.trend_keys, strict=True)) == expected
    assert len(found.grades) == len(expected)
    assert found.by_creator().keys() == {creator for creator, _ in expected}


def test_a_first_use_exactly_at_the_cutoff_is_known_and_one_at_the_horizons_end_is_a_label() -> None:
    posts = [post(n, "anna", 24 * day, hashtag_names=[f"day{day}"]) for n, day in enumerate((10, 11, 17, 18))]
    found = adoptions(history_of(Rows(posts)), hours(240), 7)
    assert found.trend_keys.tolist() == ["hashtag:day11", "hashtag:day17"]


def test_a_second_use_is_no_label_whenever_the_first_was() -> None:
    posts = [post(n, "anna", 24 * day, hashtag_names=["a"]) for n, day in enumerate((1, 11, 12))]
    assert len(adoptions(history_of(Rows(posts)), hours(240), 7).grades) == 0


def test_grades_are_quartiles_of_lift_and_two_where_it_is_unknown() -> None:
    assert grade(np.array([0.1, np.nan, 0.2, 0.3, 0.4])).tolist() == [1, UNKNOWN_LIFT_GRADE, 2, 3, 4]
    assert UNKNOWN_LIFT_GRADE == 2
    assert grade(np.full(3, np.nan)).tolist() == [2, 2, 2]
    assert grade(np.zeros(0)).tolist() == []


@given(st.lists(st.integers(-5_000, 5_000).map(lambda n: n / 1_000), min_size=8, max_size=60, unique=True))
def test_a_quarter_of_the_labels_gets_each_grade_and_a_better_post_never_a_lower_one(lifts: list[float]) -> None:
    found = grade(np.array(lifts))
    assert max(np.bincount(found, minlength=5)[1:]) - min(np.bincount(found, minlength=5)[1:]) <= 1
    assert (np.diff(found[np.argsort(lifts)]) >= 0).all()


def test_a_label_is_graded_by_the_post_that_made_it() -> None:
    posts = [post(f"{n:02}", "anna", 24 * n, hashtag_names=[f"t{n}"]) for n in range(8)]
    counts = [counted(f"{n:02}", 24 * (n + 5), views) for n, views in enumerate([10, 10, 10, 10, 80, 5, 40, 20])]
    history = history_of(Rows(posts, counts))
    found = adoptions(history, hours(24 * 3.5), 7)
    assert found.trend_keys.tolist() == ["hashtag:t4", "hashtag:t5", "hashtag:t6", "hashtag:t7"]
    assert np.argsort(post_lifts(history)[4:]).tolist() == [1, 3, 2, 0]
    assert found.grades.tolist() == pytest.approx([4, 1, 3, 2])
