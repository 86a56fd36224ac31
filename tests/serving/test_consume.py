"""The consumer as a whole, beside what answers requests."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import configs
from features.eventlog.sqlite import SqliteEventLog
from features.events import read_event
from features.lake import Lake
from features.materialize import latest_instant
from features.stream import Consumed, consumed_path
from serving.consume import consume, keep_impressions
from serving.impressions import Impression, Recorder
from tests.serving.markets import market_of
from tests.worlds import NOW, small_settings

MARKET = market_of(["sound", "hashtag"])


@pytest.fixture
def home(trained_home: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained_home, tmp_path / "home")


def serve(home: Path, slates: int) -> None:
    """Leave sealed impressions of two items each, as a worker does."""
    recorder = Recorder(home / "impressions", 100, 0.01, 1, 60)
    for number in range(slates):
        seen = NOW.timestamp() + number
        recorder.record(
            Impression(f"r{number}", "anna", seen, "1", "m", "champion", 1.0, MARKET, np.arange(2), np.ones(2))
        )
    assert recorder.close(5) == 0


def served(home: Path) -> int:
    query = "SELECT count(*) FROM feedback WHERE kind = 'impression'"
    return int(Lake(home / "lake").connect().execute(query).fetchall()[0][0])


def test_impressions_reach_the_lake_while_events_go_on(home: Path) -> None:
    quick = {"stream": {"flush_seconds": 0.1, "push_seconds": 0.2}}
    settings, said, stop = small_settings(home, **quick), list[str](), threading.Event()
    before = latest_instant(Lake(home / "lake"))
    serve(home, 3)
    thread = threading.Thread(target=consume, args=(settings, stop, said.append))
    thread.start()
    try:
        until(lambda: served(home) == 6)
        tell(settings, home)
        until(lambda: Consumed.read(consumed_path(home)).places.get(0) == 1)
        serve(home, 5)  # the first three were there before
        until(lambda: served(home) == 10)
    finally:
        stop.set()
        thread.join()
    assert not list((home / "impressions").iterdir())
    assert len(said) == 1, "its own commits must not make it read the lake again"
    lake = Lake(home / "lake")
    assert latest_instant(lake) > before
    assert lake.latest_at() == NOW, "what was served, later than the event, does not move it"


def test_a_lake_that_somebody_writes_to_gets_impressions_later(home: Path) -> None:
    serve(home, 1)
    lake = Lake(home / "lake", lock_seconds=0.05)
    with lake.writer():
        before, after, more = keep_impressions(home / "impressions", lake)
    assert (after, more, served(home)) == (before, False, 0)
    before, after, _ = keep_impressions(home / "impressions", lake)
    assert (after, served(home)) == (before + 1, 2)
    assert lake.head().number == after


def tell(settings: configs.Settings, home: Path) -> None:
    log = SqliteEventLog(home / settings.events.path)
    at = latest_instant(Lake(home / "lake")).replace(microsecond=999_999)
    body = {"event_id": "e", "kind": "post", "id": "e", "creator_id": "anna", "create_time": at.isoformat()}
    log.append([read_event(body, NOW)], NOW)
    log.close()


def until(look: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.05)
