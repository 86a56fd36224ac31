"""What the tests of serving share: the pipeline over what the trained home has published."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving.assemble import pipeline
from serving.pipeline import Pipeline
from tests.worlds import small_settings


@pytest.fixture(scope="session")
def served(trained_home: Path) -> Pipeline:
    """The pipeline as a serving process makes it: from published files alone."""
    return pipeline(small_settings(trained_home))


@pytest.fixture(scope="session")
def regular(served: Pipeline) -> str:
    """The id of a creator with a long history."""
    states = ((name, served.states.get(name)) for name in served.states.ids())
    return max(states, key=lambda known: len(known[1].trend_keys) if known[1] else 0)[0]
