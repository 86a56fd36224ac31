from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from features.sources.simulator import WorldSpec
from models.registry import CHALLENGER, Registry
from tests.worlds import fill_lake, small_settings

ROOT = Path(__file__).parents[2]
KILLS = 10
SMALL = {
    "OMP_NUM_THREADS": "1",
    "HARMONIC_RANKER__MAX_CUTOFFS": "2",
    "HARMONIC_RANKER__TEST_CUTOFFS": "1",
    "HARMONIC_RANKER__TREES__LEAST_QUERIES": "10",
    "HARMONIC_RANKER__TREES__LEAST_SPAN_DAYS": "3",
    "HARMONIC_RANKER__TREES__SEEDS": "[0]",
    "HARMONIC_RANKER__TREES__LIGHTGBM": '{"n_estimators": 5, "num_leaves": 5, "min_data_in_leaf": 10}',
    "HARMONIC_TRENDS__POOL__GENERIC_SHARE": "0.3",
    "HARMONIC_PROMOTION__RESAMPLES": "50",
}


class Nursery:
    """Starts `harmonic train` in forks of one preloaded process."""

    def __init__(self) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        command = [sys.executable, "-m", "tests.training.nursery"]
        self.process = subprocess.Popen(command, cwd=ROOT, env=os.environ | SMALL, text=True, **pipes)  # type: ignore[call-overload]
        assert self.line() == "ready"

    def line(self) -> str:
        return str(self.process.stdout.readline().strip())

    def start(self, home: Path) -> int:
        order = {"arguments": ["train", "--json"], "home": str(home), "out": str(home.with_suffix(".out"))}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return int(self.line())

    def status(self) -> int:
        return int(self.line())

    def finish(self, home: Path) -> dict[str, Any]:
        self.start(home)
        assert self.status() == 0, home.with_suffix(".err").read_text()
        return dict(json.loads(home.with_suffix(".out").read_text()))


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    made = Nursery()
    yield made
    made.process.stdin.close()
    made.process.wait()


def moments(seconds: float) -> Iterator[float]:
    """Instants spread over the run, one at random in each tenth of it."""
    chance = random.Random(7)
    for tenth in range(KILLS):
        yield seconds * (tenth + chance.random()) / KILLS


def challenger_of(home: Path) -> dict[str, bytes]:
    """Every file of both rankers of the challenger."""
    registry = Registry(small_settings(home).mlflow, home)
    folder = Path(registry._mlflow.artifacts.download_artifacts(artifact_uri=f"models:/trend-ranker@{CHALLENGER}"))
    files = sorted(p for part in ("ranker", "held_out") for p in (folder / "artifacts" / part).iterdir())
    return {f"{p.parent.name}/{p.name}": p.read_bytes() for p in files}


def test_a_training_killed_at_any_moment_is_repeated_with_the_same_result(tmp_path: Path, nursery: Nursery) -> None:
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    fill_lake(calm, WorldSpec(creators=60, trends=80, days=40, seed=5))
    shutil.copytree(calm / "lake", killed / "lake")
    begun = time.monotonic()
    undisturbed = nursery.finish(calm)
    took = time.monotonic() - begun
    assert undisturbed["test.ranker.ndcg"] > 0

    deaths = 0
    for moment in moments(took):
        child = nursery.start(killed)
        time.sleep(moment)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        status = nursery.status()
        assert status in (0, -signal.SIGKILL), killed.with_suffix(".err").read_text()
        deaths += status != 0
    assert deaths >= KILLS / 2

    again = nursery.finish(killed)
    different = {"version", "promoted"}  # a run that was killed after it registered its model has taken a number
    assert {k: v for k, v in again.items() if k not in different} == {
        k: v for k, v in undisturbed.items() if k not in different
    }
    assert challenger_of(killed) == challenger_of(calm)
