from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import configs
from features.creators import creator_features, creator_histories
from features.eventlog.sqlite import SqliteEventLog
from features.events import Event, read_event
from features.history import load_history
from features.lake import Lake
from features.materialize import latest_instant
from features.patches.log import SqlitePatchLog
from features.stream import Consumer, consumed_path
from features.trends import trend_features
from tests.features.small_lakes import START, Rows, bits, hours, post, trend_settings

ROOT = Path(__file__).parents[2]
WALL = START + timedelta(days=100)
"""When the events come in: later than everything they tell."""

TITLES = ("original sound",)


def settings_of(home: Path) -> configs.Settings:
    loaded = configs.load(home=home)
    return loaded.model_copy(update={"trends": trend_settings(2)})


def told(n: int, creator: str, created: float, *tags: str, **more: Any) -> Event:
    body = {"event_id": f"e{n}", "kind": "post", "id": f"p{n}", "creator_id": creator, "hashtags": list(tags)}
    return read_event(body | {"create_time": hours(created).isoformat()} | more, WALL)


def counts(n: int, of: int, at: float, views: int) -> Event:
    body = {"event_id": f"c{n}", "kind": "observation", "id": f"p{of}", "observed_at": hours(at).isoformat()}
    return read_event(body | {"counts": {"view_count": views, "like_count": views // 9}}, WALL)


class Stage:
    """A state folder with a lake of two posts, an event log, and what a consumer puts out."""

    def __init__(self, home: Path) -> None:
        self.settings = settings_of(home)
        self.lake = Lake(home / "lake")
        start = [post(n, name, 500 + n, hashtag_names=["a"]) for n, name in enumerate(("anna", "ben"))]
        self.lake.append(Rows(start).tables())
        self.log = SqliteEventLog(home / self.settings.events.path, TITLES)
        self.patches = SqlitePatchLog(home / "serving" / "live.sqlite")
        self.creators: dict[str, dict[str, Any]] = {}

    def consumer(self) -> Consumer:
        return Consumer(self.log, self.lake, self.patches, self._put, self.settings, lambda: WALL)

    def _put(self, frame: pd.DataFrame, as_of: datetime, through_seq: int) -> None:
        self.creators |= {row["creator_id"]: row for row in frame.to_dict("records")}

    def market(self) -> dict[str, Any]:
        """What a reader of all patches knows of every trend."""
        known: dict[str, Any] = {}
        for patch in self.patches.read(0):
            rows = patch.rows
            if rows.covers:
                known = {k: v for k, v in known.items() if k <= rows.covers[0] or k > (rows.covers[1] or "\U0010ffff")}
            known |= {key: bits(rows.numbers[at]) for at, key in enumerate(rows.texts["trend_key"].tolist())}
            known = {key: value for key, value in known.items() if key not in rows.gone}
        return known


@pytest.fixture
def stage(home: Path) -> Iterator[Stage]:
    made = Stage(home)
    yield made
    made.log.close()


def test_an_event_is_in_the_patches_and_in_the_creator_as_a_batch_would_have_it(stage: Stage) -> None:
    consumer = stage.consumer()
    posts = [told(1, "cleo", 510, "a", "b"), told(2, "anna", 509, "b"), told(4, "dora", 510.5, "b")]
    events = [*posts, counts(3, 1, 510, 90)]
    stage.log.append(events, WALL)
    assert consumer.step(0) == 4
    consumer.settle()
    assert stage.log.overlay("cleo") is None, "the state holds it now"
    assert consumer.flush() == 1, "one batch"
    history = load_history(stage.lake.connect(), consumer.rolling.now, "created", TITLES)
    assert history.as_of == hours(510.5)
    batch = trend_features(history, stage.settings.trends)
    assert sorted(stage.market()) == batch["trend_key"].tolist() == ["hashtag:a", "hashtag:b"]
    found = consumer.rolling.trend_rows()
    assert bits(found) == bits(batch)
    creators = creator_features(history).merge(creator_histories(history), on="creator_id").set_index("creator_id")
    for name in ("cleo", "anna", "dora"):
        assert stage.creators[name]["trend_keys"] == creators.loc[name, "trend_keys"]
        assert stage.creators[name]["days_since_post"] == pytest.approx(creators.loc[name, "days_since_post"], abs=1)


def test_one_post_long_after_all_others_moves_time_by_a_stride_and_leaves_the_market_alive(stage: Stage) -> None:
    consumer = stage.consumer()
    before = consumer.rolling.now
    stage.log.append([told(1, "cleo", 2_300, "a")], WALL)
    assert consumer.step(0) == 1
    assert consumer.rolling.now == before + timedelta(days=stage.settings.stream.stride_days)
    assert set(consumer.rolling.trend_rows()["trend_key"]) == {"hashtag:a"}


def test_a_few_posts_after_a_long_silence_are_strays_and_many_are_not(home: Path) -> None:
    lake = Lake(home / "lake")
    lake.append(Rows([post(n, "anna", n, hashtag_names=["a"]) for n in range(8)]).tables())
    lake.append(Rows([post(100 + n, "ben", 2_000 + n, hashtag_names=["a"]) for n in range(3)]).tables())
    assert latest_instant(lake) == hours(7)
    lake.append(Rows([post(200, "ben", 2_003, hashtag_names=["a"])]).tables())
    assert latest_instant(lake) == hours(2_003)


def test_a_new_consumer_goes_on_where_the_lake_is_and_applies_what_the_log_has_beyond(stage: Stage) -> None:
    first = stage.consumer()
    stage.log.append([told(1, "cleo", 510, "b"), told(2, "anna", 511, "b")], WALL)
    first.step(0)
    first.settle()
    first.flush()
    stage.log.append([told(3, "ben", 512, "b", "a")], WALL)
    first.step(0)  # killed before the lake had it
    again = stage.consumer()
    assert again.applied == {0: 2}
    assert again.step(0) == 1
    again.settle()
    again.flush()
    assert stage.lake.counts()["videos"] == 5
    assert bits(again.rolling.trend_rows()) == bits(first.rolling.trend_rows())


def test_what_was_written_before_a_kill_is_not_written_twice(stage: Stage) -> None:
    consumer = stage.consumer()
    stage.log.append([told(1, "cleo", 510, "b", counts={"view_count": 5}), counts(2, 1, 520, 90)], WALL)
    consumer.step(0)
    consumer.settle()
    consumer.flush()
    before = stage.lake.counts()
    consumed_path(stage.settings.home).unlink()  # as if killed between the lake and the place
    again = stage.consumer()
    assert again.step(0) == 2
    again.settle()
    again.flush()
    assert stage.lake.counts() == before
    assert stage.creators["cleo"]["posts_known"] == 1


def test_another_writer_of_the_lake_is_noticed_and_waited_for(stage: Stage) -> None:
    consumer = stage.consumer()
    stage.log.append([told(1, "cleo", 510, "b")], WALL)
    consumer.step(0)
    consumer.settle()
    stage.lake.lock_seconds = 0.05
    with Lake(stage.lake.root).writer():
        assert consumer.flush() == 0
    assert not consumer.is_stale()
    assert consumer.flush() == 1
    assert not consumer.is_stale()
    stage.lake.append(Rows([post("else", "ed", 3)]).tables())
    assert consumer.is_stale()


def test_everything_is_computed_anew_in_parts_and_a_late_reader_begins_there(stage: Stage) -> None:
    consumer = stage.consumer()
    assert sorted(stage.market()) == ["hashtag:a"]
    stage.log.append([told(n, f"c{n}", 510 + n % 7, f"t{n % 400}") for n in range(800)], WALL)
    while consumer.step(0):
        pass
    before = stage.market()
    assert len(before) == 401
    first = stage.patches.read(0)[0].seq
    consumer.sweep_all()
    whole = stage.patches.read(0)
    assert whole[0].seq > first and all(patch.rows.covers is not None for patch in whole)
    assert sorted(stage.market()) == sorted(before)


def test_a_feedback_reaches_the_lake_and_a_dismissal_stays_in_the_overlay(stage: Stage) -> None:
    consumer = stage.consumer()
    body = {"event_id": "f", "kind": "feedback", "feedback": "dismiss", "creator_id": "anna", "trend_type": "hashtag"}
    stage.log.append([read_event(body | {"trend_id": "a", "occurred_at": hours(510).isoformat()}, WALL)], WALL)
    consumer.step(0)
    consumer.settle()
    consumer.flush()
    assert stage.lake.counts()["feedback"] == 1
    overlay = stage.log.overlay("anna")
    assert overlay is not None and overlay.dismissed == ("hashtag:a",)


SCRIPT = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from tests.features.test_stream import Stage, WALL
from features.stream import Consumer

home = Path(sys.argv[1])
stage = Stage(home)
consumer = stage.consumer()
print("ready", flush=True)
while True:
    consumer.step(0.01)
    consumer.settle()
    consumer.flush()
"""


def start(home: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(home)], cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def test_a_consumer_killed_at_any_moment_loses_no_event_and_doubles_none(home: Path) -> None:
    stage, chance, n = Stage(home), random.Random(3), 0
    for _ in range(4):
        process = start(home)
        until = time.monotonic() + chance.random() * 1.2
        while time.monotonic() < until:
            some = [told(i, f"c{i % 9}", 510 + i / 50, f"t{i % 5}") for i in range(n, n + 5)]
            stage.log.append([*some, counts(n, n, 520 + n / 50, n)], WALL)
            n += 5
        process.send_signal(signal.SIGKILL)
        process.wait()
    consumer = stage.consumer()
    while consumer.step(0):
        consumer.settle()
        consumer.flush()
    assert stage.lake.counts()["videos"] == n + 2
    assert stage.lake.counts()["video_metrics"] == n // 5
    history = load_history(stage.lake.connect(), consumer.rolling.now, "created", TITLES)
    assert bits(consumer.rolling.trend_rows()) == bits(trend_features(history, stage.settings.trends))
    stage.log.close()


assert WALL.tzinfo is UTC
