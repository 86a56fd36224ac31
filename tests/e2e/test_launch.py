"""How the service comes, stays and goes, as an orchestrator sees it."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from features.lake import Lake
from tests.e2e.conftest import Shell
from tests.e2e.services import WORKERS, Load, Teller, kill, serving, until
from tests.worlds import small_environment

pytestmark = pytest.mark.e2e


@pytest.fixture
def home(trained_home: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained_home, tmp_path / "home")


@pytest.mark.parametrize(
    ("arguments", "more"),
    [(("serve", "--host", "0.0.0.0"), {}), (("up", "--once"), {"HARMONIC_SERVING__HOST": "0.0.0.0"})],
)
def test_nobody_serves_the_world_without_credentials(
    tmp_path: Path, arguments: tuple[str, ...], more: dict[str, str]
) -> None:
    done = Shell(small_environment(tmp_path / "home") | more, tmp_path).run(*arguments)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert "auth.required is off" in done.stderr and "HARMONIC_AUTH__REQUIRED=true" in done.stderr


def test_a_dead_worker_is_replaced_at_once_in_a_container_too_and_orphans_end(home: Path) -> None:
    with serving(home, {"BENTOML_CONTAINERIZED": "true"}) as service:
        until(lambda: len(service.workers()) == WORKERS)
        before = {one.pid for one in service.workers()}
        victim = service.workers()[0]
        kill([victim])
        died = time.monotonic()
        until(lambda: len({one.pid for one in service.workers()} - {victim.pid}) == WORKERS, 5)
        assert time.monotonic() - died < 5
        assert len({one.pid for one in service.workers()} & before) == WORKERS - 1
        service.clients()  # both answer

        family = service.family()
        os.kill(service.process.pid, signal.SIGKILL)
        service.process.wait()
        _, alive = psutil.wait_procs(family, 15)
        assert alive == []


def test_a_stopped_service_answers_what_it_has_in_hand_and_keeps_every_event(home: Path) -> None:
    found = stop(home, 1.0)
    assert found["code"] == 0
    assert found["server_errors"] == 0 and found["broken_in_hand"] == 0, found
    assert found["in_lake"] == found["acknowledged"] > 50


def stop(home: Path, drain_seconds: float) -> dict[str, Any]:
    """Stop a service under load; what was found."""
    teller = Teller(home, "stoptest")
    with serving(home, {"HARMONIC_TRAFFIC__DRAIN_SECONDS": str(drain_seconds)}) as service:
        load = Load(service.port, teller, writers=2, readers=2)
        try:
            until(lambda: len(load.acknowledged) > 50)
            began = time.monotonic()
            code = service.stop()
            took = time.monotonic() - began
        finally:
            load.stop()
    return {
        "code": code,
        "seconds": round(took, 2),
        "server_errors": sum(status >= 500 for status in load.statuses),
        "broken_in_hand": sum(was_open for _, was_open in load.broken),
        "broken": sorted({f"{name} {'in hand' if was_open else 'new'}" for name, was_open in load.broken}),
        "acknowledged": len(load.acknowledged),
        "in_lake": len(names_in_lake(home) & {*load.acknowledged}),
    }


def names_in_lake(home: Path) -> set[str]:
    rows = Lake(home / "lake").connect().execute("SELECT id FROM videos UNION ALL SELECT event_id FROM feedback")
    return {name for (name,) in rows.fetchall()}
