"""Features online, on SQLite and on a real Redis: exact values, in the order asked for, never a step back."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from features.bench import CONFIG
from features.store import FeatureRepository
from features.views import CREATOR_HISTORY, CREATOR_PROFILE, TREND_ACTIVITY, view_specs
from tests.features.stores import (
    DAY,
    FLOATS,
    MICROSECOND,
    NOON,
    TREND,
    TREND_TTL,
    VIEWS,
    bits,
    collect,
    creators,
    histories,
    keys,
    on_redis,
    on_sqlite,
    store,
    trends,
)
from tests.servers import RedisServer, redis_server

__all__ = ["on_sqlite", "redis_server", "store"]


def test_online_rows_and_columns_come_in_the_order_asked_for(store: FeatureRepository) -> None:
    a, b, missing = keys(3)
    store.push(TREND_ACTIVITY, trends([a, b], [1.0, 2.0], event_timestamp=NOON))
    found = store.online(TREND_ACTIVITY, [b, missing, a, b], ["title", "heat"], NOON)
    assert list(found) == ["trend_key", "title", "heat", "event_timestamp"]
    assert found["trend_key"].tolist() == [b, missing, a, b]
    assert found["title"].tolist() == ["dance", None, "dance", "dance"]
    assert bits(found["heat"]) == bits([2.0, np.nan, 1.0, 2.0])
    assert found["event_timestamp"].isna().tolist() == [False, True, False, False]
    assert found["event_timestamp"][0] == NOON


def test_floats_survive_the_online_store_to_the_last_bit(store: FeatureRepository) -> None:
    names = keys(len(FLOATS))
    store.push(TREND_ACTIVITY, trends(names, FLOATS, event_timestamp=NOON))
    assert bits(store.online(TREND_ACTIVITY, names, ["heat"], NOON)["heat"]) == bits(FLOATS)


def test_arrays_and_strings_survive_the_online_store_empty_or_missing(store: FeatureRepository) -> None:
    names = keys(4)
    curves = [np.array([np.nan, -0.0, 1 / 3]), [], None, [np.inf]]
    regions, titles = [["é", ""], [], None, ["VN"]], ["", "é\x00x", None, "ok"]
    rows = trends(names, event_timestamp=NOON, curve=curves, regions=regions, title=titles)
    store.push(TREND_ACTIVITY, rows)
    found = store.online(TREND_ACTIVITY, names, ["curve", "regions", "title"], NOON)
    assert [None if c is None else bits(c) for c in found["curve"]] == [None if c is None else bits(c) for c in curves]
    assert [None if r is None else r.tolist() for r in found["regions"]] == regions
    assert found["title"].tolist() == titles


def test_instants_keep_their_microseconds(store: FeatureRepository) -> None:
    (name,) = keys(1)
    store.push(CREATOR_HISTORY, histories([name]).assign(event_timestamp=NOON))
    cell = store.online(CREATOR_HISTORY, [name], ["used_at"], NOON)["used_at"][0]
    assert cell.dtype == np.dtype("datetime64[us]")
    assert cell.tolist() == [NOON.replace(tzinfo=None), (NOON - DAY).replace(tzinfo=None)]


def test_an_older_row_never_replaces_a_newer_one_not_even_by_a_microsecond(store: FeatureRepository) -> None:
    (name,) = keys(1)
    assert store.push(TREND_ACTIVITY, trends([name], 2.0, event_timestamp=NOON)) == 1
    assert store.push(TREND_ACTIVITY, trends([name], 1.0, event_timestamp=NOON - MICROSECOND)) == 0
    found = store.online(TREND_ACTIVITY, [name], ["heat"], NOON)
    assert found["heat"].tolist() == [2.0]
    assert found["event_timestamp"].tolist() == [pd.Timestamp(NOON)]


def test_a_recomputed_row_replaces_the_one_of_its_instant(store: FeatureRepository) -> None:
    (name,) = keys(1)
    store.push(TREND_ACTIVITY, trends([name], 1.0, event_timestamp=NOON))
    assert store.push(TREND_ACTIVITY, trends([name], 2.0, event_timestamp=NOON)) == 1
    assert store.online(TREND_ACTIVITY, [name], ["heat"], NOON)["heat"].tolist() == [2.0]


def test_of_several_rows_of_one_key_the_latest_is_pushed(store: FeatureRepository) -> None:
    (name,) = keys(1)
    rows = trends([name] * 3, [1.0, 3.0, 2.0], event_timestamp=[NOON, NOON + 2 * DAY, NOON + DAY])
    assert store.push(TREND_ACTIVITY, rows) == 1
    assert store.online(TREND_ACTIVITY, [name], ["heat"], NOON + 2 * DAY)["heat"].tolist() == [3.0]


def test_a_row_beyond_its_ttl_is_missing_online(store: FeatureRepository) -> None:
    (name,) = keys(1)
    store.push(TREND_ACTIVITY, trends([name], event_timestamp=NOON))
    last = store.online(TREND_ACTIVITY, [name], ["heat", "title"], NOON + TREND_TTL)
    gone = store.online(TREND_ACTIVITY, [name], ["heat", "title"], NOON + TREND_TTL + MICROSECOND)
    assert last["heat"].tolist() == [1.0]
    assert np.isnan(gone["heat"][0])
    assert gone["title"][0] is None and gone["event_timestamp"].isna().all()


def test_reading_and_pushing_nothing_is_no_fault(store: FeatureRepository) -> None:
    assert store.push(TREND_ACTIVITY, trends([], event_timestamp=[])) == 0
    assert store.online(TREND_ACTIVITY, [], ["heat"], NOON).empty


def test_materialising_brings_the_latest_rows_online_and_tells_how_far_it_is(
    home: Path, redis_server: RedisServer
) -> None:
    names = keys(1500)
    for each in (FeatureRepository(home / "a", CONFIG, VIEWS), on_redis(home.with_name("b"), redis_server)):
        each.apply()
        each.write(TREND_ACTIVITY, trends(names, 1.0), NOON)
        each.write(TREND_ACTIVITY, trends(names[:1], 2.0), NOON + DAY)
        each.write(TREND_ACTIVITY, trends(names[:2], 3.0), NOON + 2 * DAY)
        each.write(CREATOR_PROFILE, creators(names[:1]), NOON)
        each.write(CREATOR_HISTORY, histories(names[:1]), NOON)
        told: list[tuple[str, int, int]] = []
        written = each.materialize(NOON + DAY, partial(collect, told))
        assert written == {TREND_ACTIVITY: 1500, CREATOR_PROFILE: 1, CREATOR_HISTORY: 1}
        assert told[:2] == [(TREND_ACTIVITY, 1000, 1500), (TREND_ACTIVITY, 1500, 1500)]
        heat = each.online(TREND_ACTIVITY, names, ["heat"], NOON + DAY)["heat"]
        assert heat.tolist() == [2.0] + [1.0] * 1499
        assert each.materialize(NOON)[TREND_ACTIVITY] == 1499  # the one that is newer online stays
        assert each.online(TREND_ACTIVITY, names[:1], ["heat"], NOON + DAY)["heat"].tolist() == [2.0]


def test_rows_beyond_their_ttl_are_not_materialised(home: Path) -> None:
    store = FeatureRepository(home, CONFIG, view_specs(TREND, (), ()))
    store.write(TREND_ACTIVITY, trends(keys(1)), NOON)
    assert store.materialize(NOON + TREND_TTL + MICROSECOND) == {TREND_ACTIVITY: 0}
