"""Labels of strategies out of the small world, and a ranker that serves only where it is proven to be better."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

import configs
from features.lake import Lake
from features.materialize import known_by, latest_instant
from models.metrics import Interval
from models.queries import Table
from models.registry import CHALLENGER, CHAMPION, Registry
from models.releases import load_checked, released
from models.strategies.kinds import read_kinds
from models.strategies.practice import WAYS
from models.strategies.queries import STRATEGIES, the_rule
from tests.worlds import NOW, small_settings
from training.strategies import (
    RULE,
    Judged,
    StrategyOutcome,
    decide,
    graded_ndcg,
    judge_strategies,
    strategy_registry,
    train_strategies,
)
from training.strategy_tables import Asked, Hindsight, TakenUp, asked_at

KINDS = [kind for kind in read_kinds() if kind.evidence in WAYS]


@pytest.fixture(scope="module")
def home(world_home: Path, tmp_path_factory: pytest.TempPathFactory) -> configs.Settings:
    """A state folder with a lake of its own."""
    home = tmp_path_factory.mktemp("strategies") / "home"
    shutil.copytree(world_home / "lake", home / "lake")
    return small_settings(home)


@pytest.fixture(scope="module")
def outcome(home: configs.Settings) -> StrategyOutcome:
    lake = Lake(home.home / "lake")
    return train_strategies(lake, strategy_registry(home), latest_instant(lake), home, NOW)


def asked(settings: configs.Settings, days: int, until: int = 0) -> Asked:
    """The queries of a number of days before the end, labelled by what was known so many days before it."""
    lake = Lake(settings.home / "lake")
    end = latest_instant(lake)
    labels = Hindsight(known_by(lake, end - timedelta(days=until), settings)).taken_up(end - timedelta(days=days), 14)
    return asked_at(lake, labels, KINDS, 14, 1.0, settings)


def test_features_do_not_depend_on_what_came_after_the_cutoff_and_labels_do(home: configs.Settings) -> None:
    early, late = asked(home, 28, until=10), asked(home, 28, until=14)
    both = np.intersect1d(early.creators, late.creators)
    sides = [one.of(np.isin(one.creators, both)).table for one in (early, late)]
    np.testing.assert_array_equal(sides[0].inputs, sides[1].inputs)
    assert len(both) > 20 and early.table.grades.max() <= 4 and (early.table.grades[~early.table.allowed] == 0).all()
    assert not np.array_equal(asked(home, 28).table.grades, asked(home, 21).table.grades)


def test_the_best_order_has_an_ndcg_of_one_and_better_grades_count_for_more() -> None:
    grades, allowed = np.array([[0, 4, 1, 0]], np.int8), np.ones((1, 4), bool)
    table = Table(np.zeros((1, 4, 1), np.float32), np.zeros((1, 4, 0), np.float32), allowed, grades, np.zeros((1, 0)))
    best, other, none = ([0, 9, 8, 1], [0, 8, 9, 1], [9, 1, 2, 8])
    values = [graded_ndcg(np.array([scores], float), table, 2)[0] for scores in (best, other, none)]
    assert values[0] == 1 and values[2] == 0 < values[1] < 1


def test_a_run_is_registered_under_its_own_name_and_can_be_loaded(
    outcome: StrategyOutcome, home: configs.Settings
) -> None:
    registry = strategy_registry(home)
    version = registry.version(CHALLENGER)
    assert version == outcome.verdict.version
    assert version is not None and registry.usable(CHALLENGER) == version
    assert registry.load(version).ranker.schema == STRATEGIES
    assert Registry(home.mlflow, home.home).version(CHALLENGER) is None


def gains(**means: tuple[float, float]) -> Judged:
    by = {name.replace("_", " "): Interval(mean, low, 2 * mean - low) for name, (mean, low) in means.items()}
    return Judged({}, by, 100, 50, 0.0)


@pytest.mark.parametrize(
    ("found", "serves", "promoted", "says"),
    [
        (None, False, False, "held out"),
        (gains(rule=(0.1, -0.01), popular=(0.1, 0.05)), False, False, "not proven"),
        (gains(rule=(0.1, 0.05), popular=(-0.01, -0.1)), False, False, "popular"),
        (gains(rule=(0.1, 0.05), popular=(0.01, -0.1)), False, True, "against the rule"),
        (gains(rule=(0.1, 0.05)), True, False, "has seen"),
        (gains(rule=(0.1, 0.05), present_ranker=(0.1, -0.01)), True, False, "not proven"),
        (gains(rule=(0.1, 0.05), present_ranker=(0.1, 0.01)), True, True, "against the present ranker"),
    ],
)
def test_a_ranker_takes_over_only_where_its_gain_is_proven(
    found: Judged | None, serves: bool, promoted: bool, says: str
) -> None:
    verdict = decide("7", found, serves)
    assert verdict.promoted == promoted and says in verdict.message


def test_what_is_promoted_is_released_and_nothing_else(outcome: StrategyOutcome, home: configs.Settings) -> None:
    assert outcome.judged is not None and outcome.judged.queries > 20
    assert {RULE, "popular", "usual", "own habit"} == set(outcome.judged.gains)
    release = released(home.released_strategy_models, CHAMPION)
    assert (release is not None) == outcome.verdict.promoted
    assert release is None or load_checked(release.folder, STRATEGIES).schema == STRATEGIES


def test_cutoffs_with_nobody_to_ask_or_nothing_wanted_change_no_judgement(home: configs.Settings) -> None:
    lake, some = Lake(home.home / "lake"), asked(home, 21)
    nobody = TakenUp(latest_instant(lake) - timedelta(days=21), some.creators[:0], np.zeros((0, len(WAYS)), np.int8))
    empty = asked_at(lake, nobody, KINDS, 14, 1.0, home)
    assert len(empty.table) == 0
    content = some.of(np.asarray((some.table.grades == 0).all(axis=1)))
    judged = judge_strategies(the_rule(), [empty, some, content], home)
    assert judged.means == judge_strategies(the_rule(), [some], home).means


def test_the_rule_ranks_as_itself_beside_a_ranker_with_its_weights(home: configs.Settings) -> None:
    judged = judge_strategies(the_rule(), [asked(home, 21)], home)
    found: Mapping[str, Interval] = judged.gains
    assert found[RULE] == Interval(0, 0, 0) and 0 < judged.means[RULE].mean < 1
