"""Servers in processes of their own, that end with the benchmark however it ends."""

from __future__ import annotations

import json
import os
import platform
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from configs import Settings
from serving.errors import BenchmarkFault
from serving.process.launch import ROOT, command, environment

HOST: Final = "127.0.0.1"
START_SECONDS: Final = 300.0
STOP_SECONDS: Final = 15.0
WORKER: Final = "_bentoml_impl.worker.service"
"""What BentoML's workers are called in a list of processes."""

MIB: Final = 1024**2


@dataclass(frozen=True)
class Server:
    """A server that runs.

    Attributes:
        name: for people.
        port: where it listens.
        process: its first one.
        log: what it says.
    """

    name: str
    port: int
    process: subprocess.Popen[bytes]
    log: Path

    def ask(self, path: str, body: Any = None) -> Any:
        """The JSON that it answers; a GET without a body."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{HOST}:{self.port}{path}", data, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)

    def wait_until_ready(self, path: str) -> None:
        """Return when it answers 200 there.

        Raises:
            BenchmarkFault: it ended, or time ran out.
        """
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://{HOST}:{self.port}{path}", timeout=5) as response:
                    if response.status == 200:
                        return
            except OSError:
                time.sleep(0.1)
        said = self.log.read_text(errors="replace")[-2000:]
        raise BenchmarkFault(f"the {self.name} did not start on port {self.port}; it said: {said}")

    def worker_memory(self) -> dict[int, float]:
        """Process id → resident memory of each of BentoML's workers, in MiB."""
        return {one.pid: one.memory_info().rss / MIB for one in _family(self.process.pid) if _is_worker(one)}


@contextmanager
def service(settings: Settings, workers: int, name: str) -> Iterator[Server]:
    """The service as `harmonic serve` starts it, over what is published in these settings."""
    port = free_port()
    more = {"BENTOML_CONFIG_OPTIONS": f"services.harmonic.workers={workers}"}
    with _running(name, port, command(HOST, port), {**environment(settings), **more}, settings.home) as server:
        yield server


@contextmanager
def tutorial(settings: Settings, workers: int) -> Iterator[Server]:
    """`serving.bench.tutorial` in uvicorn, over what was written into the home of these settings."""
    port = free_port()
    told = [sys.executable, "-m", "uvicorn", "serving.bench.tutorial:create", "--factory", "--host", HOST]
    told += ["--port", str(port), "--workers", str(workers), "--no-access-log", "--log-level", "warning"]
    # Threads as its libraries choose them: nobody told the tutorial's author to limit them.
    own = {**os.environ, "HARMONIC_HOME": str(settings.home)}
    with _running("tutorial's server", port, told, own, settings.home) as server:
        yield server


@contextmanager
def ending_on_signals() -> Iterator[None]:
    """Turn SIGTERM into an ordinary end, so that nothing is left running."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _running(name: str, port: int, told: Sequence[str], variables: Mapping[str, str], folder: Path) -> Iterator[Server]:
    path = folder / f"{name.replace(' ', '-')}-{port}.log"
    with path.open("wb") as log:
        process = subprocess.Popen(
            told,
            cwd=ROOT,
            env=dict(variables),
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield Server(name, port, process, path)
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started, gently first."""
    import psutil  # type: ignore[import-untyped]

    family = _family(process.pid)
    if process.poll() is None:
        process.terminate()
    _, alive = psutil.wait_procs(family, STOP_SECONDS)
    for one in alive:
        try:
            one.kill()
        except psutil.NoSuchProcess:
            continue
    process.wait()


def _family(pid: int) -> list[Any]:
    import psutil

    try:
        first = psutil.Process(pid)
        return [first, *first.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _is_worker(process: Any) -> bool:
    import psutil

    try:
        return WORKER in " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return False


def free_port() -> int:
    """A port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def machine() -> dict[str, Any]:
    """What the figures were measured on, and how busy it was."""
    cpu = platform.processor() or platform.machine()
    cores = os.cpu_count()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return {
        "cpu": cpu,
        "cores": cores,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_average": [round(value, 2) for value in os.getloadavg()],
    }
