"""How the service is started and first asked: BentoML's server over `serving.service`, in a process of its own."""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from configs import Settings
from serving.assemble import creator_states
from serving.errors import NotReady, PortTaken
from serving.hydrate import most_active
from serving.process.parent import PARENT

log = logging.getLogger(__name__)

TARGET = "serving.service:Recommender"
ROOT = Path(__file__).parents[2]
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
HEALTHY_SECONDS = 30.0
"""A consumer that ran for so long is started again at once."""
STOP_SECONDS = 15.0
GRACE_SECONDS = 12
"""How long requests in hand have once a worker stops: longer than any may take."""
START_SECONDS = 300.0
"""The first start on a machine compiles for a minute or two."""
TAKEN_SECONDS = 3.0
"""How long a port may still be held by a service that is ending."""


def command(host: str, port: int) -> list[str]:
    """The program and its arguments."""
    told = [sys.executable, "-m", "serving.process.server", "serve", TARGET, "--host", host, "--port", str(port)]
    return [*told, "--timeout-graceful-shutdown", str(GRACE_SECONDS)]


def environment(settings: Settings) -> Mapping[str, str]:
    """This process's environment with what a serving process needs: its state folder, one thread per worker."""
    return {
        "BENTOML_CONFIG_OPTIONS": f"services.harmonic.workers={settings.serving.workers}",
        **os.environ,
        PARENT: str(os.getpid()),
        "HARMONIC_HOME": str(settings.home),
        "BENTOML_HOME": str(settings.home / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "true",
        "OMP_NUM_THREADS": "1",
    }


class ConsumerProcess:
    """A consumer of events beside the service: started again when it dies, each time a little later, until `stop`.

    Args:
        settings: of the project.
    """

    def __init__(self, settings: Settings) -> None:
        self._environment = environment(settings)
        self._stopped = threading.Event()
        self._process = self._start()
        self._thread = threading.Thread(target=self._watch, name="consumer", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """Of the process that runs now, or ran last."""
        return self._process.pid

    def stop(self) -> None:
        """End it after it has kept what it has in hand."""
        self._stopped.set()
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._thread.join(STOP_SECONDS)

    def _start(self) -> subprocess.Popen[bytes]:
        arguments = [sys.executable, "-m", "harmonic", "consume", "--while-parent-lives"]
        return subprocess.Popen(arguments, env=self._environment, cwd=ROOT, stdout=sys.stderr)

    def _watch(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self._stopped.is_set():
            began = time.monotonic()
            code = self._process.wait()
            if self._stopped.is_set():
                return
            was_healthy = time.monotonic() - began > HEALTHY_SECONDS
            pause = FIRST_PAUSE_SECONDS if was_healthy else min(2 * pause, LONGEST_PAUSE_SECONDS)
            log.error("the consumer of events ended with code %s; starting it again in %.1f s", code, pause)
            if self._stopped.wait(pause):
                return
            self._process = self._start()
            if self._stopped.is_set():  # in between
                self._process.terminate()


def run(host: str, port: int, settings: Settings) -> int:
    """The service with a consumer beside it, until it ends or is told to; returns its exit code."""
    service = subprocess.Popen(command(host, port), env=environment(settings), cwd=ROOT)
    signal.signal(signal.SIGTERM, lambda *_: service.terminate())
    consumer = ConsumerProcess(settings)
    try:
        while True:
            try:
                return service.wait()
            except KeyboardInterrupt:  # the terminal has told the service, too
                continue
    finally:
        consumer.stop()


def refuse_taken_port(host: str, port: int) -> None:
    """Make sure that the service can listen there, after a moment for one that is just ending.

    Raises:
        PortTaken: it cannot.
    """
    until = time.monotonic() + TAKEN_SECONDS
    while (error := _fault_of(host, port)) is not None:
        if error.errno != errno.EADDRINUSE or time.monotonic() > until:
            raise PortTaken(
                f"cannot listen on {host}:{port} ({error.strerror or error}): stop what listens there, or choose "
                f"another port, e.g. «harmonic serve --port {port + 1}» or HARMONIC_SERVING__PORT={port + 1}"
            )
        time.sleep(0.1)


def _fault_of(host: str, port: int) -> OSError | None:
    """Why nobody can listen there, None where one can."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return error
    return None


def wait_until_ready(base: str, process: subprocess.Popen[bytes], seconds: float) -> None:
    """Return when `/readyz` says yes.

    Raises:
        NotReady: the process ended, or time ran out.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise NotReady(f"the service ended with code {process.returncode}; is the port of {base} taken?")
        try:
            with urllib.request.urlopen(f"{base}/readyz", timeout=2) as response:
                if response.status == 200:
                    return
        except OSError:
            time.sleep(0.1)
    raise NotReady(f"the service at {base} was not ready after {seconds:.0f} s")


def first_recommendation(base: str, settings: Settings) -> tuple[dict[str, Any], dict[str, Any]]:
    """A request for the most active creator's slate over HTTP, and its answer."""
    body = {"creator_id": most_active(creator_states(settings)).creator_id, "k": 10}
    request = urllib.request.Request(
        f"{base}/v1/recommendations", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return body, json.load(response)
