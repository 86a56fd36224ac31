from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

import configs
from features.background import live_trends
from features.history import DAY, micros
from features.trends import (
    STAGES,
    TREND_FEATURES,
    WINDOWS,
    burst,
    generic_limit,
    growth_interval,
    lifecycle_stage,
    rounding_unit,
    saturation,
    trend_features,
)
from tests.features.small_lakes import AT, Rows, counted, history_of, post, rows, trend_settings

QUICK = settings(
    max_examples=15,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)


class Reference:
    """The features by loops over the rows themselves, slow and obvious."""

    def __init__(self, drawn: Rows) -> None:
        now = micros(AT)
        self.drawn, self.age_of = drawn, lambda v: (now - micros(v["create_time"])) / DAY
        self.videos = sorted((v for v in drawn.videos if self.age_of(v) >= 0), key=lambda v: (-self.age_of(v), v["id"]))
        self.by_trend: dict[str, list[dict[str, Any]]] = {}
        for video in self.videos:
            for key in self.keys(video):
                self.by_trend.setdefault(key, []).append(video)

    @staticmethod
    def keys(video: dict[str, Any]) -> list[str]:
        sound = [f"sound:{video['music_id']}"] if video["music_id"] else []
        return [f"hashtag:{tag}" for tag in video["hashtag_names"]] + sound

    def within(self, key: str, days: float) -> list[dict[str, Any]]:
        return [v for v in self.by_trend[key] if self.age_of(v) < days]

    def firsts(self, key: str) -> list[dict[str, Any]]:
        seen: set[str] = set()
        return [v for v in self.by_trend[key] if v["username"] not in seen and not seen.add(v["username"])]

    def views(self, video: dict[str, Any], days_ago: float) -> float:
        known = [
            (m["observed_at"], m["view_count"])
            for m in self.drawn.video_metrics
            if m["id"] == video["id"] and micros(m["observed_at"]) <= micros(AT) - days_ago * DAY
        ]
        return max(known)[1] if known else math.nan

    def views_gained(self, key: str, days: int) -> float:
        young = {v["id"] for v in self.within(key, days)}
        gained = [self.views(v, 0) - (0 if v["id"] in young else self.views(v, days)) for v in self.by_trend[key]]
        known = [g for g in gained if not math.isnan(g)]
        return sum(known) if known else math.nan

    def velocity(self, key: str, days: int, until: int = 0) -> float:
        uses = [self.age_of(v) for v in self.by_trend[key]]
        now, before = (1 + sum(age >= d for age in uses) for d in (until, until + days))
        return math.log(now / before) / days

    def saturation(self, key: str, live: set[str]) -> float:
        creators = {k: {v["username"] for v in self.by_trend[k]} for k in live}
        relevant = set().union(*(who for who in creators.values() if who & creators[key]))
        return len(creators[key]) / len(relevant)

    def active(self) -> set[str]:
        return {v["username"] for v in self.videos if self.keys(v) and self.age_of(v) < 28}

    def regions(self, key: str) -> dict[str, float]:
        counts = Counter(v["region_code"] for v in self.within(key, 28) if v["region_code"])
        return {region: n / counts.total() for region, n in sorted(counts.items())}

    def row(self, key: str, live: set[str]) -> dict[str, float]:
        month = self.within(key, 28)
        by_creator = Counter(v["username"] for v in month)
        firsts = self.firsts(key)
        row = {
            "saturation": self.saturation(key, live),
            "creator_share_28d": len(by_creator) / len(self.active()),
            "top_region_share": max(self.regions(key).values(), default=math.nan),
            "concentration": sum(n * n for n in by_creator.values()) / len(month) ** 2,
            "repeat_share": 1 - sum(v in firsts for v in month) / len(month),
            "creators_ever": len({v["username"] for v in self.by_trend[key]}),
            "recent_adopters_5d": sum(0.5 ** (self.age_of(v) / 5) for v in firsts),
            "posts_per_creator_28d": len(month) / len(by_creator),
        }
        for w in WINDOWS:
            young = self.within(key, w)
            row[f"uses_{w}d"] = len(young)
            row[f"creators_{w}d"] = len({v["username"] for v in young})
            row[f"adopters_{w}d"] = sum(v in young for v in firsts)
            row[f"views_gained_{w}d"] = self.views_gained(key, w)
            row[f"velocity_{w}d"] = self.velocity(key, w)
            row[f"acceleration_{w}d"] = (self.velocity(key, w) - self.velocity(key, w, w)) / w
        return row


@QUICK
@given(rows())
def test_trend_features_equal_a_slow_and_obvious_reference(drawn: Rows) -> None:
    slow = Reference(drawn)
    live = {key for key in slow.by_trend if len({v["username"] for v in slow.within(key, 28)}) >= 2}
    frame = trend_features(history_of(drawn), trend_settings(min_creators=2))
    assert frame["trend_key"].tolist() == sorted(live)
    for found in frame.to_dict("records"):
        for name, value in slow.row(found["trend_key"], live).items():
            assert found[name] == pytest.approx(value, nan_ok=True), (found["trend_key"], name)
        regions = slow.regions(found["trend_key"])
        assert found["region_codes"] == list(regions)
        assert found["region_shares"].tolist() == pytest.approx(list(regions.values()))
        assert found["daily_uses"].sum() == found["uses_28d"]
        assert found["daily_uses"][-1] == found["uses_1d"]


def lake_of(uses: dict[str, list[tuple[str, float]]]) -> Rows:
    """Trend → (creator, days before `AT`) of each use, in a post of its own."""
    many = [(tag, *use) for tag, of in uses.items() for use in of]
    return Rows([post(n, c, (40 - d) * 24, hashtag_names=[tag]) for n, (tag, c, d) in enumerate(many)])


def test_a_trend_is_live_with_enough_creators_inside_the_window_whose_old_end_is_open() -> None:
    lake = lake_of(
        {
            "often": [("anna", 1), ("anna", 2), ("anna", 3), ("ben", 3)],
            "edge": [("anna", 28), ("ben", 1), ("cleo", 1)],
            "live": [("anna", 27.9), ("ben", 1), ("cleo", 0)],
        }
    )
    history = history_of(lake)
    assert history.trends["id"][live_trends(history, 28, 3)].tolist() == ["live"]
    assert history.trends["id"][live_trends(history, 28, 2)].tolist() == ["edge", "live", "often"]


def test_generic_is_above_the_limit_not_at_it() -> None:
    assert generic_limit(np.array([0.04, 0.05, 0.0501]), 0.05).tolist() == [False, False, True]


def test_a_market_without_any_live_trend_is_an_empty_frame_with_every_column() -> None:
    frame = trend_features(history_of(lake_of({"a": [("anna", 1)]})), trend_settings(min_creators=3))
    assert len(frame) == 0
    assert list(frame) == ["trend_key", *(spec.name for spec in TREND_FEATURES)]


def test_rounding_steps_are_tiktoks() -> None:
    counts = np.array([0, 9_999, 10_000, 999_900, 1_000_000, 9.9e8, 1e9, np.nan])
    assert rounding_unit(counts)[:-1].tolist() == [1, 1, 100, 100, 1e5, 1e5, 1e8]
    assert np.isnan(rounding_unit(counts)[-1])


def test_growth_that_rounding_allows_brackets_the_growth_of_the_true_counts() -> None:
    chance = np.random.default_rng(0)
    before = chance.uniform(2e4, 5e7, 500)
    after = before * chance.uniform(0.95, 1.3, 500)
    shown = [np.round(count / rounding_unit(count)) * rounding_unit(count) for count in (before, after)]
    low, high = growth_interval(*shown)
    assert (low <= np.log(after / before)).all() and (np.log(after / before) <= high).all()


def test_public_growth_needs_an_earlier_count_and_takes_the_latest_before_each_instant() -> None:
    lake = lake_of({"a": [("anna", 1), ("ben", 2)], "b": [("anna", 1), ("ben", 1)]})
    for days, value in ((8, 1000), (7.5, 2000), (3, 4000), (0.5, 8000)):
        lake.trend_snapshots.append(
            {"trend_type": "hashtag", "trend_id": "a", "observed_at": AT - np.timedelta64(int(days * 24), "h").item()}
            | {"region": "", "name": "a", "metric": "views", "value": value, "position": 3}
        )
    a, b = trend_features(history_of(lake), trend_settings()).to_dict("records")
    assert a["market_count"] == pytest.approx(math.log1p(8000))
    assert [a[f"market_growth_{w}d"] for w in (1, 3, 7)] == pytest.approx([math.log(2), math.log(2), math.log(4)])
    assert a["market_position"] == 3
    assert all(math.isnan(b[name]) for name in b if name.startswith("market_"))


def test_burst_is_zero_for_a_steady_trend_and_grows_with_the_latest_rate() -> None:
    steady = np.full((1, 28), 4.0)
    assert burst(steady)[0] == pytest.approx(0)
    rising = steady.repeat(3, axis=0)
    rising[:, -3:] = [[4], [8], [16]]
    scores = burst(rising)
    assert scores[0] < scores[1] < scores[2]
    assert burst(np.eye(1, 28, 27))[0] < 3  # one use after a quiet month is no explosion


def test_saturation_of_a_trend_apart_from_all_others_is_whole() -> None:
    import scipy.sparse as sp

    used = sp.csr_matrix(np.array([[1, 1, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1.0]]))
    assert saturation(used).tolist() == pytest.approx([1 / 3, 1, 1])


def test_stages_follow_the_published_rule_in_its_order() -> None:
    rule = configs.load().trends.lifecycle
    now = 100 * 86_400.0
    cases = {
        "emerging": (now - 3 * 86_400, 0.0, 0.9),
        "evergreen": (0.0, 0.0, 0.9),
        "declining": (now - 30 * 86_400, rule.declining_velocity - 0.01, 0.9),
        "peaking": (now - 30 * 86_400, rule.rising_velocity + 0.01, rule.peaking_saturation),
        "rising": (now - 30 * 86_400, rule.rising_velocity + 0.01, 0.1),
    }
    first, pace, share = (np.array(column) for column in zip(*cases.values(), strict=True))
    columns = {"first_used_at": first, "velocity_7d": pace, "velocity_28d": np.zeros(5), "saturation": share}
    assert lifecycle_stage(columns, now, rule).tolist() == list(cases)
    assert set(cases) == set(STAGES)


def test_unknown_views_are_no_views_gained_of_nothing() -> None:
    lake = lake_of({"a": [("anna", 10), ("ben", 2)]})
    assert math.isnan(trend_features(history_of(lake), trend_settings())["views_gained_7d"][0])
    lake.video_metrics.append(counted(1, 39.5 * 24, 70))
    frame = trend_features(history_of(lake), trend_settings())
    assert (frame["views_gained_7d"][0], frame["views_gained_1d"][0]) == (70, pytest.approx(math.nan, nan_ok=True))
