from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from features.creators import CREATOR_FEATURES, TRAILING_POSTS, creator_features, creator_histories
from features.taste import directions
from tests.features.small_lakes import AT, Rows, counted, history_of, hours, post, rows

QUICK = settings(
    max_examples=10,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)


def keys_of(video: dict) -> list[str]:  # type: ignore[type-arg]
    sound = [f"sound:{video['music_id']}"] if video["music_id"] else []
    return [f"hashtag:{tag}" for tag in video["hashtag_names"]] + sound


@QUICK
@given(rows())
def test_creator_features_equal_a_slow_and_obvious_reference(drawn: Rows) -> None:
    posts = sorted((v for v in drawn.videos if v["create_time"] <= AT), key=lambda v: (v["create_time"], v["id"]))
    history = history_of(drawn)
    frame, pasts = creator_features(history), creator_histories(history)
    names = sorted({v["username"] for v in posts})
    assert frame["creator_id"].tolist() == names and pasts["creator_id"].tolist() == names
    for found, past in zip(frame.to_dict("records"), pasts.to_dict("records"), strict=True):
        mine = [v for v in posts if v["username"] == found["creator_id"]]
        uses = Counter(key for v in mine for key in keys_of(v))
        age_days = [(AT - v["create_time"]).total_seconds() / 86_400 for v in mine]
        followers = [
            (m["observed_at"], m["follower_count"])
            for m in drawn.creator_metrics
            if m["username"] == found["creator_id"] and m["observed_at"] <= AT
        ]
        expected = {
            "followers": math.log1p(max(followers)[1]) if followers else math.nan,
            "posts_known": len(mine),
            "posts_7d": sum(age < 7 for age in age_days),
            "posts_28d": sum(age < 28 for age in age_days),
            "days_since_post": min(age_days),
            "cadence": len(mine) / max(*age_days, 1),
            "trends_per_post": uses.total() / len(mine),
            "uses_per_post": uses.total() / len(mine),
            "distinct_trends": len(uses),
            "adoption_rate": len(uses) / len(mine),
            "sound_uses": sum(n for key, n in uses.items() if key.startswith("sound:")),
        }
        for name, value in expected.items():
            assert found[name] == pytest.approx(value, nan_ok=True), name
        regions = Counter(v["region_code"] for v in mine if v["region_code"])
        top = max(regions.values(), default=0)
        assert found["region"] in ({r for r, n in regions.items() if n == top} or {""})
        assert past["trend_keys"] == sorted(uses)
        assert past["use_counts"].tolist() == [uses[key] for key in sorted(uses)]
        last = [max(v["create_time"] for v in mine if key in keys_of(v)).timestamp() for key in sorted(uses)]
        assert past["last_used"].tolist() == last


def test_the_frame_has_every_feature_in_order() -> None:
    frame = creator_features(history_of(Rows([post("x", "anna", 0)])))
    assert list(frame) == ["creator_id", *(spec.name for spec in CREATOR_FEATURES)]


def test_only_the_latest_posts_with_known_counts_make_the_baseline() -> None:
    old = [post(f"o{n:02}", "anna", n, hashtag_names=["old"]) for n in range(5)]
    new = [post(f"p{n:02}", "anna", 100 + n) for n in range(TRAILING_POSTS)]
    reactions = {"like_count": 8, "comment_count": 1, "share_count": 1}
    counts = [counted(v["id"], 200, 10**6, **reactions) for v in old] + [
        counted(f"p{n:02}", 200, views, **reactions) for n, views in enumerate([100, 100, 400])
    ]
    row = creator_features(history_of(Rows(old + new, counts))).iloc[0]
    assert row["median_views"] == pytest.approx(math.log1p(100))
    assert row["median_engagement"] == pytest.approx(0.1)
    assert row["trends_per_post"] == 0 and row["distinct_trends"] == 1


def test_habits_are_shares_of_posts_by_hour_and_weekday_in_utc() -> None:
    monday = hours(24 * 4 + 9)  # 1 January 2026 is a Thursday
    assert monday == datetime(2026, 1, 5, 9, tzinfo=UTC) and monday.weekday() == 0
    posts = [post(n, "anna", 24 * (4 + 7 * n) + 9) for n in range(3)] + [post("sunday", "anna", 24 * 3 + 23)]
    row = creator_features(history_of(Rows(posts))).iloc[0]
    assert row["weekday_profile"].tolist() == [0.75, 0, 0, 0, 0, 0, 0.25]
    assert row["hour_profile"][9] == 0.75 and row["hour_profile"][23] == 0.25


def test_taste_points_to_what_is_used_and_more_to_what_was_used_lately() -> None:
    posts = [post("x", "anna", 0, hashtag_names=["old"]), post("y", "anna", 24 * 39, hashtag_names=["new"])]
    taste = creator_features(history_of(Rows(posts)))["creator_taste"][0]
    old, new = directions(["hashtag:old", "hashtag:new"])
    assert np.linalg.norm(taste) == pytest.approx(1)
    assert taste @ new > taste @ old
    nothing = creator_features(history_of(Rows([post("x", "anna", 0)])))["creator_taste"][0]
    assert not nothing.any()


def test_a_mainstream_taste_is_one_that_everybody_shares() -> None:
    posts = [post(n, c, n, hashtag_names=["all"]) for n, c in enumerate(["anna", "ben", "cleo"])]
    posts.append(post("own", "dana", 5, hashtag_names=["own"]))
    mainstream = creator_features(history_of(Rows(posts)))["mainstream"]
    assert mainstream[0] == mainstream[1] > mainstream[3]
