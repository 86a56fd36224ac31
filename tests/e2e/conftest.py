"""What the end-to-end tests share: the command line as a user's shell starts it, and services to ask."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

import configs
from serving.access.key_stores import SqliteKeys
from serving.access.keys import create
from serving.hydrate import PackedStates
from serving.process import launch
from tests.issuers import AUDIENCE, Issuer, running_issuer
from tests.servers import free_port
from tests.worlds import small_settings

HARMONIC = str(Path(sys.executable).with_name("harmonic"))
START_SECONDS, STOP_SECONDS, LATER_SECONDS = 300, 20, 8.0


@dataclass(frozen=True)
class Shell:
    """Runs `harmonic` in processes of its own, in one environment."""

    environment: Mapping[str, str]
    folder: Path

    def run(self, *arguments: object, seconds: float = 400) -> subprocess.CompletedProcess[str]:
        """Run to the end, whatever the end is."""
        return subprocess.run(
            [HARMONIC, *map(str, arguments)],
            env={**os.environ, **self.environment},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def json(self, *arguments: object, code: int = 0) -> Any:
        """What a verb prints with `--json`."""
        done = self.run(*arguments, "--json")
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout)

    @contextmanager
    def serving(self, until: str = "/readyz") -> Iterator[tuple[subprocess.Popen[bytes], httpx.Client]]:
        """`harmonic serve` on a free port, and a client of it, from when `until` says yes until it has been stopped."""
        port = free_port()
        with (self.folder / f"serve-{port}.log").open("wb") as log:
            process = subprocess.Popen(
                [HARMONIC, "serve", "--port", str(port)],
                env={**os.environ, **self.environment},
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        base = f"http://127.0.0.1:{port}"
        try:
            with httpx.Client(base_url=base, timeout=10) as client:
                _wait(client, until, process)
                yield process, client
        finally:
            process.terminate()
            process.wait(STOP_SECONDS)


def _wait(client: httpx.Client, path: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(httpx.TransportError):
            if client.get(path).status_code == 200:
                return
        time.sleep(0.1)
    raise AssertionError(f"{client.base_url}{path} did not say yes; exit code {process.poll()}")


@contextmanager
def serving(settings: configs.Settings, **environment: str) -> Iterator[str]:
    """The address of a service, in processes of its own and without a consumer of events, that is ready."""
    port = free_port()
    command = launch.command("127.0.0.1", port)
    variables = {**launch.environment(settings), **environment}
    with (settings.home / "serve.log").open("wb") as log:
        process = subprocess.Popen(command, env=variables, cwd=launch.ROOT, stdout=log, stderr=subprocess.STDOUT)
    base = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(base_url=base, timeout=10) as client:
            _wait(client, "/readyz", process)
        yield base
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)


def eventually(holds: Callable[[], Any], seconds: float = LATER_SECONDS) -> float:
    """Wait until it does; how long that took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds
        time.sleep(0.05)
    return time.monotonic() - began


def home_to_serve(trained_home: Path, folder: Path) -> Path:
    """A state folder of one's own with what a trained one has published to serving."""
    shutil.copytree(trained_home / "serving", folder / "serving")
    return folder


@dataclass(frozen=True)
class Guarded:
    """A service that asks for credentials, and those that it knows.

    Attributes:
        base: its address.
        home: its state folder.
        issuer: whose JWTs it takes.
        creators: three that it knows.
        token: of a key that may do everything.
    """

    base: str
    home: Path
    issuer: Issuer
    creators: tuple[str, str, str]
    token: str

    def key(self, *scopes: str, creator_id: str | None = None, days: int = 1, ago_days: int = 0) -> tuple[str, str]:
        """Id and token of a new key."""
        now = datetime.now(UTC) - timedelta(days=ago_days)
        made = create(SqliteKeys(self.home / "serving" / "keys.sqlite"), "test", scopes, creator_id, days, now)
        return made.key.id, made.token.get_secret_value()


@pytest.fixture(scope="session")
def guarded(trained_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """One service with authentication for all tests that ask it from outside."""
    home = home_to_serve(trained_home, tmp_path_factory.mktemp("guarded") / "home")
    ids = PackedStates(home / "serving" / "creators.sqlite").ids()
    creators = next(ids), next(ids), next(ids)
    with running_issuer() as issuer:
        environment = {
            "HARMONIC_AUTH__REQUIRED": "true",
            "HARMONIC_AUTH__TOKENS__ISSUER": issuer.url,
            "HARMONIC_AUTH__TOKENS__AUDIENCE": AUDIENCE,
        }
        with serving(small_settings(home), **environment) as base:
            made = Guarded(base, home, issuer, creators, "")
            yield replace(made, token=made.key("admin")[1])
