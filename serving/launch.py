"""How the service is started and first asked: BentoML's server over `serving.service`, in a process of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from typing import Any

from configs import Settings
from serving.assemble import creator_states
from serving.errors import NotReady, PortTaken
from serving.hydrate import most_active

TARGET = "serving.service:Recommender"


def command(host: str, port: int) -> list[str]:
    """The program and its arguments."""
    return [sys.executable, "-m", "bentoml", "serve", TARGET, "--host", host, "--port", str(port)]


def environment(settings: Settings) -> Mapping[str, str]:
    """This process's environment with what a serving process needs: its state folder, one thread per worker."""
    return {
        **os.environ,
        "HARMONIC_HOME": str(settings.home),
        "BENTOML_HOME": str(settings.home / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "true",
        "OMP_NUM_THREADS": "1",
    }


def refuse_taken_port(host: str, port: int) -> None:
    """Make sure that the service can listen there.

    Raises:
        PortTaken: it cannot.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise PortTaken(
            f"cannot listen on {host}:{port} ({error.strerror or error}): stop what listens there, or choose "
            f"another port, e.g. «harmonic serve --port {port + 1}» or HARMONIC_SERVING__PORT={port + 1}"
        ) from None


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
