"""Fixtures that every test may use: a home of its own, the settings, and the real metrics where they are there."""

from __future__ import annotations

from pathlib import Path

import pytest

import configs

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
