from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

import configs
from configs import RateSettings
from serving.access import limits
from serving.access.limits import Counts, CountsLost, Due, Limiter, RedisCounts, SqliteCounts
from serving.errors import TooManyRequests
from tests.servers import RedisServer, redis_server, running_cluster, running_redis

__all__ = ["redis_server"]
START = 1_800_000_000.0
"""A multiple of 60: a window begins here."""


def limiter(requests: int = 5, seconds: int = 60, counts: Counts | None = None) -> Limiter:
    return Limiter({"recommend": RateSettings(requests=requests, seconds=seconds)}, counts, 0.05)


def passes(limited: Limiter, at: float, caller: str = "key:1") -> bool:
    try:
        limited.hit(caller, "recommend", at)
    except TooManyRequests:
        return False
    return True


def passed(limited: Limiter, at: float, tries: int, caller: str = "key:1") -> int:
    return sum(passes(limited, at, caller) for _ in range(tries))


@pytest.fixture(params=["sqlite", "redis"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Counts]:
    if request.param == "sqlite":
        yield SqliteCounts(tmp_path / "serving" / "limits.sqlite")
    else:
        server: RedisServer = request.getfixturevalue("redis_server")
        for key in server.client().scan_iter("hb:limit:*"):
            server.client().delete(key)
        yield RedisCounts(server.url)


# One worker


def test_as_many_as_allowed_pass_and_no_more() -> None:
    assert passed(limiter(5), START + 1, 9) == 5


def test_what_is_left_is_told() -> None:
    limited = limiter(5)
    told = [limited.hit("key:1", "recommend", START + 10) for _ in range(3)]
    assert [left.requests for left in told if left] == [4, 3, 2]
    assert {left.seconds for left in told if left} == {50}


def test_one_caller_does_not_use_up_anothers() -> None:
    limited = limiter(2)
    assert passed(limited, START, 5, "key:1") == 2 and passed(limited, START, 5, "key:2") == 2


def test_a_scope_without_a_rate_has_no_limit() -> None:
    assert all(limiter(1).hit("key:1", "events", START) is None for _ in range(10))


def test_the_end_of_a_window_does_not_allow_twice_as_many_at_once() -> None:
    limited = limiter(100)
    assert passed(limited, START + 59.9, 200) == 100
    assert passed(limited, START + 60.1, 200) <= 1
    assert 45 <= passed(limited, START + 90, 200) <= 51


def test_after_two_windows_everything_is_forgotten() -> None:
    limited = limiter(5)
    assert passed(limited, START, 9) == 5 and passed(limited, START + 120, 9) == 5


def test_a_clock_that_steps_back_is_no_error() -> None:
    limited = limiter(5)
    assert passed(limited, START + 61, 3) == 3 and passed(limited, START + 59, 9) == 2


@given(
    st.integers(1, 50), st.integers(1, 120), st.lists(st.floats(0, 30, allow_nan=False), min_size=1, max_size=120)
)  # fmt: skip
@examples(max_examples=60, deadline=None)
def test_a_caller_who_comes_back_when_told_gets_in(requests: int, seconds: int, pauses: list[float]) -> None:
    limited, at = limiter(requests, seconds), START
    for pause in pauses:
        at += pause
        try:
            left = limited.hit("key:1", "recommend", at)
            assert left is not None and 0 <= left.requests < requests and 0 < left.seconds <= seconds
        except TooManyRequests as error:
            assert 1 <= error.retry_after <= 2 * seconds + 1
            assert error.headers == {"Retry-After": str(error.retry_after)}
            assert passes(limited, at + error.retry_after)
            at += error.retry_after


@given(st.integers(1, 30), st.lists(st.floats(0, 20, allow_nan=False), min_size=1, max_size=150))
@examples(max_examples=60, deadline=None)
def test_no_window_between_two_ticks_sees_more_than_allowed(requests: int, pauses: list[float]) -> None:
    limited, at, by_window = limiter(requests), START, dict[int, int]()
    for pause in pauses:
        at += pause
        by_window[int(at // 60)] = by_window.get(int(at // 60), 0) + passes(limited, at)
    assert max(by_window.values()) <= requests


def test_many_callers_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_WINDOWS", 100)
    limited = limiter(5)
    for number in range(500):
        passes(limited, START, f"addr:{number}")
    assert len(limited._windows) == 100
    limited.settle(START + 200)
    assert len(limited._windows) == 0


def test_threads_do_not_count_too_little() -> None:
    limited = limiter(500)
    found: list[int] = []
    workers = [threading.Thread(target=lambda: found.append(passed(limited, START, 300))) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sum(found) == 500


# Several workers


def test_two_workers_count_together_once_they_have_settled(shared: Counts) -> None:
    one, two = limiter(10, counts=shared), limiter(10, counts=shared)
    assert passed(one, START + 1, 6) == 6 and passed(two, START + 1, 1) == 1
    one.settle(START + 1)
    two.settle(START + 1)
    assert passed(two, START + 2, 9) == 3
    two.settle(START + 2)
    assert passed(one, START + 2, 1) == 1  # it learns of the others when it next settles its own
    one.settle(START + 2)
    assert passed(one, START + 2, 9) == 0


def test_settling_twice_counts_once(shared: Counts) -> None:
    limited = limiter(10, counts=shared)
    passed(limited, START, 4)
    for _ in range(3):
        limited.settle(START)
    assert passed(limited, START, 20) == 6


def test_a_worker_that_comes_new_learns_what_was_used_before(shared: Counts) -> None:
    old = limiter(100, counts=shared)
    assert passed(old, START + 50, 100) == 100
    old.settle(START + 50)
    new = limiter(100, counts=shared)
    assert passes(new, START + 61)
    new.settle(START + 61)
    assert passed(new, START + 62, 50) <= 3


def test_what_was_not_settled_before_the_window_ended_is_settled_after(shared: Counts) -> None:
    one = limiter(100, counts=shared)
    assert passed(one, START + 59, 90) == 90
    assert passes(one, START + 60)
    one.settle(START + 60)
    assert shared.add([Due("key:1", "recommend", int(START // 60) + 1, 60, 0)]) == [(1, 90)]


def test_workers_that_settle_from_a_thread_share_within_moments(shared: Counts) -> None:
    one, two = limiter(50, seconds=3600, counts=shared), limiter(50, seconds=3600, counts=shared)
    one.keep_settled()
    two.keep_settled()
    assert passed(one, time.time(), 50) == 50
    assert passes(two, time.time())
    deadline = time.monotonic() + 5
    while passes(two, time.time()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not passes(two, time.time())


def test_old_windows_leave_the_shared_file(tmp_path: Path) -> None:
    counts = SqliteCounts(tmp_path / "limits.sqlite")
    counts.add([Due("a", "s", 100, 60, 5)])
    assert counts.add([Due("a", "s", 101, 60, 1)]) == [(1, 5)]
    counts.add([Due("b", "s", 110, 60, 1)])
    assert counts.add([Due("a", "s", 101, 60, 0)]) == [(0, 0)]


def test_counts_in_redis_expire_and_share_a_slot(redis_server: RedisServer) -> None:
    RedisCounts(redis_server.url).add([Due("key:9", "events", 7, 60, 3)])
    client = redis_server.client()
    assert 170 < int(client.ttl("hb:limit:{key:9}:events:60:7")) <= 180  # type: ignore[arg-type]


def test_counts_live_in_a_cluster(tmp_path: Path) -> None:
    with running_cluster(tmp_path) as address:
        counts = RedisCounts(address)
        due = [Due("key:1", "s", 1, 60, 3), Due("key:2", "s", 1, 60, 4), Due("key:1", "s", 2, 60, 1)]
        assert counts.add(due) == [(3, 0), (4, 0), (1, 3)]
    with pytest.raises(CountsLost):
        counts.add(due)


# Loss


def test_without_redis_each_worker_limits_alone_and_settles_when_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with running_redis(tmp_path) as server:
        counts = RedisCounts(server.url)
        limited = limiter(10, counts=counts)
        assert passed(limited, START, 3) == 3
        limited.settle(START)
        assert not limited.degraded
    assert passed(limited, START + 1, 4) == 4
    limited.settle(START + 1)
    limited.settle(START + 1)
    assert limited.degraded and limited.losses == 2
    assert passed(limited, START + 2, 9) == 3
    with running_redis(tmp_path) as server:
        counts._address, counts._redis = server.url, None
        limited.settle(START + 3)
        assert not limited.degraded
        assert counts.add([Due("key:1", "recommend", int(START // 60), 60, 0)]) == [(7, 0)]
    assert len([r for r in caplog.records if r.levelno == logging.WARNING]) == 1


def test_a_lost_redis_costs_a_request_no_time(tmp_path: Path) -> None:
    limited = limiter(10**6, counts=RedisCounts("redis://127.0.0.1:1/0"))
    limited.keep_settled()
    passes(limited, time.time())
    deadline = time.monotonic() + 5
    while not limited.degraded and time.monotonic() < deadline:
        time.sleep(0.02)
    assert limited.degraded and passed(limited, time.time(), 1000) == 1000


def test_a_file_that_cannot_be_used_is_a_loss_and_no_error(tmp_path: Path) -> None:
    (tmp_path / "limits.sqlite").write_bytes(b"no database" * 200)
    counts = SqliteCounts(tmp_path / "limits.sqlite")
    with pytest.raises(CountsLost):
        counts.add([Due("a", "s", 1, 60, 1)])
    limited = limiter(5, counts=counts)
    passes(limited, START)
    limited.settle(START)
    assert limited.degraded and passed(limited, START, 9) == 4


def test_what_the_settings_say_is_what_is_counted(settings: configs.Settings, tmp_path: Path) -> None:
    rates = {"events": RateSettings(requests=2, seconds=1)}
    limited = Limiter.of(
        settings.auth.model_copy(update={"limits": settings.auth.limits.model_copy(update={"rates": rates})}), tmp_path
    )
    limited.hit("a", "events", START)
    limited.hit("a", "events", START)
    with pytest.raises(TooManyRequests, match="at most 2 requests in 1 s"):
        limited.hit("a", "events", START)
    limited.settle(START)
    assert (tmp_path / "limits.sqlite").exists()
