"""The real service for tests that hurt it: started, killed and started again on one port, under a load that counts."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import psutil  # type: ignore[import-untyped]

from serving.assemble import creator_states, market_folder
from serving.snapshot import load
from tests.e2e.conftest import HARMONIC
from tests.servers import free_port
from tests.worlds import small_environment, small_settings

HOST = "127.0.0.1"
WORKERS = 2
PATIENCE_SECONDS = 40.0
BROKEN = (OSError, http.client.HTTPException)
"""How a connection shows that the other end is gone."""

Found = TypeVar("Found")


def until(look: Callable[[], Found], seconds: float = PATIENCE_SECONDS) -> Found:
    """What is found first that is not empty."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.02)
    raise AssertionError(f"nothing after {seconds:g} s")


class Service:
    """`harmonic serve` with two workers on a port that stays the same.

    Args:
        home: a state folder of its own.
        more: of the environment.
    """

    def __init__(self, home: Path, more: Mapping[str, str] | None = None) -> None:
        self.home, self.port = home, free_port()
        own = {"HARMONIC_SERVING__WORKERS": str(WORKERS)}
        self._environment = {**os.environ, **small_environment(home), **own, **(more or {})}
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with (self.home / "service.log").open("ab") as log:
            return subprocess.Popen(
                [HARMONIC, "serve", "--port", str(self.port)],
                env=self._environment,
                cwd=self.home,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def start(self) -> None:
        """Again, after it has ended."""
        self.process = self._start()

    def log(self) -> str:
        """What it has said so far."""
        return (self.home / "service.log").read_text(errors="replace")

    def is_ready(self) -> bool:
        """Whether somebody says so."""
        try:
            return Client(self.port).ask("GET", "/readyz")[0] == 200
        except BROKEN:
            return False

    def family(self) -> list[psutil.Process]:
        """All its processes, the one that was started first."""
        try:
            first = psutil.Process(self.process.pid)
            return [first, *first.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def workers(self) -> list[psutil.Process]:
        """Those that answer, or soon will."""
        return [one for one in self.family() if "_bentoml_impl.worker.service" in _command(one)]

    def consumers(self) -> list[psutil.Process]:
        """The one that consumes events, unless it is about to be started."""
        return [one for one in self.family() if "harmonic consume" in _command(one)]

    def clients(self) -> list[Client]:
        """A connection to every worker."""
        found: dict[int, Client] = {}

        def everybody() -> bool:
            client = Client(self.port)
            with suppress(*BROKEN):
                client.ask("GET", "/livez")
                found.setdefault(self._at_the_end_of(client), client)
            return len(found) == WORKERS

        until(everybody)
        return list(found.values())

    def _at_the_end_of(self, client: Client) -> int:
        for worker in self.workers():
            if any(end.raddr and end.raddr.port == client.port for end in worker.net_connections("tcp")):
                return int(worker.pid)
        raise ConnectionError("nobody")

    def stop(self) -> int:
        """End it as an orchestrator does; its exit code."""
        self.process.terminate()
        return self.process.wait(PATIENCE_SECONDS)


@contextmanager
def serving(home: Path, more: Mapping[str, str] | None = None) -> Iterator[Service]:
    """A service, from when it is ready; nothing of it is left afterwards."""
    service = Service(home, more)
    try:
        until(service.is_ready)
        yield service
    finally:
        family = service.family()
        if service.process.poll() is None:
            service.process.terminate()
        _, alive = psutil.wait_procs(family, PATIENCE_SECONDS)
        for one in alive:
            one.kill()
        service.process.wait()


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


class Client:
    """One keep-alive connection, made at the first request and again after it broke."""

    def __init__(self, port: int, seconds: float = 10.0) -> None:
        self._connection = http.client.HTTPConnection(HOST, port, timeout=seconds)

    @property
    def port(self) -> int:
        """Of its own end."""
        return int(self._connection.sock.getsockname()[1])

    @property
    def is_open(self) -> bool:
        """Whether the next request goes over the connection of the one before."""
        return self._connection.sock is not None

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and JSON; raises one of `BROKEN`."""
        try:
            told = json.dumps(body) if body is not None else None
            self._connection.request(method, path, told, {"content-type": "application/json"})
            response = self._connection.getresponse()
            answer = response.read()
        except BROKEN:
            self._connection.close()
            raise
        return response.status, json.loads(answer) if answer[:1] in (b"{", b"[") else answer


class Teller:
    """Makes events that follow one another right after the market's instant; many threads may ask for them.

    Args:
        home: with a published market.
        tag: a hashtag that every post carries.
    """

    def __init__(self, home: Path, tag: str) -> None:
        settings = small_settings(home)
        market = load(market_folder(settings)).market
        self.tag, self._as_of = tag, market.as_of
        self.creators = sorted(creator_states(settings).ids())
        wanted = market.recommendable & (market.types == "hashtag")
        self.tags = sorted(market.ids[wanted].tolist())
        self._lock, self._count, self._chance = threading.Lock(), 0, random.Random(3)

    def event(self) -> dict[str, Any]:
        """A post; every fourth time a dismissal."""
        with self._lock:
            self._count += 1
            number, creator, tag = self._count, self._chance.choice(self.creators), self._chance.choice(self.tags)
        at = (self._as_of + timedelta(milliseconds=number)).isoformat()
        about = {"event_id": f"told-{number}", "creator_id": creator}
        if number % 4 == 0:
            said = {"feedback": "dismiss", "trend_type": "hashtag", "trend_id": tag, "occurred_at": at}
            return about | {"kind": "feedback"} | said
        return about | {"kind": "post", "id": f"told-{number}", "create_time": at, "hashtags": [self.tag, tag]}


class Load:
    """Threads that ask for slates and tell of events until they are stopped, and note how it went.

    Attributes:
        acknowledged: event id → (event, its place in the log).
        statuses: of every answer.
        broken: what went wrong with a connection, and whether it had carried an answer before.

    Args:
        port: of the service.
        teller: makes events.
        writers, readers: how many threads.
        pause_seconds: of each after a request.
    """

    def __init__(self, port: int, teller: Teller, writers: int, readers: int, pause_seconds: float = 0.01) -> None:
        self._port, self._teller, self._pause = port, teller, pause_seconds
        self.acknowledged: dict[str, tuple[dict[str, Any], int]] = {}
        self.statuses: list[int] = []
        self.broken: list[tuple[str, bool]] = []
        self.models: list[tuple[float, str]] = []
        self._stopped = threading.Event()
        work = [self._write] * writers + [self._read] * readers
        self._threads = [threading.Thread(target=one, args=(number,)) for number, one in enumerate(work)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ask no more; returns when all is answered."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _write(self, number: int) -> None:
        client, unknown = Client(self._port), list[dict[str, Any]]()
        while not self._stopped.is_set():
            events = [*unknown, self._teller.event()]  # what was not acknowledged is sent again
            answer = self._asked(client, "/v1/events", {"events": events[:20]})
            if answer is None:
                unknown = events[-19:]
                continue
            unknown = events[20:]
            for event, outcome in zip(events[:20], answer["events"], strict=True):
                assert outcome["status"] != "rejected", outcome
                self.acknowledged[event["event_id"]] = (event, outcome["seq"])

    def _read(self, number: int) -> None:
        client, chance = Client(self._port), random.Random(number)
        while not self._stopped.is_set():
            ask = {"creator_id": chance.choice(self._teller.creators), "k": 10}
            if answer := self._asked(client, "/v1/recommendations", ask):
                self.models.append((time.monotonic(), answer["model"]))

    def _asked(self, client: Client, path: str, body: Any) -> Any:
        was_open = client.is_open
        try:
            status, answer = client.ask("POST", path, body)
        except BROKEN as error:
            self.broken.append((type(error).__name__, was_open))
            self._stopped.wait(0.05)
            return None
        self.statuses.append(status)
        self._stopped.wait(self._pause)
        return answer if status == 200 else None


def kill(processes: list[psutil.Process]) -> None:
    """SIGKILL them all, as nearly at once as can be."""
    for one in processes:
        with suppress(psutil.NoSuchProcess):
            one.send_signal(signal.SIGKILL)
