"""Posts that follow a plan are found, and what a plan was worth is told with an interval that holds the truth."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.evidence.differences import pooled
from features.evidence.outcomes import (
    AGES_DAYS,
    BASELINE_POSTS,
    FOLLOWED_DAYS,
    Plan,
    PlannedPlay,
    at_ages,
    baseline,
    common_age,
    compare,
    effects_by_kind,
    first_of_days,
    followed,
)
from features.evidence.own_posts import METRICS, OwnPosts, own_posts
from features.history import DAY, micros
from features.ingest import ingest
from features.lake import Lake
from features.sources.simulated_files import write
from features.sources.simulator import simulate
from tests.features.small_lakes import Rows, counted, hours, post
from tests.worlds import NOW, SMALL

T0 = 1000 * DAY
ITEMS = ("sound:new", "hashtag:new", "hashtag:newer")


def posts_of(made: list[tuple[float, set[str]]], looks: list[tuple[int, float, float]] = ()) -> OwnPosts:  # type: ignore[assignment]
    """Posts by (days after `T0`, keys), and counts by (post, age in days, views)."""
    made, looks = sorted(made, key=lambda m: m[0]), sorted(looks)
    created = np.array([T0 + int(day * DAY) for day, _ in made], np.int64)
    of = np.array([at for at, _, _ in looks], np.int64)
    views = np.array([count for *_, count in looks], float)
    return OwnPosts(
        ids=np.array([f"p{n}" for n in range(len(made))], object),
        created=created,
        keys=tuple(frozenset(keys) for _, keys in made),
        post=of,
        observed=created[of] + np.array([int(age * DAY) for _, age, _ in looks], np.int64) if len(of) else of,
        counts=dict.fromkeys(METRICS, views),
    )


PLAN = Plan(T0, (PlannedPlay(frozenset(ITEMS[:2]), (18.0, 22.0)), PlannedPlay(frozenset(ITEMS[1:]), (22.0, 2.0))))


def test_a_post_follows_the_play_whose_items_it_uses_most_and_of_equals_the_one_in_whose_window_it_lies() -> None:
    posts = posts_of(
        [
            (-3.0, {"hashtag:new"}),
            (1.5, {"sound:new", "hashtag:new"}),
            (2 + 23 / 24, {"hashtag:new"}),
            (3 + 1 / 24, {"hashtag:newer", "hashtag:other"}),
            (4.0, {"hashtag:other"}),
            (FOLLOWED_DAYS + 0.1, {"sound:new"}),
        ]
    )
    found = followed(PLAN, posts)
    assert [(f.post, f.play, f.keys, f.in_window) for f in found] == [
        (1, 0, ("hashtag:new", "sound:new"), False),
        (2, 1, ("hashtag:new",), True),
        (3, 1, ("hashtag:newer",), True),
    ]
    assert [f.used_before for f in found] == [False, True, False]


def test_the_baseline_is_the_latest_posts_before_and_those_beside_the_plan_without_its_items() -> None:
    early = [(-60 + day, {"hashtag:mine"}) for day in range(60)]
    posts = posts_of([*early, (-0.5, {"hashtag:new"}), (1.0, {"sound:new"}), (2.0, set()), (40.0, set())])
    chosen = np.flatnonzero(baseline(PLAN, posts))
    assert len(chosen) == BASELINE_POSTS + 1 and chosen[-1] == 62 and chosen[0] == 60 - BASELINE_POSTS


@settings(max_examples=60, deadline=None)
@given(st.floats(0.3, 1.2), st.floats(50, 1e6), st.lists(st.floats(0.02, 60), min_size=2, max_size=12, unique=True))
def test_counts_at_an_age_lie_near_the_curve_they_were_read_from(
    steepness: float, final: float, ages: list[float]
) -> None:
    def views(age: float) -> float:
        return float(final * age**steepness / (3 + age**steepness))

    posts = posts_of([(0.0, set())], [(0, age, views(age)) for age in ages])
    told = at_ages(posts, "view_count")[0]
    for age, value in zip(AGES_DAYS[:-1], told[:-1], strict=True):
        if not np.isnan(value):
            assert min(ages) * 0.9 <= age <= max(ages) * 1.11
            assert value == pytest.approx(np.log1p(views(age)), abs=0.25)


def test_ages_far_from_any_count_are_unknown_and_late_counts_have_settled() -> None:
    sparse = at_ages(posts_of([(0.0, set())], [(0, 1 / 24, 10), (0, 10, 1000)]), "view_count")[0]
    assert np.flatnonzero(~np.isnan(sparse)).tolist() == [0, 10]
    late = at_ages(posts_of([(0.0, set())], [(0, 200, 1000)]), "view_count")[0]
    assert np.flatnonzero(~np.isnan(late)).tolist() == [len(AGES_DAYS) - 1]


def test_posts_are_compared_at_the_greatest_age_that_leaves_out_few() -> None:
    known = np.zeros((10, len(AGES_DAYS)), bool)
    known[:, :6] = True
    known[:8, 9] = True
    assert common_age(known, known) == 9
    known[3:, 9] = False
    assert common_age(known, known) == 5
    assert common_age(known & False, known) is None


def test_a_post_of_an_hour_is_compared_with_what_others_had_after_an_hour() -> None:
    made = [(float(-day), {"hashtag:mine"}) for day in range(1, 9)] + [(float(d), {"sound:new"}) for d in (1, 2, 3)]
    looks = [(n, 1 / 24, 100.0) for n in range(11)] + [(n, 7.0, 10_000.0) for n in range(8)]
    (views,) = compare(
        posts := posts_of(made, looks), [f.post for f in followed(PLAN, posts)], baseline(PLAN, posts), METRICS[:1]
    )
    assert views.age_days == pytest.approx(1 / 24) and (views.done, views.others) == (3, 8)
    assert views.difference is not None and views.difference.mean == pytest.approx(0.0)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.1, 10.0), st.integers(0, 2**16))
def test_another_unit_of_views_moves_no_difference_and_likes_are_taken_at_the_same_age(by: float, seed: int) -> None:
    chance = np.random.default_rng(seed)
    made = [(float(-d), {"hashtag:mine"}) for d in range(1, 12)] + [(float(d), {"sound:new"}) for d in range(1, 6)]
    views = chance.lognormal(12, 1, len(made))
    found = []
    for factor in (1.0, by):
        posts = posts_of(made, [(n, 3.0, float(v * factor)) for n, v in enumerate(views)])
        found.append(compare(posts, [f.post for f in followed(PLAN, posts)], baseline(PLAN, posts), METRICS))
    for one, other in zip(*found, strict=True):
        assert one.age_days == other.age_days == 3.0 and one.difference and other.difference
        assert one.difference.mean == pytest.approx(other.difference.mean, abs=1e-3)


def test_each_day_has_one_first_post() -> None:
    posts = posts_of([(1.9, {"sound:new"}), (1.2, {"sound:new"}), (3.0, {"hashtag:new"}), (3.5, set())])
    days = first_of_days(followed(PLAN, posts), posts.created)
    assert {day - 1000: str(posts.ids[one.post]) for day, one in days.items()} == {1: "p0", 3: "p2"}


def test_own_posts_are_read_by_name_with_every_count_known_by_then(tmp_path: Path) -> None:
    videos = [
        post(1, "anna", 5, hashtag_names=["a"], music_id="7"),
        post(2, "anna", 1),
        post(3, "ben", 2),
        post(4, "ed", 3),
    ]
    seen = [counted(1, 6, 10), counted(1, 30, 90), counted(1, 900, 99), counted(2, 3, 0, like_count=4)]
    lake = Lake(tmp_path)
    lake.append(Rows(videos, seen).tables())
    found = own_posts(lake.connect(), ["anna", "ed", "nobody"], hours(0), hours(100))
    assert set(found) == {"anna", "ed"} and len(found["ed"].post) == 0
    anna = found["anna"]
    assert anna.ids.tolist() == ["2", "1"] and anna.keys == (frozenset(), frozenset({"hashtag:a", "sound:7"}))
    assert anna.post.tolist() == [0, 1, 1] and anna.observed[1] == micros(hours(6))
    assert np.isnan(anna.counts["view_count"][0]) and anna.counts["view_count"][1:].tolist() == [10, 90]
    assert not own_posts(lake.connect(), [], hours(0), hours(100))


START = SMALL.start + timedelta(days=30)
EFFECT = 0.6
"""Of log views, planted into the posts that follow a plan."""


@pytest.fixture(scope="module")
def followers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, frozenset[str]]:
    """A simulated world in which, from `START` on, creators follow a plan with every third post, and gain by it."""
    world = simulate(SMALL)
    videos = world.videos.to_pylist()
    chance, doing = np.random.default_rng(3), {}
    for row in videos:
        after = START < row["create_time"].replace(tzinfo=UTC) <= START + timedelta(days=FOLLOWED_DAYS)
        if after and doing.setdefault(row["id"], chance.random() < 1 / 3):
            row["hashtag_names"] = ["new"]
            row["music_id"], row["music_title"] = ("new", "new") if chance.random() < 0.5 else (None, None)
            for name in ("view_count", "like_count"):
                row[name] = round(row[name] * np.exp(EFFECT))
    home = tmp_path_factory.mktemp("followers")
    changed = pa.Table.from_pylist(videos, world.videos.schema)
    write(dataclasses.replace(world, videos=changed), home / "world")
    lake = Lake(home / "lake")
    ingest([home / "world"], lake, NOW, 50_000)
    return lake, frozenset(name for name, did in doing.items() if did)


def test_simulated_creators_who_follow_a_plan_are_found_and_the_intervals_hold_what_it_was_worth(
    followers: tuple[Lake, frozenset[str]],
) -> None:
    lake, doing = followers
    plan = dataclasses.replace(PLAN, starts=micros(START))
    names = [row[0] for row in lake.connect().sql("SELECT DISTINCT username FROM videos").fetchall()]
    read = own_posts(lake.connect(), names, START - timedelta(days=90), datetime(2030, 1, 1, tzinfo=UTC))
    matched: set[str] = set()
    held, effects = [], []
    for posts in read.values():
        done = [one.post for one in followed(plan, posts)]
        matched |= {str(posts.ids[at]) for at in done}
        views = compare(posts, done, baseline(plan, posts), METRICS)[0]
        effects += [one.effect for one in effects_by_kind([(plan, ("a", "a"))], posts, "view_count")]
        if views.difference is not None:
            held.append(views.difference.lo <= EFFECT <= views.difference.hi)
    assert matched == doing
    together = pooled(effects)
    assert together is not None and together.lo <= EFFECT <= together.hi and together.lo > 0
    print(f"{np.mean(held):.0%} of {len(held)} intervals hold; together {together}")
    assert len(held) >= 40 and np.mean(held) == pytest.approx(0.8, abs=0.12)
