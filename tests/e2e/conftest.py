"""What the end-to-end tests share: the command line as a user's shell starts it, and free ports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.servers import free_port

HARMONIC = str(Path(sys.executable).with_name("harmonic"))
START_SECONDS, STOP_SECONDS = 60, 20


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
        try:
            if client.get(path).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(f"{client.base_url}{path} did not say yes; exit code {process.poll()}")
