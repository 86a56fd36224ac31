from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import configs
from features.evidence.posts import Posts
from features.evidence.viral import follower_series, viral_artists
from features.history import DAY, History
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


def test_a_burst_lies_above_what_came_before_and_tells_only_of_earlier_days(history: History, posts: Posts) -> None:
    found = viral_artists(history, posts.lift)
    assert found and found == sorted(found, key=lambda one: (-one.burst, one.artist_id))
    assert len({one.artist_id for one in found}) == len(found)
    for one in found:
        assert one.burst >= 3 and (one.ends_at - one.starts_at).days == 7
        assert one.ends_at <= history.as_of
        norm = float(np.linalg.norm(one.taste))
        assert norm == pytest.approx(1, abs=0.01) or norm == 0
        if one.measured_by == "uses":
            assert one.value > one.before_value


def test_what_was_done_before_a_burst_is_counted_from_the_posts_of_those_days(history: History, posts: Posts) -> None:
    one = next(one for one in viral_artists(history, posts.lift) if one.kind == "artist" and one.before.posts)
    trends = np.flatnonzero(np.isin(history.trends["id"], one.sounds) & (history.trends["type"] == "sound"))
    of_artist = np.unique(history.use_post[np.isin(history.use_trend, trends)])
    start = int(one.starts_at.timestamp() * 1_000_000)
    created = history.posts["created"][of_artist]
    earlier = of_artist[(created < start) & (created >= start - 14 * DAY)]
    assert one.before.posts == len(earlier)
    assert one.before.creators == len(np.unique(history.posts["creator"][earlier]))


def test_follower_bursts_are_found_where_followers_were_counted_again_and_again(
    world_home: Path, history: History, posts: Posts
) -> None:
    series = follower_series(Lake(world_home / "lake").connect(), history.as_of)
    assert series and all(len(counts) >= 4 for counts in series.values())
    name = next(iter(series))
    jump = series | {
        name: [
            (at, count * (50 if place > len(series[name]) // 2 else 1))
            for place, (at, count) in enumerate(series[name])
        ]
    }
    found = {one.artist_id: one for one in viral_artists(history, posts.lift, jump)}
    assert found[f"creator:{name}"].measured_by == "followers"
