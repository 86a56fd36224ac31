from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from configs import Settings
from features.lake import Lake
from features.materialize import known_by, latest_instant
from features.patches.log import PatchLog, SqlitePatchLog, TrendRows
from features.patches.redis import RedisPatchLog
from features.rolling.history import RollingHistory
from models.market import FORECAST_COLUMNS, TREND_COLUMNS, Market
from models.patches import patched
from serving.live import LiveMarket, with_patches
from serving.snapshot import TrendSnapshot
from tests.features.small_lakes import bits
from tests.servers import RedisServer, redis_server
from tests.worlds import moment_of, small_settings

__all__ = ["redis_server"]

DAYS = 6
NOT_PATCHED = [TREND_COLUMNS.index(name) for name in FORECAST_COLUMNS]


class World:
    """A market of some days ago, and a history that has been rolled on to the end."""

    def __init__(self, home: Path) -> None:
        self.settings: Settings = small_settings(home)
        lake = Lake(home / "lake")
        self.then = latest_instant(lake) - timedelta(days=DAYS)
        self.now = self.then + timedelta(days=DAYS)
        self.market = moment_of(lake, self.then, self.settings).market
        self.rolling = RollingHistory.load(lake, self.then, self.settings)
        self.rolling.advance(self.now)
        self.batch = moment_of(lake, self.now, self.settings).market
        self.frame = self.rolling.trend_rows()
        self.history = known_by(lake, self.now, self.settings)

    def rows(self, *keys: str) -> TrendRows:
        return TrendRows.of(self.frame[self.frame["trend_key"].isin(keys)], self.now)

    def snapshot(self) -> TrendSnapshot:
        return TrendSnapshot("m", self.market)


@pytest.fixture(scope="module")
def world(world_home: Path) -> World:
    return World(world_home)


@pytest.fixture(params=["sqlite", "redis"])
def patch_log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PatchLog]:
    if request.param == "sqlite":
        yield SqlitePatchLog(tmp_path / "live.sqlite")
        return
    import redis

    server: RedisServer = request.getfixturevalue("redis_server")
    host, _, port = server.address.partition(":")
    client = redis.Redis(host=host, port=int(port.partition(",")[0]))
    client.delete("hb:{patches}:log", "hb:{patches}:seq", "hb:{patches}:whole")
    yield RedisPatchLog(client)
    client.close()


def row(market: Market, key: str) -> dict[str, object]:
    """What a market says of a trend, apart from forecasts, to the last bit."""
    at = market.row_of[key]
    regions = {
        code: bits(share) for code, share in zip(market.region_codes, market.region_shares[at], strict=True) if share
    }
    texts = [column[at] for column in (market.types, market.ids, market.names, market.authors, market.stages)]
    numbers = [np.delete(market.numeric[at], NOT_PATCHED), market.taste[at], market.daily_uses[at]]
    return {"texts": texts, "numbers": bits(numbers), "regions": regions, "may": bool(market.recommendable[at])}


def test_patched_rows_are_those_of_a_market_made_from_nothing_at_that_instant(world: World) -> None:
    market, half = world.market, len(world.frame) // 2
    middle = world.frame["trend_key"][half - 1]
    for rows, covers in ((world.frame[:half], ("", middle)), (world.frame[half:], (middle, None))):
        chunk = TrendRows.of(rows, world.now, covers=covers)
        market, _ = patched(market, TrendRows.unpack(chunk.pack()), world.settings.trends)
    new = set(world.batch.row_of) - set(world.market.row_of)
    gone = set(world.market.row_of) - set(world.batch.row_of)
    assert new and gone
    assert market.as_of == world.now
    assert all(row(market, key) == row(world.batch, key) for key in world.batch.row_of)
    assert not any(market.recommendable[market.row_of[key]] for key in gone)


def test_a_patch_changes_its_rows_alone_and_leaves_the_old_market_as_it_was(world: World) -> None:
    key = next(key for key in world.batch.keys if key in world.market.row_of)
    before = {other: row(world.market, other) for other in world.market.keys}
    market, changed = patched(world.market, world.rows(key), world.settings.trends)
    assert changed.tolist() == [world.market.row_of[key]]
    assert row(market, key) == row(world.batch, key) != before[key]
    assert all(row(market, other) == said for other, said in before.items() if other != key)
    assert all(row(world.market, other) == said for other, said in before.items())


def test_what_is_so_already_is_no_change(world: World) -> None:
    chunk = TrendRows.of(world.frame, world.now, covers=("", None))
    market, changed = patched(world.market, chunk, world.settings.trends)
    again, unchanged = patched(market, chunk, world.settings.trends)
    assert len(changed) and not len(unchanged)
    assert all(row(again, key) == row(market, key) for key in market.keys)


def test_a_new_trend_joins_at_the_end_and_no_generator_proposes_it(world: World) -> None:
    key = next(iter(sorted(set(world.batch.row_of) - set(world.market.row_of))))
    world.market.for_everybody  # noqa: B018  computed before, it has to grow
    market, changed = patched(world.market, world.rows(key), world.settings.trends)
    assert market.row_of[key] == len(market) - 1 == len(world.market) == changed[0]
    assert row(market, key) == row(world.batch, key)
    assert len(set(market.variant_group.tolist())) <= len(market)
    from models.creator import Creator, histories

    history = histories([Creator.newcomer("x", tags=["a"])], market)
    for name, generator in market.generators.items():
        scores = generator.scores(history)[0]
        assert len(scores) == len(market) == len(market.for_everybody[name])
        assert scores[-1] == 0


def test_a_patch_log_gives_patches_in_order_and_a_late_reader_the_last_whole_picture(
    world: World, patch_log: PatchLog
) -> None:
    one, two = world.rows(world.batch.keys[0]), world.rows(world.batch.keys[1])
    assert patch_log.append([one], 1) == 1
    assert [patch.seq for patch in patch_log.read(0)] == [1]
    patch_log.mark_whole(patch_log.append([one], 2))
    assert patch_log.append([two, one], 4) == 4
    late = patch_log.read(0)
    assert [(patch.seq, patch.through_seq) for patch in late] == [(2, 2), (3, 4), (4, 4)]
    assert bits(late[1].rows.numbers) == bits(two.numbers)
    assert [patch.seq for patch in patch_log.read(3)] == [4]
    patch_log.mark_whole(patch_log.append([one], 5))
    assert [patch.seq for patch in patch_log.read(0)] == [5]
    assert [patch.seq for patch in patch_log.read(1_000)] == [5], "the log began anew"


def test_patches_from_before_a_market_was_published_are_passed_over(world: World, patch_log: PatchLog) -> None:
    key = next(key for key in world.batch.keys if key in world.market.row_of)
    stale = TrendRows.of(world.frame.assign(burst=-99.0), world.then - timedelta(seconds=1))
    patch_log.append([stale], 1)
    patch_log.append([world.rows(key)], 2)
    now = with_patches(world.snapshot(), patch_log.read(0), world.settings.trends)
    assert now.version == "m+2" and now.place == 2 and now.parent == "m"
    assert row(now.market, key) == row(world.batch, key)
    assert not (now.market.column("burst") == -99).any()
    assert with_patches(now, patch_log.read(2), world.settings.trends) is now
    past = replace(world.snapshot(), pinned=True)
    assert with_patches(past, patch_log.read(0), world.settings.trends) is past


def test_a_follower_swaps_in_every_patch_soon_after_it_was_written(world: World, patch_log: PatchLog) -> None:
    live, seen = LiveMarket(patch_log, world.settings.trends), [world.snapshot()]
    came = threading.Event()

    def swap(change: Callable[[TrendSnapshot], TrendSnapshot]) -> None:
        seen.append(change(seen[-1]))
        came.set()

    live.follow(lambda: seen[-1], swap)
    took = []
    try:
        for n in range(10):
            came.clear()
            began = time.monotonic()
            patch_log.append([world.rows(world.batch.keys[n])], n + 1)
            assert came.wait(5)
            took.append(time.monotonic() - began)
    finally:
        live.stop()
    assert seen[-1].place == 10
    assert all(later.parent == earlier.version for earlier, later in pairwise(seen))
    assert np.median(took) < 0.5
