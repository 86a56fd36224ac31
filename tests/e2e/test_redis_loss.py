"""The service as in production, and the death of its Redis: slates go on, degraded, and all is well when it is back."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

import configs
from serving.access.key_stores import RedisKeys
from serving.access.keys import create
from serving.assemble import creator_states, patch_log
from serving.hydrate import PackedStates
from serving.live import IDLE_SECONDS
from tests.e2e.conftest import eventually, home_to_serve, serving
from tests.servers import RedisServer, free_port, running_redis
from tests.worlds import small_settings

pytestmark = pytest.mark.e2e

SOON_SECONDS = 0.5
LATEST_SECONDS = 5.0
KEYS_CACHED_SECONDS = 5
WAITED_SECONDS, MOST_WAITED = 0.2, 3
"""One waits for its creator, one for its key; and one may be slow for another reason."""
LOSSES = 25


@dataclass
class Production:
    """A service whose events, creators, keys and limits are all in one Redis.

    Attributes:
        client: of the service.
        folder, server: of the Redis.
        settings: of the service.
        creator_id: somebody known.
    """

    client: httpx.Client
    folder: Path
    server: RedisServer
    settings: configs.Settings
    creator_id: str
    _running: ExitStack = field(default_factory=ExitStack)

    def slate(self) -> tuple[dict[str, Any], float]:
        """A slate, and how long it took."""
        began = time.monotonic()
        response = self.client.post("/v1/recommendations", json={"creator_id": self.creator_id, "k": 10})
        assert response.status_code == 200, response.text
        return dict(response.json()), time.monotonic() - began

    def event(self, name: str) -> httpx.Response:
        """Tell one event."""
        told = {"event_id": name, "kind": "post", "id": name, "creator_id": self.creator_id, "create_time": 1.74e9}
        return self.client.post("/v1/events", json={"events": [told]})

    def degraded(self) -> float:
        """How many answers have been counted as degraded."""
        found = re.search(
            r'^harmonic_degraded_total\{reason="creators"\} (\S+)', self.client.get("/metrics").text, re.M
        )
        return float(found[1]) if found else 0.0

    def signal(self, number: int) -> None:
        """To the Redis."""
        os.kill(self.process, number)

    @property
    def process(self) -> int:
        """Of the Redis."""
        return int((self.folder / "redis.pid").read_text())

    def revive(self) -> None:
        """The Redis again, on the same port and with what it had made durable."""
        self._running.close()
        self._running.enter_context(durable(self.folder, self.server.port))

    def stop(self) -> None:
        """No Redis any more."""
        self._running.close()


def durable(folder: Path, port: int | None = None) -> AbstractContextManager[RedisServer]:
    """A running Redis that loses nothing."""
    options = ("--appendonly", "yes", "--appendfsync", "always", "--pidfile", str(folder / "redis.pid"))
    return running_redis(folder, *options, port=port)


def everything_in(url: str) -> dict[str, Any]:
    """The sections of settings that production has of its own."""
    auth = {"required": True, "keys": "redis", "redis": url, "limits": {"store": "redis"}}
    return {"auth": auth, "events": {"store": "redis", "redis": url}}


@pytest.fixture(scope="module")
def production(trained_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Production]:
    folder = tmp_path_factory.mktemp("redis")
    home = home_to_serve(trained_home, tmp_path_factory.mktemp("production") / "home")
    local = PackedStates(home / "serving" / "creators.sqlite")
    known = [creator for name in local.ids() if (creator := local.get(name))]
    with ExitStack() as running:
        server = running.enter_context(durable(folder))
        settings = small_settings(home, **everything_in(server.url))
        creator_states(settings).replace(known, datetime.now(UTC))
        token = create(RedisKeys(server.url), "test", ["admin"], None, 1, datetime.now(UTC)).token.get_secret_value()
        environment = {f"HARMONIC_{n.upper()}": json.dumps(tree) for n, tree in everything_in(server.url).items()}
        base = running.enter_context(serving(settings, **environment))
        client = running.enter_context(httpx.Client(base_url=base, headers={"x-api-key": token}, timeout=10))
        made = Production(client, folder, server, settings, max(known, key=lambda c: len(c.trend_keys)).creator_id)
        running.callback(made.stop)
        yield made


def is_whole(production: Production) -> bool:
    slate, _ = production.slate()
    return not slate["degraded"] and slate["known_creator"]


def test_with_redis_everything_is_whole(production: Production) -> None:
    assert is_whole(production)
    assert production.event("before").json()["accepted"] == 1
    assert production.client.get("/readyz").json() == {"ready": True, "degraded": []}
    assert production.degraded() == 0


def test_waiting_for_changes_of_the_market_is_no_loss(production: Production) -> None:
    assert not patch_log(production.settings).wait(0, IDLE_SECONDS)


@pytest.mark.parametrize("loss", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hanging"])
def test_without_redis_slates_go_on_and_events_wait_until_it_is_back(production: Production, loss: int) -> None:
    eventually(lambda: is_whole(production))
    counted = production.degraded()
    production.signal(loss)
    try:
        slates = [production.slate() for _ in range(LOSSES)]
        assert all(slate["degraded"] and slate["items"] for slate, _ in slates)
        seconds = sorted(taken for _, taken in slates)
        assert seconds[LOSSES * 9 // 10] < SOON_SECONDS and seconds[LOSSES // 2] < SOON_SECONDS / 10, seconds
        assert seconds[-1] < LATEST_SECONDS, seconds

        refused = production.event(f"during {loss}")
        assert refused.status_code == 503 and int(refused.headers["retry-after"]) > 0
        assert refused.headers["content-type"] == "application/problem+json"
        ready = production.client.get("/readyz")
        assert ready.status_code == 200 and "creators" in ready.json()["degraded"]
        eventually(lambda: production.degraded() >= counted + LOSSES)
    finally:
        if loss == signal.SIGKILL:
            production.revive()
        else:
            production.signal(signal.SIGCONT)
    eventually(lambda: is_whole(production))
    eventually(lambda: production.event(f"after {loss}").status_code == 200)
    assert production.event("before").json()["duplicates"] == 1
    eventually(lambda: production.client.get("/readyz").json()["degraded"] == [])


def test_a_hanging_redis_holds_up_the_first_requests_and_no_more(production: Production) -> None:
    eventually(lambda: is_whole(production))
    production.signal(signal.SIGSTOP)
    try:
        began, seconds = time.monotonic(), []
        while time.monotonic() - began < KEYS_CACHED_SECONDS + 4:
            seconds.append(production.slate()[1])
            time.sleep(0.01)
    finally:
        production.signal(signal.SIGCONT)
    waited = [taken for taken in seconds if taken > WAITED_SECONDS]
    print(f"{len(seconds)} slates; those that waited:", [round(taken, 3) for taken in waited])
    assert max(seconds) < 1.0 and len(waited) <= MOST_WAITED, waited
    eventually(lambda: is_whole(production))


def test_a_worker_that_starts_without_redis_serves_and_says_so(production: Production, tmp_path: Path) -> None:
    home = home_to_serve(production.settings.home, tmp_path / "home")
    nowhere = f"redis://127.0.0.1:{free_port()}/0"
    environment = {"HARMONIC_EVENTS": json.dumps(everything_in(nowhere)["events"])}
    with serving(small_settings(home), **environment) as base, httpx.Client(base_url=base) as client:
        assert client.get("/readyz").json() == {"ready": True, "degraded": ["creators"]}
        slate = client.post("/v1/recommendations", json={"creator_id": production.creator_id}).json()
        assert slate["degraded"] and slate["items"]
