"""What the tests of strategies share: the small world's libraries, published beside its market."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.lake import Lake
from features.materialize import counts_until, latest_instant
from serving.answers import Alone, Answers
from serving.pipeline import Pipeline
from serving.strategies.build import build_library
from serving.strategies.library import library
from serving.strategies.planner import Planner
from serving.strategies.published import PublishedLibrary
from tests.worlds import small_settings


@pytest.fixture(scope="session")
def published(world_home: Path, tmp_path_factory: pytest.TempPathFactory) -> PublishedLibrary:
    """What was measured on the small world."""
    lake = Lake(world_home / "lake")
    settings = small_settings(tmp_path_factory.mktemp("library"))
    return build_library(lake, counts_until(lake, latest_instant(lake), settings), settings)


@pytest.fixture(scope="session")
def planner(served: Pipeline, published: PublishedLibrary) -> Planner:
    """Writes for the creators of the small world."""
    return Planner(Answers(Alone(lambda: served)), library(), lambda: published)
