from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from serving.assemble import creator_states
from tests.worlds import small_environment, small_settings

ROOT = Path(__file__).parents[2]


def harmonic(home: Path, *arguments: str) -> str:
    """What a command prints, after it ended well."""
    done = subprocess.run(
        [sys.executable, "-m", "harmonic", *arguments],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "120"} | small_environment(home),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def home(trained_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained world with its libraries built by the command line."""
    home = tmp_path_factory.mktemp("strategies") / "home"
    shutil.copytree(trained_home, home)
    told = json.loads(harmonic(home, "library", "build", "--json"))
    assert told["measured"] > 10 and told["artists"] > 0
    return home


def test_a_strategy_is_printed_as_a_plan_and_as_json(home: Path) -> None:
    creator = next(iter(creator_states(small_settings(home)).ids()))
    plan = harmonic(home, "strategy", creator, "--utc-offset", "-5")
    for heading in ("Why now", "Hook:", "Target:", "your time", "Calendar", "Risks", "What to stop", "Sources"):
        assert heading in plan
    assert "none without proof" in plan
    told = json.loads(harmonic(home, "strategy", creator, "--json"))
    assert told["creator_id"] == creator and told["check"]["faults"] == [] and len(told["calendar"]) == 14


def test_a_strategy_that_was_printed_is_kept_and_what_became_of_it_is_told(home: Path) -> None:
    creator = next(iter(creator_states(small_settings(home)).ids()))
    strategy_id = json.loads(harmonic(home, "strategy", creator, "--json"))["strategy_id"]
    assert json.loads(harmonic(home, "strategy", "write", creator, "--json"))["strategy_id"] == strategy_id
    told = json.loads(harmonic(home, "strategy", "outcome", strategy_id, "--json"))
    assert told["creator_id"] == creator and told["verdict"] == "not enough posts yet" and told["needed"]["posts"] == 3
    assert "Needed, counted at an equal age: 3 more" in harmonic(home, "strategy", "outcome", strategy_id)
    command = [sys.executable, "-m", "harmonic", "strategy", "outcome", "never-given"]
    environment = {"PATH": "/usr/bin:/bin"} | small_environment(home)
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr == "harmonic: no strategy «never-given» was given\n"


def test_the_libraries_are_printed(home: Path) -> None:
    creator = next(iter(creator_states(small_settings(home)).ids()))
    strategies = harmonic(home, "library", "strategies")
    assert "not enough data" in strategies and "%" in strategies
    near = json.loads(harmonic(home, "library", "artists", "--creator", creator, "--limit", "3", "--json"))
    assert len(near["artists"]) == 3 and near["artists"][0]["before"]["posts"] >= 0
    assert "σ" in harmonic(home, "library", "artists", "--limit", "3")
