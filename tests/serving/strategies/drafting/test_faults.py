from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.pipeline import Pipeline
from serving.strategies.answers import WrittenStrategy
from serving.strategies.planner import Planner
from serving.strategies.schemas import StrategyRequest
from tests.serving.apis import HERE
from tests.serving.strategies.apps import app_of, strategist
from tests.serving.strategies.model_drafts import Drafts
from tests.vertex_server import running_vertex

GOALS = ("followers", "saves")
DOWN = ("429 soon", "429 without", "500", "503", "slow", "hang up")
SPOILT = (
    "cut off", "truncated", "truncated but stopped", "wrong types", "not json", "garbage", "blocked prompt", "safety",
    "empty candidates", "invented",
)  # fmt: skip
DEADLINE = 2.0
HELD = 10.0  # how long a slow server would take: far beyond the deadline, and beyond what a loaded machine adds to it
BUDGET = {"budget_usd_per_day": 60.0, "budget_usd_per_request": 0.25}


@dataclass
class Run:
    """What came of many requests."""

    answers: list[WrittenStrategy] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def told(self) -> str:
        reasons = Counter(a.fallback or ("cached" if a.cached else "vertex") for a in self.answers)
        ordered = sorted(self.seconds)
        at = {name: f"{ordered[int(share * (len(ordered) - 1))]:.2f}" for name, share in (("p50", 0.5), ("p99", 0.99))}
        return f"{len(self.answers)} answers, seconds {at}, slowest {ordered[-1]:.2f}; {dict(reasons.most_common())}"


@pytest.fixture(scope="module")
def questions(served: Pipeline, planner: Planner) -> list[StrategyRequest]:
    """Many; what is compiled when it is first used has been."""
    names = sorted(served.states.ids())[:45]
    found = [StrategyRequest(creator_id=name, goal=goal) for name in names for goal in GOALS]
    planner.written(found[0])
    return found


def asked(app: Any, bodies: list[StrategyRequest], at_once: int) -> Run:
    """Every request over HTTP, a fifth of them as a stream of events."""
    run = Run()

    async def one(client: httpx.AsyncClient, place: int, body: StrategyRequest) -> None:
        start = time.monotonic()
        headers = {"accept": "text/event-stream"} if place % 5 == 0 else {}
        response = await client.post("/v1/strategies", json=body.model_dump(mode="json"), headers=headers)
        run.seconds.append(time.monotonic() - start)
        assert response.status_code == 200, response.text
        told = response.text
        if place % 5 == 0:
            name, told = told.strip().split("\n\n")[-1].split("\n")
            assert name == "event: strategy"
        run.answers.append(WrittenStrategy.model_validate_json(told.removeprefix("data: ")))
        assert run.answers[-1].creator_id == body.creator_id

    async def everything() -> None:
        gate = asyncio.Semaphore(at_once)
        transport = httpx.ASGITransport(app, client=HERE)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=60) as client:

            async def held(place: int, body: StrategyRequest) -> None:
                async with gate:
                    await one(client, place, body)

            await asyncio.gather(*(held(place, body) for place, body in enumerate(bodies)))

    asyncio.run(everything())
    return run


QUICK = {"deadline_seconds": DEADLINE, "timeout_seconds": 0.6}


def test_a_thousand_requests_are_answered_whatever_the_model_does(
    served: Pipeline,
    planner: Planner,
    questions: list[StrategyRequest],
    tmp_path: Path,
) -> None:
    rng = random.Random(5)
    modes = ("good",) * 3 + DOWN + SPOILT
    with running_vertex(Drafts(planner).honest) as server:
        server.mode, server.slow_seconds = lambda: rng.choice(modes), HELD
        writes = strategist(server.url, planner, tmp_path, breaker_seconds=0.1, **QUICK, **BUDGET)
        run = asked(app_of(served, writes, tmp_path), rng.choices(questions, k=1000), 8)
        assert writes.vertex is not None
        spent = writes.vertex.ledger.spent(datetime.now(UTC))
    print(f"\n{run.told()}; calls {dict(server.calls)}; {spent}")
    assert len(run.answers) == 1000
    assert all(answer.check.is_grounded and answer.check.claims > 20 for answer in run.answers)
    assert all(answer.writer == ("deterministic" if answer.fallback else "vertex") for answer in run.answers)
    late = sum(seconds > (DEADLINE + HELD) / 2 for seconds in run.seconds)
    assert late <= 10, f"{late} of 1,000 answers came long after the deadline"
    assert sum(not answer.cached for answer in run.answers) > 300
    assert {"ungrounded", "blocked", "down", "open"} <= {answer.fallback for answer in run.answers}
    assert sum(answer.writer == "vertex" for answer in run.answers) > 100
    assert spent.usd <= BUDGET["budget_usd_per_day"]
    assert max(answer.cost.usd for answer in run.answers) <= BUDGET["budget_usd_per_request"]
    told = sum(answer.cost.usd for answer in run.answers)
    assert told == pytest.approx(
        spent.usd, rel=0.05
    )  # a call that time ran out on is settled after its answer was told


def test_a_model_that_is_down_for_good_is_hardly_called(
    served: Pipeline, planner: Planner, questions: list[StrategyRequest], tmp_path: Path
) -> None:
    bodies = (questions * 12)[:1000]
    with running_vertex(lambda body: body) as server:
        server.mode = "503"
        writes = strategist(server.url, planner, tmp_path, breaker_seconds=30.0, **QUICK)
        run = asked(app_of(served, writes, tmp_path), bodies, 8)
    print(f"\n{run.told()}; {server.asked / len(bodies):.3f} calls a request")
    assert all(answer.check.is_grounded and answer.writer == "deterministic" for answer in run.answers)
    assert server.asked <= 1.1 * len(bodies)
