from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import configs
from features.creators import trailing_posts
from features.evidence.lifts import HABITS, QUERIES, baselines, habits, measure
from features.evidence.posts import Posts
from features.history import History
from features.lake import Lake
from features.materialize import known_by, latest_instant
from tests.worlds import small_settings


@pytest.fixture(scope="module")
def settings(world_home: Path) -> configs.Settings:
    return small_settings(world_home)


@pytest.fixture(scope="module")
def history(world_home: Path, settings: configs.Settings) -> History:
    lake = Lake(world_home / "lake")
    return known_by(lake, lake.latest_at() or latest_instant(lake), settings)


@pytest.fixture(scope="module")
def posts(history: History) -> Posts:
    return Posts(history)


@pytest.mark.parametrize("name", QUERIES)
def test_no_post_is_on_both_sides_of_a_query(posts: Posts, name: str) -> None:
    did, others = QUERIES[name](posts)
    assert did.shape == others.shape == (posts.n,)
    assert not (did & others).any()


def test_a_measure_holds_its_lift_inside_its_interval_or_says_that_there_is_not_enough_data(posts: Posts) -> None:
    found = measure(posts)
    assert set(found) == set(QUERIES)
    for one in found.values():
        if one.lift is None:
            assert one.lo is None and one.hi is None
        else:
            assert one.lo is not None and one.hi is not None and one.lo <= one.lift <= one.hi
            assert one.posts >= 30 and one.others >= 30
    assert any(one.lift is None for one in found.values()) and any(one.lift is not None for one in found.values())


def test_a_planted_lift_is_found_and_its_interval_leaves_out_zero(history: History) -> None:
    planted = Posts(history)
    did, _ = QUERIES["days_weekend"](planted)
    rng = np.random.default_rng(0)
    planted.lift = rng.normal(0, 0.5, planted.n) + np.where(did, 0.3, 0.0)
    found = measure(planted, ["days_weekend", "length_short"])
    weekend, short = found["days_weekend"], found["length_short"]
    assert weekend.lo is not None and weekend.hi is not None and weekend.lift == pytest.approx(0.3, abs=0.06)
    assert 0 < weekend.lo < 0.3 < weekend.hi + 0.05
    assert short.lift == pytest.approx(0, abs=0.06)


def test_measuring_twice_says_the_same(posts: Posts) -> None:
    assert measure(posts) == measure(posts)


def test_own_best_hours_are_judged_on_later_posts_than_they_were_chosen_on(posts: Posts) -> None:
    did, others = QUERIES["hours_own_best"](posts)
    judged = did | others
    for creator in np.unique(posts.creator[judged])[:20]:
        own = (posts.creator == creator) & ~np.isnan(posts.lift)
        assert judged[own].sum() <= own.sum() / 2
        assert posts.created[own & judged].min() >= np.median(posts.created[own])


def test_a_habit_is_told_only_where_its_interval_leaves_out_no_difference(posts: Posts) -> None:
    for found in habits(posts).values():
        assert found == sorted(found, key=lambda habit: habit.lift)
        assert all(habit.lo * habit.hi > 0 and habit.name in HABITS for habit in found)


def test_a_baseline_is_the_range_of_the_trailing_views(history: History, posts: Posts) -> None:
    trailing = trailing_posts(history)
    found = baselines(posts, trailing)
    name, (n, lo, middle, hi) = next(iter(found.items()))
    row = list(history.creators).index(name)
    views = history.posts["view_count"][trailing & (posts.creator == row)]
    views = views[~np.isnan(views)]
    assert n == len(views) and lo <= middle <= hi
    assert middle == pytest.approx(np.median(views), abs=1)
