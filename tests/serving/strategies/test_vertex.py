from __future__ import annotations

import asyncio
import random
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from serving.strategies.drafting.author import Composed
from serving.strategies.drafting.breaker import CircuitBreaker
from serving.strategies.drafting.faults import retry_after
from serving.strategies.drafting.spending import Account, SpendingLedger
from tests import grounded
from tests.grounded import Teller
from tests.serving.strategies.vertex_world import NOW, author, commission, composed, draft_of, vertex
from tests.vertex_server import FAULTS, running_vertex

EVIDENCE = grounded.evidence(3)


def good(_: dict[str, Any]) -> dict[str, Any]:
    return draft_of(EVIDENCE)


def invented(_: dict[str, Any]) -> dict[str, Any]:
    return draft_of(EVIDENCE, Teller(random.Random(1), "number", 1))


def streamed(model: Any) -> tuple[list[str], Composed]:
    """The stages of one strategy, and what came of it."""

    async def run() -> tuple[list[str], Composed]:
        events = [event async for event in author(model).composing(commission(EVIDENCE))]
        await model.aclose()
        assert events[-1].composed is not None
        return [event.stage for event in events], events[-1].composed

    return asyncio.run(run())


def test_a_grounded_draft_of_the_model_is_the_answer(tmp_path: Path) -> None:
    with running_vertex(good) as server:
        model = vertex(server.url, tmp_path)
        [found] = composed(model, commission(EVIDENCE, goal="more saves"))
    assert (found.strategy.writer, found.reason) == ("vertex", None)
    assert found.strategy.check.is_grounded and found.strategy.check.claims > 50
    asked = server.bodies[-1]
    assert asked["labels"] == {"service": "harmonic-bytes"}
    assert len(asked["safetySettings"]) == 4
    assert asked["generationConfig"]["responseMimeType"] == "application/json"
    assert "plays" in asked["generationConfig"]["responseJsonSchema"]["properties"]
    assert "creator_0003" not in str(asked["systemInstruction"])
    spent = model.ledger.spent(NOW)
    assert spent == found.spent
    assert (spent.calls, spent.input_tokens, spent.output_tokens) == (1, 900, 750)
    assert spent.usd == pytest.approx((900 * 1.5 + 750 * 9.0) / 1e6, abs=2e-6)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", [*FAULTS, "invented numbers"])
def test_whatever_the_server_does_the_answer_is_grounded_and_in_time(fault: str, stream: bool, tmp_path: Path) -> None:
    with running_vertex(invented if fault == "invented numbers" else good) as server:
        server.mode = ["good", fault] if stream else fault
        server.slow_seconds = 20.0
        model = vertex(server.url, tmp_path, deadline_seconds=1.5, timeout_seconds=0.5)
        start = time.monotonic()
        found = streamed(model)[1] if stream else composed(model, commission(EVIDENCE))[0]
        took = time.monotonic() - start
    assert found.strategy.check.is_grounded
    assert found.strategy.writer == ("deterministic" if found.reason else "vertex")
    assert found.reason or stream
    assert took < 1.5 + 5.0  # the library's import, on a loaded machine, is not part of the deadline


def test_a_draft_with_faults_goes_back_once_with_their_list(tmp_path: Path) -> None:
    def mended(body: dict[str, Any]) -> dict[str, Any]:
        return good(body) if "Your last plan was rejected" in str(body["contents"]) else invented(body)

    with running_vertex(mended) as server:
        [found] = composed(vertex(server.url, tmp_path), commission(EVIDENCE))
        assert (found.strategy.writer, server.calls["generateContent"]) == ("vertex", 2)
        assert "is not" in str(server.bodies[-1]["contents"])


def test_a_retry_waits_as_long_as_the_server_asks_and_gives_up_where_that_is_too_long(tmp_path: Path) -> None:
    with running_vertex(good) as server:
        server.mode = ["429 soon", "good"]
        start = time.monotonic()
        [found] = composed(vertex(server.url, tmp_path / "soon"), commission(EVIDENCE))
        assert found.strategy.writer == "vertex"
        assert time.monotonic() - start >= 0.2
        server.mode = "429 later"
        before = server.asked
        found, again = composed(vertex(server.url, tmp_path / "later"), commission(EVIDENCE), commission(EVIDENCE))
        assert (found.reason, again.reason, server.asked - before) == ("down", "open", 1)


def test_a_server_that_is_down_for_good_is_left_alone(tmp_path: Path) -> None:
    with running_vertex(good) as server:
        server.mode = "503"
        model = vertex(server.url, tmp_path, breaker_seconds=0.2)
        found = composed(model, *[commission(EVIDENCE)] * 200)
        assert all(one.strategy.check.is_grounded for one in found)
        assert server.asked <= 1.1 * 200


def test_a_server_that_comes_back_is_asked_again(tmp_path: Path) -> None:
    with running_vertex(good) as server:
        server.mode = "503"
        model = vertex(server.url, tmp_path, breaker_seconds=0.1, breaker_failures=2)
        assert composed(model, commission(EVIDENCE))[0].reason in ("down", "open")
        server.mode = "good"
        time.sleep(0.15)
        assert composed(model, commission(EVIDENCE))[0].strategy.writer == "vertex"
        assert model.breaker.state == "closed"


def test_a_cached_strategy_costs_nothing_until_its_time_is_over(tmp_path: Path) -> None:
    with running_vertex(good) as server:
        model = vertex(server.url, tmp_path)
        first, second = composed(model, commission(EVIDENCE), commission(EVIDENCE), folder=tmp_path)
        assert (first.cached, second.cached, server.asked) == (False, True, 2)
        assert first.strategy == second.strategy and second.strategy.check.claims > 50
        assert (first.spent.calls, second.spent.calls, second.spent.usd) == (1, 0, 0.0)
        [restarted] = composed(vertex(server.url, tmp_path), commission(EVIDENCE), folder=tmp_path)
        assert restarted.cached and restarted.strategy == first.strategy
        others = (
            commission(EVIDENCE, now=NOW + timedelta(days=2)),
            commission(EVIDENCE, locale="en-GB"),
            commission(EVIDENCE, goal="duets"),
            commission(EVIDENCE.model_copy(update={"creator_id": EVIDENCE.creator_id + "\u200b"})),
        )
        assert not any(one.cached for one in composed(model, *others, folder=tmp_path))


def test_a_day_never_costs_more_than_its_budget(tmp_path: Path) -> None:
    with running_vertex(good) as server:
        model = vertex(server.url, tmp_path, budget_usd_per_day=0.1)
        found = composed(model, *[commission(EVIDENCE, goal=f"goal {n}") for n in range(12)])
        assert model.ledger.spent(NOW).usd <= 0.1
        assert {one.reason for one in found} == {None, "budget"}
        assert all(one.strategy.check.is_grounded for one in found)
        assert server.calls["generateContent"] == sum(one.reason is None for one in found)


def _reserve(path: Path, times: int) -> int:
    ledger = SpendingLedger(path, 1.0)
    return sum(ledger.reserve(0.013, NOW) is not None for _ in range(times))


def test_several_processes_share_one_budget(tmp_path: Path) -> None:
    with ProcessPoolExecutor(2) as pool:
        made = sum(pool.map(_reserve, [tmp_path / "ledger.sqlite"] * 4, [40] * 4))
    assert made == 76  # of 0.013 each: the 77th would be more than 1
    assert SpendingLedger(tmp_path / "ledger.sqlite", 1.0).spent(NOW).usd <= 1.0


def test_what_a_call_has_cost_counts_in_full_even_beyond_what_was_set_aside(tmp_path: Path) -> None:
    ledger = SpendingLedger(tmp_path / "ledger.sqlite", 1.0)
    call = ledger.reserve(0.1, NOW)
    assert call is not None
    ledger.settle(call, 0.5, 10, 10)
    assert ledger.spent(NOW).usd == pytest.approx(0.5)
    assert ledger.spent(NOW + timedelta(days=1)).usd == 0


def test_a_ledger_without_a_folder_has_no_budget_left(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    account = Account(SpendingLedger(tmp_path / "file" / "ledger.sqlite", 1.0), 1.0, NOW)
    assert not account.reaches(0.1) and account.reserve(0.1) is None


def test_a_server_that_asks_to_wait_for_ever_is_not_believed() -> None:
    told = ["3", "-1", "inf", "nan", "soon", "Thu, 01 Jan 1970 00:00:00 GMT", None]
    assert [retry_after(one) for one in told] == [3.0, 0.0, None, None, None, 0.0, None]


def test_progress_is_told_while_the_model_writes(tmp_path: Path) -> None:
    with running_vertex(good) as server:
        stages, found = streamed(vertex(server.url, tmp_path))
    assert found.strategy.writer == "vertex"
    assert stages[0] == "asking" and stages[-3:] == ["checking", "checked", "done"]
    assert stages.count("writing") >= 4


def test_without_a_model_the_writer_answers_at_once() -> None:
    [found] = composed(None, commission(EVIDENCE))
    assert (found.strategy.writer, found.reason) == ("deterministic", "no model")


def test_evidence_that_is_too_long_is_not_sent(tmp_path: Path) -> None:
    with running_vertex(good) as server:
        [found] = composed(vertex(server.url, tmp_path, max_input_tokens=100), commission(EVIDENCE))
        assert (found.reason, server.calls["generateContent"]) == ("too long", 0)


def test_the_breaker_lets_one_probe_through_and_waits_longer_each_time() -> None:
    now = [0.0]
    breaker = CircuitBreaker(2, 10, lambda: now[0])
    for _ in range(2):
        assert breaker.allows()
        breaker.failed()
    assert (breaker.state, breaker.allows()) == ("open", False)
    now[0] = 10.0
    assert [breaker.allows(), breaker.allows()] == [True, False]
    breaker.failed()
    now[0] = 25.0
    assert not breaker.allows()
    now[0] = 30.0
    assert breaker.allows()
    breaker.succeeded()
    assert breaker.allows() and breaker.allows()
