from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from features.lake import Lake
from features.materialize import known_by, latest_instant
from models.moment import Moment
from models.pairs import INPUTS
from tests.worlds import moment_of, small_settings
from training.dataset import panel
from training.labels import Adoptions, adoptions

EVERYTHING = 10**9


@pytest.fixture(scope="module")
def lake(world_home: Path) -> Lake:
    return Lake(world_home / "lake")


@pytest.fixture(scope="module")
def moment(lake: Lake, world_home: Path) -> Moment:
    return moment_of(lake, latest_instant(lake) - timedelta(days=7), small_settings(world_home))


@pytest.fixture(scope="module")
def labels(lake: Lake, moment: Moment, world_home: Path) -> Adoptions:
    known = known_by(lake, latest_instant(lake), small_settings(world_home))
    return adoptions(known, moment.market.as_of, 7)


def test_the_grades_are_the_adoptions_of_what_could_have_been_recommended(moment: Moment, labels: Adoptions) -> None:
    made = panel(moment, labels, 1.0, EVERYTHING, 0)
    assert made is not None
    rows = {
        (c.creator_id, made.market.keys[t]) for i, c in enumerate(made.creators) for t in made.grades[i].nonzero()[0]
    }
    could = {
        (creator, key)
        for creator, key in zip(labels.creator_ids, labels.trend_keys, strict=True)
        if creator in moment.creators
        and key in moment.market.row_of
        and moment.market.recommendable[moment.market.row_of[key]]
    }
    assert rows == could
    assert not made.grades[~made.allowed].any()
    assert (made.wanted >= 1).all()


def test_everybody_means_also_who_adopted_nothing(moment: Moment, labels: Adoptions) -> None:
    asking, everybody = (panel(moment, labels, 1.0, EVERYTHING, 0, everybody=all_) for all_ in (False, True))
    assert asking is not None and everybody is not None
    assert len(everybody) == len(moment.creators) > len(asking)
    assert everybody.grades.sum() == asking.grades.sum()


def test_a_sample_is_seeded_bounded_and_leaves_each_query_as_it_was(moment: Moment, labels: Adoptions) -> None:
    whole = panel(moment, labels, 1.0, EVERYTHING, 0)
    assert whole is not None
    cells = 10 * len(moment.market)
    some, again, other = (panel(moment, labels, 1.0, cells, seed) for seed in (0, 0, 1))
    assert some is not None and again is not None and other is not None
    names = [c.creator_id for c in some.creators]
    assert len(some) == 10 and names == [c.creator_id for c in again.creators] != [c.creator_id for c in other.creators]
    at = [[c.creator_id for c in whole.creators].index(name) for name in names]
    assert some.inputs.tobytes() == whole.inputs[at].tobytes()
    assert some.inputs.shape == (10, len(moment.market), len(INPUTS))
    assert (some.grades == whole.grades[at]).all()


def test_nobody_who_adopted_anything_is_no_panel(moment: Moment) -> None:
    none = np.array([], object)
    nothing = Adoptions(moment.market.as_of, none, none, np.array([], np.int64))
    assert panel(moment, nothing, 1.0, EVERYTHING, 0) is None
