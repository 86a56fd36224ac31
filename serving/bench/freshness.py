"""Benchmark: how soon every worker shows an event that was acknowledged, and whether anyone reads their writes."""

from __future__ import annotations

import http.client
import json
import os
import platform
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import numpy as np

from configs import Settings
from serving.assemble import creator_states, has_model, market_folder
from serving.errors import NotReady
from serving.process.launch import ROOT, ConsumerProcess, command, environment, wait_until_ready
from serving.snapshot import load

HOST: Final = "127.0.0.1"
WORKERS: Final = 2
SENDERS: Final = 4
READERS: Final = 2
READS_PER_SECOND: Final = 20
PROBES_PER_SECOND: Final = 4
POLL_SECONDS: Final = 0.004
PATIENCE_SECONDS: Final = 10.0
NOT_COPIED: Final = ("mlflow", "world", "bentoml", "events")
PROBE: Final = "uses_28d"

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Stage:
    """A running service and what may be asked of it.

    Attributes:
        port, workers: where it listens, and the process ids of its workers.
        creators: ids of known creators.
        tags: ids of live hashtags that may be recommended.
        as_of: the instant of the market: events tell what happened right after it.
    """

    port: int
    workers: tuple[int, ...]
    creators: tuple[str, ...]
    tags: tuple[str, ...]
    as_of: datetime


class Client:
    """One keep-alive connection, used by one thread."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection(HOST, port, timeout=PATIENCE_SECONDS)
        self._connection.connect()

    @property
    def port(self) -> int:
        """Its own end's port, by which the other end can be told from the others."""
        return int(self._connection.sock.getsockname()[1])

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The answer's JSON.

        Raises:
            NotReady: it is no success.
        """
        self._connection.request(method, path, json.dumps(body) if body else None, {"content-type": "application/json"})
        response = self._connection.getresponse()
        told = response.read()
        if response.status >= 300:
            raise NotReady(f"{method} {path} was answered with {response.status}: {told[:200]!r}")
        answer: dict[str, Any] = json.loads(told)
        return answer


class Events:
    """Makes events that follow one another right after the market's instant; used by many threads.

    Args:
        stage: whose creators and hashtags they speak of.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage, self._lock, self._count = stage, threading.Lock(), 0
        self._chance = np.random.default_rng(0)

    def post(self, tags: Sequence[str] = (), creator: str = "") -> dict[str, Any]:
        """A post of some creator with some live hashtags, or with those given."""
        with self._lock:
            self._count += 1
            number = self._count
            creator = creator or str(self._chance.choice(self._stage.creators))
            tags = tags or [str(tag) for tag in self._chance.choice(self._stage.tags, 3)]
        created = self._stage.as_of + timedelta(milliseconds=number)
        body = {"event_id": f"bench-{number}", "kind": "post", "id": f"bench-{number}", "creator_id": creator}
        return body | {"create_time": created.isoformat(), "hashtags": list(tags)}


def freshness(
    settings: Settings, rate: float, seconds: float, trials: int, told: Progress = lambda text: None
) -> dict[str, Any]:
    """Run the benchmark on a copy of what is published in these settings.

    Args:
        settings: of a state folder with a market and a champion; it is left as it is.
        rate: events a second.
        seconds: how long.
        trials: how often a creator posts and asks at once, on another connection.

    Raises:
        NotReady: nothing is published, or the service did not answer.
    """
    with _running(settings, told) as stage:
        events = Events(stage)
        told(f"{rate:g} events/s for {seconds:g} s")
        latencies, sent, load_ms = _visible(stage, events, rate, seconds)
        told(f"{trials:,} times a post and a request at once")
        stale = _stale(stage, events, trials)
    quantiles = np.percentile(latencies, [50, 99]) * 1000 if latencies else [np.nan, np.nan]
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "workers": len(stage.workers),
        "events_per_second": round(sent / seconds, 1),
        "probes": len(latencies),
        "visible_p50_ms": round(float(quantiles[0]), 1),
        "visible_p99_ms": round(float(quantiles[1]), 1),
        "recommendation_p50_ms": round(float(np.median(load_ms)), 2) if load_ms else None,
        "trials": trials,
        "stale": stale,
    }


@contextmanager
def _running(settings: Settings, told: Progress) -> Iterator[Stage]:
    if not has_model(settings):
        raise NotReady("there is nothing to serve yet: run «harmonic up --once» first")
    market = load(market_folder(settings)).market
    wanted = market.recommendable & (market.types == "hashtag")
    with tempfile.TemporaryDirectory(prefix="harmonic-freshness-") as folder:
        home = Path(folder) / "home"
        shutil.copytree(settings.home, home, ignore=shutil.ignore_patterns(*NOT_COPIED))
        copied = settings.model_copy(update={"home": home})
        port = _free_port()
        told("starting the service with 2 workers and a consumer")
        log = (home / "service.log").open("wb")
        workers = {"BENTOML_CONFIG_OPTIONS": f"services.harmonic.workers={WORKERS}"}
        service = subprocess.Popen(
            command(HOST, port), cwd=ROOT, env={**environment(copied), **workers}, stdout=log, stderr=log
        )
        consumer = ConsumerProcess(copied)
        try:
            wait_until_ready(f"http://{HOST}:{port}", service, 60)
            creators = tuple(creator_states(copied).ids())
            yield Stage(port, _workers(port), creators, tuple(market.ids[wanted].tolist()), market.as_of)
        finally:
            consumer.stop()
            service.terminate()
            service.wait()
            log.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _workers(port: int) -> tuple[int, ...]:
    """The processes that answer, found by asking until all are known."""
    found: set[int] = set()
    until = time.monotonic() + PATIENCE_SECONDS
    while len(found) < WORKERS and time.monotonic() < until:
        found.add(_worker_of(Client(port)))
    return tuple(sorted(found))


def _worker_of(client: Client) -> int:
    """The process at the other end of a connection."""
    import psutil  # type: ignore[import-untyped]

    client.ask("GET", "/v1/trends?limit=1")
    for process in psutil.Process().children(recursive=True):
        if any(end.raddr and end.raddr.port == client.port for end in process.net_connections("tcp")):
            return int(process.pid)
    raise NotReady("no process answers that connection")


def _client_of(stage: Stage, worker: int) -> Client:
    """A connection to one worker."""
    for _ in range(200):
        client = Client(stage.port)
        if _worker_of(client) == worker:
            return client
    raise NotReady(f"worker {worker} takes no connection")


def _visible(stage: Stage, events: Events, rate: float, seconds: float) -> tuple[list[float], int, list[float]]:
    """Seconds from the acknowledgement of each probe until every worker shows it; events sent; latencies of slates."""
    until, sent, load_ms = time.monotonic() + seconds, [0] * SENDERS, list[float]()

    def send(number: int) -> None:
        client, due = Client(stage.port), time.monotonic()
        while (due := due + SENDERS / rate) < until:
            time.sleep(max(due - time.monotonic(), 0))
            client.ask("POST", "/v1/events", {"events": [events.post()]})
            sent[number] += 1

    def read(number: int) -> None:
        client, chance = Client(stage.port), np.random.default_rng(number)
        while time.monotonic() < until:
            began = time.perf_counter()
            client.ask("POST", "/v1/recommendations", {"creator_id": str(chance.choice(stage.creators)), "k": 20})
            load_ms.append((time.perf_counter() - began) * 1000)
            time.sleep(1 / READS_PER_SECOND)

    threads = [threading.Thread(target=work, args=(n,)) for work, n in _jobs(send, read)]
    for thread in threads:
        thread.start()
    latencies = _probe(stage, events, until)
    for thread in threads:
        thread.join()
    return latencies, sum(sent) + len(latencies), load_ms


def _jobs(send: Callable[[int], None], read: Callable[[int], None]) -> list[tuple[Callable[[int], None], int]]:
    return [*((send, n) for n in range(SENDERS)), *((read, n) for n in range(READERS))]


def _probe(stage: Stage, events: Events, until: float) -> list[float]:
    """One post after another with a hashtag that nothing else uses, each looked for in every worker."""
    writer, watchers = Client(stage.port), [_client_of(stage, worker) for worker in stage.workers]
    tag, latencies = "harmonicfreshness", list[float]()
    for creator in stage.creators[:10]:  # enough of them to make it a live trend
        writer.ask("POST", "/v1/events", {"events": [events.post([tag], creator)]})
    for watcher in watchers:
        _await(lambda client=watcher: _uses(client, tag) >= 10)  # type: ignore[misc]
    uses = 10
    while time.monotonic() < until:
        began = time.monotonic()
        writer.ask("POST", "/v1/events", {"events": [events.post([tag])]})
        acknowledged, uses = time.monotonic(), uses + 1
        for watcher in watchers:
            _await(lambda client=watcher, wanted=uses: _uses(client, tag) >= wanted)  # type: ignore[misc]
        latencies.append(time.monotonic() - acknowledged)
        time.sleep(max(1 / PROBES_PER_SECOND - (time.monotonic() - began), 0))
    return latencies


def _uses(client: Client, tag: str) -> float:
    try:
        told = client.ask("GET", f"/v1/trends/hashtag/{quote(tag)}")
    except NotReady:  # it is not live yet
        return 0
    return float(next(one["value"] for one in told["evidence"] if one["name"] == PROBE))


def _await(seen: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not seen():
        if time.monotonic() > until:
            raise NotReady(f"an event was not visible after {PATIENCE_SECONDS:g} s")
        time.sleep(POLL_SECONDS)


def _stale(stage: Stage, events: Events, trials: int) -> int:
    """How many slates recommend what the creator has just posted."""
    clients, chance, stale = [_client_of(stage, worker) for worker in stage.workers], np.random.default_rng(1), 0
    for trial in range(trials):
        creator = str(chance.choice(stage.creators))
        ask = {"creator_id": creator, "k": 20, "kinds": ["hashtag"]}
        before = clients[trial % len(clients)].ask("POST", "/v1/recommendations", ask)["items"]
        if not before:
            continue
        posted = before[int(chance.integers(len(before)))]["id"]
        clients[trial % len(clients)].ask("POST", "/v1/events", {"events": [events.post([posted], creator)]})
        after = clients[(trial + 1) % len(clients)].ask("POST", "/v1/recommendations", ask)["items"]
        stale += posted in {item["id"] for item in after}
    return stale
