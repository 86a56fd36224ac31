from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from serving.experiment import Experiment, Shadow, Shadowed, overlap, rank_correlation, unit
from serving.process.queues import BatchQueue
from serving.schemas import RankQuery

CREATORS = [f"creator_{n:05d}" for n in range(20_000)]


@hypothesis_settings(max_examples=100, deadline=None)
@given(st.text(min_size=1), st.text(min_size=1, max_size=16), st.floats(0, 1), st.floats(0, 1))
def test_a_growing_share_only_ever_takes_creators_in(creator: str, salt: str, one: float, other: float) -> None:
    small, large = sorted((one, other))
    arm = Experiment(salt, small).arm(creator)
    assert Experiment(salt, small).arm(creator) == arm
    if arm == "challenger":
        assert Experiment(salt, large).arm(creator) == "challenger"
    assert Experiment(salt, 0.0).arm(creator) == "champion" and Experiment(salt, 1.0).arm(creator) == "challenger"


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5])
def test_the_split_has_the_share_it_was_given(share: float) -> None:
    experiment = Experiment("june", share)
    found = np.mean([experiment.arm(creator) == "challenger" for creator in CREATORS])
    assert abs(found - share) < 4 * (share * (1 - share) / len(CREATORS)) ** 0.5
    assert experiment.share("challenger") == share and experiment.share("champion") == 1 - share


def test_another_salt_deals_creators_anew_and_purposes_are_independent() -> None:
    one, other = Experiment("june", 0.5), Experiment("july", 0.5)
    both = np.mean([one.arm(c) == other.arm(c) == "challenger" for c in CREATORS])
    assert abs(both - 0.25) < 0.02
    arms = np.array([unit("june", "arm", c) for c in CREATORS])
    draws = np.array([unit("june", "explore", c) for c in CREATORS])
    assert abs(np.corrcoef(arms, draws)[0, 1]) < 0.03
    assert arms.min() >= 0 and arms.max() < 1 and abs(arms.mean() - 0.5) < 0.01


def test_names_of_any_kind_have_an_arm() -> None:
    for name in ("", "ünï 🎵", "\udcff", "a" * 10_000):
        assert Experiment("june", 0.5).arm(name) in ("champion", "challenger")


def test_overlap_and_rank_correlation_of_slates() -> None:
    slate = np.array([5, 3, 9, 1])
    assert overlap(slate, slate) == 1 and rank_correlation(slate, slate) == 1
    assert rank_correlation(slate, slate[::-1]) == -1
    assert overlap(slate, np.array([5, 3, 7, 8])) == 0.5
    assert rank_correlation(slate, np.array([5, 3, 7, 8])) is None
    assert rank_correlation(slate, np.array([3, 5, 9, 7])) == pytest.approx(0.5)
    assert overlap(np.array([], int), slate) == 1


class Figures:
    def __init__(self) -> None:
        self.told: list[tuple[float, float | None]] = []

    def shadowed(self, overlap: float, correlation: float | None, seconds: float) -> None:
        self.told.append((overlap, correlation))


def test_a_shadow_never_keeps_a_request_waiting_and_counts_what_it_drops() -> None:
    figures, go = Figures(), threading.Event()
    shadow = Shadow(figures, most=3)

    def other(query: RankQuery) -> np.ndarray:
        go.wait(5)
        return np.array([1, 2, 3])

    one = Shadowed(RankQuery("anna", 3), np.array([1, 2, 3]), other)
    shadow.queue.put(one)
    while len(shadow.queue):
        time.sleep(0.001)
    began = time.perf_counter()
    taken = [shadow.queue.put(one) for _ in range(5)]
    assert time.perf_counter() - began < 0.5
    assert taken == [True, True, True, False, False] and shadow.queue.dropped == 2
    go.set()
    assert shadow.queue.close(5) == 0
    assert figures.told == [(1.0, 1.0)] * 4


def test_a_challenger_that_fails_in_the_shadow_is_counted_and_the_next_one_is_scored() -> None:
    figures = Figures()
    shadow = Shadow(figures, most=10)
    shadow.queue.put(
        Shadowed(RankQuery("anna", 3), np.array([1]), lambda query: np.zeros(1, int)[[int(query.creator_id == "anna")]])
    )
    shadow.queue.put(Shadowed(RankQuery("anna", 3), np.array([1]), lambda query: np.array([2])))
    assert shadow.queue.close(5) == 0
    assert shadow.queue.failed == 1 and figures.told == [(0.0, None)]


def test_a_queue_keeps_its_order_tries_again_after_a_full_disk_and_leaves_within_its_deadline() -> None:
    got: list[int] = []
    full = [True, True]

    def sink(batch: list[int]) -> None:
        if full:
            full.pop()
            raise OSError("no space left on device")
        got.extend(batch)

    queue: BatchQueue[int] = BatchQueue("test", sink, most=1000, every_seconds=0.01, batch=7)
    for number in range(100):
        assert queue.put(number)
    while full:
        time.sleep(0.001)
    assert queue.close(5) == 0 and got == list(range(100)) and not queue.put(1)

    stuck: BatchQueue[int] = BatchQueue("stuck", lambda batch: time.sleep(60), most=10, every_seconds=0.01, batch=1)
    for number in range(5):
        stuck.put(number)
    began = time.perf_counter()
    assert stuck.close(0.2) >= 4 and time.perf_counter() - began < 2
