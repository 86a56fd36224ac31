"""Fixtures that every test may use: a home of its own, the settings, and the real metrics where they are there."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import configs

if TYPE_CHECKING:
    from models.panel import Panel

DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty state folder."""
    return tmp_path / "home"


@pytest.fixture
def settings(home: Path) -> configs.Settings:
    """The local profile with an empty state folder."""
    return configs.load(home=home)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real metrics; tests that need it are skipped where it is absent."""
    if not DATA.is_dir():
        pytest.skip("the real metrics folder is not beside the project")
    return DATA


@pytest.fixture(scope="session")
def world_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder whose lake holds a small simulated world, and nothing else; only to be read."""
    from tests.worlds import fill_lake

    home = tmp_path_factory.mktemp("world") / "home"
    fill_lake(home)
    return home


@pytest.fixture(scope="session")
def trained_home(world_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same world with features online and a champion, both published to serving; only to be read."""
    from tests.worlds import small_settings, train_and_publish

    home = tmp_path_factory.mktemp("trained") / "home"
    shutil.copytree(world_home / "lake", home / "lake")
    assert train_and_publish(small_settings(home)).verdict.promoted
    return home


@pytest.fixture(scope="session")
def panels(world_home: Path) -> list[Panel]:
    """Six weekly cut-offs of the small world with what was adopted after each; only to be read."""
    from features.lake import Lake
    from tests.worlds import panels_of, small_settings

    return panels_of(Lake(world_home / "lake"), small_settings(world_home), range(42, 0, -7))
