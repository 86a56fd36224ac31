"""Strategies ranked by a released ranker: as the rule with its weights, otherwise by what it learned, or not at all."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from features.lake import Lake
from features.materialize import latest_instant
from models.creator import Creator
from models.ranker import Ranker
from models.registry import CHAMPION
from models.releases import publish, write_release
from models.strategies.queries import STRATEGIES, the_rule
from serving.pipeline import Pipeline
from serving.strategies.build import build_library
from serving.strategies.learned import MODEL
from serving.strategies.library import library
from serving.strategies.published import LibraryFile, PublishedLibrary, read
from serving.strategies.ranking import RankedStrategy, condition_features, rank_strategies
from tests.worlds import small_settings


@pytest.fixture
def folder(world_home: Path, tmp_path: Path) -> Path:
    """Libraries as a job publishes them, without a ranker."""
    lake = Lake(world_home / "lake")
    build_library(lake, latest_instant(lake), small_settings(tmp_path))
    return tmp_path / "serving"


def release(folder: Path, ranker: Ranker, version: str = "1") -> None:
    def fill(staged: Path) -> None:
        write_release(ranker, np.zeros((1, len(STRATEGIES.features))), staged)

    publish(folder / MODEL, CHAMPION, version, fill, STRATEGIES)


def ranked(published: PublishedLibrary, creator: Creator) -> list[RankedStrategy]:
    return rank_strategies(library(), published, condition_features(creator, ()), creator)


def by_news() -> Ranker:
    """Looks at what the creator has not done yet, and at nothing else."""
    return replace(the_rule(), weights=np.where(np.array(STRATEGIES.inputs) == "is_new", 1.0, 0.0))


@pytest.mark.parametrize("known", [True, False])
def test_with_the_rules_weights_the_order_is_the_rules(
    folder: Path, served: Pipeline, regular: str, known: bool
) -> None:
    creator = served.states.get(regular) if known else Creator.newcomer("nobody", "BR", ("dance",))
    assert creator is not None
    release(folder, the_rule())
    published = read(folder)
    assert published.order is not None
    order = [one.strategy.id for one in ranked(published, creator)]
    assert order == [one.strategy.id for one in ranked(replace(published, order=None), creator)]


def test_a_released_ranker_orders_the_same_strategies_and_is_another_edition(
    folder: Path, served: Pipeline, regular: str
) -> None:
    creator = served.states.get(regular)
    assert creator is not None
    before = read(folder)
    release(folder, by_news())
    after = read(folder)
    assert before.order is None and after.order is not None and before.edition != after.edition
    found, by_rule = ranked(after, creator), ranked(before, creator)
    assert {one.strategy.id for one in found} == {one.strategy.id for one in by_rule}
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert any(one.learned for one in found) and not any(one.learned for one in by_rule)


def test_a_process_follows_a_release_without_a_new_library(folder: Path) -> None:
    file = LibraryFile(folder)
    assert file.get().order is None
    release(folder, by_news())
    deadline = time.monotonic() + 10
    while file.get().order is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert file.get().order is not None


def test_a_damaged_release_leaves_the_rule_in_place(folder: Path) -> None:
    release(folder, by_news())
    (folder / MODEL / "1" / "ranker.json").write_text("{}")
    assert read(folder).order is None
