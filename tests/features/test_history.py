from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import configs
from features.creators import creator_features, creator_histories
from features.errors import EmptyLake
from features.history import DAY, History, micros
from features.trends import trend_features
from models.candidates import fit_generators
from models.interactions import from_history, vocabulary
from tests.features.small_lakes import AT, START, Rows, bits, counted, history_of, hours, post, rows, trend_settings

QUICK = settings(
    max_examples=10,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
CLOCKS = st.sampled_from(["created", "observed"])


def everything(history: History) -> Any:
    """All that is computed of a history, to the last bit."""
    regions = creator_features(history)["region"].to_numpy(object)
    words = vocabulary(history, history.trends["key"], regions, 2, 100)
    interactions = from_history(history, words, history.trends["key"], regions)
    generators = fit_generators(interactions, configs.load().candidates) if min(interactions.used.shape) > 1 else {}
    return [
        bits(history),
        bits(trend_features(history, trend_settings())),
        bits(creator_features(history)),
        bits(creator_histories(history)),
        {name: bits(dict(g.arrays())) for name, g in generators.items()},
    ]


def loaded(parts: Rows | list[Rows], posts_known: str) -> Any:
    try:
        return everything(history_of(parts, AT, posts_known))
    except EmptyLake:
        return "empty"


@QUICK
@given(rows(), CLOCKS)
def test_no_feature_as_of_an_instant_changes_when_later_rows_are_added(drawn: Rows, posts_known: str) -> None:
    early = drawn.known(AT, posts_known)
    if not early.videos:
        return
    ids = {v["id"] for v in early.videos}
    later = Rows(
        [v for v in drawn.videos if v["id"] not in ids],
        *(
            [r for r in metrics if r["observed_at"] > AT]
            for metrics in (drawn.video_metrics, drawn.creator_metrics, drawn.trend_snapshots)
        ),
    )
    assert loaded([early, later], posts_known) == loaded(early, posts_known)


@QUICK
@given(rows(), CLOCKS, st.integers(0, 2**32))
def test_the_order_of_rows_changes_nothing_to_the_last_bit(drawn: Rows, posts_known: str, seed: int) -> None:
    assert loaded(drawn.shuffled(seed), posts_known) == loaded(drawn, posts_known)


@settings(QUICK, max_examples=4)
@given(rows(), st.integers(0, 2**32))
def test_how_rows_are_spread_over_ingests_changes_nothing(drawn: Rows, seed: int) -> None:
    mixed = drawn.shuffled(seed)
    halves = [Rows(*(part[at::2] for part in vars(mixed).values())) for at in (0, 1)]
    assert loaded(halves, "created") == loaded(drawn, "created")


def test_a_post_is_known_from_its_creation_or_from_when_it_was_first_seen() -> None:
    late = post("late", "anna", 100, observed_at=hours(200), hashtag_names=["a"])
    lake = Rows([late, post("other", "ben", 1)])
    assert list(history_of(lake, hours(100), "created").posts["id"]) == ["other", "late"]
    assert list(history_of(lake, hours(199), "observed").posts["id"]) == ["other"]
    assert list(history_of(lake, hours(200), "observed").posts["id"]) == ["other", "late"]


def test_counts_are_the_latest_observed_by_the_instant_and_unknown_before_the_first() -> None:
    lake = Rows(
        [post("x", "anna", 0), post("y", "ben", 1)],
        [counted("x", 10, 5), counted("x", 30, 9), counted("x", 24 * 9, 70)],
    )
    then = history_of(lake, hours(30)).posts
    assert then["view_count"][0] == 9 and np.isnan(then["view_count"][1])
    assert then["view_count_1d_ago"][0] != then["view_count_1d_ago"][0]
    assert then["counted"].tolist() == [micros(hours(30)), 0]
    later = history_of(lake, hours(24 * 9)).posts
    assert (later["view_count_1d_ago"][0], later["view_count_7d_ago"][0]) == (9, 9)


def test_zero_views_of_a_post_that_somebody_liked_are_unknown() -> None:
    lake = Rows([post("x", "anna", 0), post("y", "anna", 1)], [counted("x", 2, 0, like_count=3), counted("y", 2, 0)])
    views = history_of(lake).posts["view_count"]
    assert np.isnan(views[0]) and views[1] == 0


def test_a_use_is_a_hashtag_or_a_named_sound_once_per_post() -> None:
    lake = Rows(
        [
            post("x", "anna", 0, hashtag_names=["b", "a", "b"], music_id="7", music_title="song"),
            post("y", "ben", 1, music_id="8", music_title="original sound"),
            post("z", "ben", 2, music_id="9", music_title=None),
        ]
    )
    history = history_of(lake)
    assert history.trends["key"].tolist() == ["hashtag:a", "hashtag:b", "sound:7", "sound:9"]
    assert history.use_trend.tolist() == [0, 1, 2, 3]
    assert history.use_post.tolist() == [0, 0, 0, 2]


def test_a_sounds_title_is_the_one_of_its_latest_post_and_a_hashtags_is_its_name() -> None:
    named = [
        post("x", "anna", 5, music_id="7", music_title="new name", music_author="B"),
        post("y", "ben", 1, music_id="7", music_title="old name", music_author="A", hashtag_names=["dance"]),
    ]
    trends = history_of(Rows(named)).trends
    assert trends["name"].tolist() == ["dance", "new name"]
    assert trends["author"].tolist() == [None, "B"]


def test_only_a_creators_first_use_of_a_trend_is_an_adoption() -> None:
    lake = Rows([post(n, c, n, hashtag_names=["a"]) for n, c in enumerate(["anna", "ben", "anna", "ben", "cleo"])])
    assert history_of(lake).first_uses().tolist() == [True, True, False, False, True]


def test_followers_are_the_latest_known_and_unknown_without_an_observation() -> None:
    seen = [(-1, 4), (5, 10), (99, 50)]
    metrics = [{"username": "ben", "observed_at": hours(h), "follower_count": n} for h, n in seen]
    metrics += [{"username": "somebody else", "observed_at": hours(1), "follower_count": 7}]
    history = history_of(Rows([post("x", "anna", 0), post("y", "ben", 0)], [], metrics), hours(98))
    assert history.creators.tolist() == ["anna", "ben"]
    assert np.isnan(history.followers[0]) and history.followers[1] == 10


def test_public_counts_are_those_of_the_world_where_a_list_has_regions_too() -> None:
    row = {"trend_type": "hashtag", "trend_id": "a", "observed_at": hours(1), "name": "a", "metric": "views"}
    snapshots = [row | {"region": "DE", "value": 5, "position": 1}, row | {"region": "", "value": 50, "position": 2}]
    market = history_of(Rows([post("x", "anna", 0, hashtag_names=["a"])], [], [], snapshots)).market
    assert (market["value"].tolist(), market["place"].tolist()) == ([50.0], [2.0])


def test_an_instant_before_the_first_post_says_what_to_do() -> None:
    with pytest.raises(EmptyLake, match="choose a later --as-of"):
        history_of(Rows([post("x", "anna", 5)]), START)


def test_instants_are_whole_microseconds() -> None:
    assert micros(START + timedelta(days=1)) - micros(START) == DAY
    assert micros(START + timedelta(microseconds=7)) % 1_000_000 == 7
