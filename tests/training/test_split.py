from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

import configs
from training.split import Split, plan

AS_OF = datetime(2026, 3, 1, 12, tzinfo=UTC)
SMALL = st.integers(1, 12)
DEFAULTS = configs.load().ranker


def settings_of(**changes: int) -> configs.RankerSettings:
    return DEFAULTS.model_copy(update=changes)


RANKER = st.builds(
    settings_of,
    horizon_days=SMALL,
    cutoff_step_days=SMALL,
    max_cutoffs=SMALL,
    test_cutoffs=st.integers(1, 4),
    validation_cutoffs=st.integers(1, 4),
    min_history_days=SMALL,
)
SPAN = st.floats(0, 200).map(lambda days: AS_OF - timedelta(days=days))


def days(split: Split) -> list[int]:
    return [len(split.train), len(split.validation), len(split.test), len(split.final)]


@given(SPAN, RANKER)
def test_no_label_reaches_into_a_later_part_or_past_what_is_known(
    start: datetime, ranker: configs.RankerSettings
) -> None:
    split, label = plan(start, AS_OF, ranker), timedelta(days=ranker.horizon_days)
    for part, later in pairwise(part for part in (split.train, split.validation, split.test) if part):
        assert max(part) + label <= min(later)
    assert all(cutoff + label <= AS_OF for cutoff in split.all)
    for held_out in (split.validation, split.test):
        assert all(b - a >= label for a, b in pairwise(held_out))


@given(SPAN, RANKER)
def test_every_cutoff_has_its_history_and_stands_on_one_lattice(
    start: datetime, ranker: configs.RankerSettings
) -> None:
    split, step = plan(start, AS_OF, ranker), timedelta(days=ranker.cutoff_step_days)
    assert all(cutoff >= start + timedelta(days=ranker.min_history_days) for cutoff in split.all)
    assert all((split.all[-1] - cutoff) % step == timedelta(0) for cutoff in split.all)
    for part in (split.train, split.validation, split.test, split.final):
        assert list(part) == sorted(set(part))
        assert len(part) <= max(ranker.max_cutoffs, ranker.test_cutoffs, ranker.validation_cutoffs)


@given(SPAN, RANKER)
def test_what_serves_learns_from_the_latest_cutoffs_of_all(start: datetime, ranker: configs.RankerSettings) -> None:
    split = plan(start, AS_OF, ranker)
    if split.all:
        assert split.final[-1] == AS_OF - timedelta(days=ranker.horizon_days) == split.all[-1]
        assert set(split.test) <= set(split.final) or len(split.final) == ranker.max_cutoffs


@given(SPAN, RANKER)
def test_the_training_period_ends_with_its_last_label(start: datetime, ranker: configs.RankerSettings) -> None:
    split = plan(start, AS_OF, ranker)
    last = max(split.train) + timedelta(days=ranker.horizon_days) if split.train else start
    assert split.trained_through == last


def test_held_out_cutoffs_are_given_up_one_after_the_other_as_data_get_shorter() -> None:
    ranker = settings_of(
        horizon_days=7, cutoff_step_days=7, max_cutoffs=20, test_cutoffs=2, validation_cutoffs=2, min_history_days=5
    )
    kept = [days(plan(AS_OF - timedelta(days=5 + 7 * weeks), AS_OF, ranker)) for weeks in (6, 5, 4, 3, 2, 1)]
    assert kept == [[2, 2, 2, 6], [1, 2, 2, 5], [2, 1, 1, 4], [1, 1, 1, 3], [1, 0, 1, 2], [1, 0, 0, 1]]


def test_data_shorter_than_one_label_have_no_cutoff_at_all() -> None:
    ranker = settings_of(min_history_days=5, horizon_days=7)
    start = AS_OF - timedelta(days=11, hours=23)
    assert plan(start, AS_OF, ranker) == Split((), (), (), (), trained_through=start)
    assert days(plan(start - timedelta(hours=1), AS_OF, ranker)) == [1, 0, 0, 1]
