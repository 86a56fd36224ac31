from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import configs
from serving.pipeline import Pipeline
from serving.strategies.answers import WrittenStrategy
from serving.strategies.drafting.batch import AnotherOrder, JobWaits
from serving.strategies.many import UnknownFormat, strategies_of_many
from serving.strategies.planner import Planner
from serving.strategies.prompt import request_body
from serving.strategies.schemas import StrategyRequest
from serving.strategies.strategist import Strategist
from serving.strategies.vertex import HARMS
from tests.serving.strategies import apps
from tests.serving.strategies.model_drafts import Drafts
from tests.serving.strategies.vertex_world import NOW, vertex
from tests.vertex_server import VertexServer, running_vertex

MODES = (
    "good",
    "good",
    "truncated",
    "invented",
    "good",
    "safety",
    "missing",
    "error",
    "wrong types",
    "empty candidates",
)


def now() -> datetime:
    return NOW


def quiet(_: str, __: float) -> None:
    """Nobody watches."""


@pytest.fixture(scope="module")
def requests(served: Pipeline) -> list[StrategyRequest]:
    return [StrategyRequest(creator_id=name) for name in sorted(served.states.ids())[:20]]


@pytest.fixture(scope="module")
def drafts(planner: Planner) -> Drafts:
    return Drafts(planner)


@pytest.fixture
def server(drafts: Drafts, monkeypatch: pytest.MonkeyPatch) -> Iterator[VertexServer]:
    with running_vertex(drafts.honest) as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        yield server


def strategist(server: VertexServer, planner: Planner, home: Path, **batch: Any) -> Strategist:
    quick = {"folder": "gs://plans/of", "poll_seconds": 0.02, **batch}
    chosen = configs.load().strategy.vertex.batch.model_copy(update=quick)
    return apps.strategist(server.url, planner, home, batch=chosen)


def rows(path: Path) -> list[WrittenStrategy]:
    return [WrittenStrategy.model_validate_json(line) for line in path.read_text().splitlines()]


def test_every_creator_gets_a_proven_strategy_from_one_job(
    server: VertexServer, planner: Planner, requests: list[StrategyRequest], tmp_path: Path
) -> None:
    server.cloud.modes = MODES
    writes, out, steps = strategist(server, planner, tmp_path), tmp_path / "plans.jsonl", []
    told = strategies_of_many(writes, requests, now, out, lambda name, _: steps.append(name))
    found = rows(out)
    assert [one.creator_id for one in found] == [one.creator_id for one in requests]
    assert all(one.check.is_grounded and one.check.claims > 20 for one in found)
    assert Counter(one.fallback for one in found) == {
        None: 6, "cut off": 2, "ungrounded": 2, "blocked": 2, "empty": 6, "unreadable": 2,
    }  # fmt: skip
    assert (told["vertex"], told["deterministic"], len(server.cloud.jobs)) == (6, 14, 1)
    assert set(server.calls) == {"countTokens"}
    assert writes.vertex is not None
    assert writes.vertex.ledger.spent(NOW).usd == pytest.approx(told["usd"], abs=1e-4)
    assert {"running", "20 strategies"} <= set(steps)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    again = strategies_of_many(strategist(server, planner, tmp_path), requests[:2], now, out, quiet)
    assert (again["vertex"], again["usd"], len(server.cloud.jobs)) == (2, 0.0, 1)


def test_a_job_that_was_left_is_taken_up_again_and_paid_once(
    server: VertexServer, planner: Planner, requests: list[StrategyRequest], tmp_path: Path
) -> None:
    server.cloud.running = 10_000
    out = tmp_path / "plans.parquet"
    for _ in range(2):
        with pytest.raises(JobWaits, match="takes it up again"):
            strategies_of_many(strategist(server, planner, tmp_path, wait_hours=1e-4), requests[:5], now, out, quiet)
    with pytest.raises(AnotherOrder, match="other creators"):
        strategies_of_many(strategist(server, planner, tmp_path), requests[:4], now, out, quiet)
    (out.with_name(".plans.parquet.job") / "job.json").unlink()  # killed after the job was made, before it was noted
    server.cloud.running = 0
    told = strategies_of_many(strategist(server, planner, tmp_path), requests[:5], now, out, quiet)
    assert (told["vertex"], len(server.cloud.jobs)) == (5, 1)
    table = pq.read_table(out).to_pylist()
    assert [row["creator_id"] for row in table] == [one.creator_id for one in requests[:5]]
    assert all(WrittenStrategy.model_validate_json(row["strategy"]).writer == "vertex" for row in table)
    assert sum(row["calls"] for row in table) == 5


def test_a_process_that_was_killed_while_it_gathered_goes_on_where_it_was(
    server: VertexServer, planner: Planner, requests: list[StrategyRequest], tmp_path: Path
) -> None:
    out, work = tmp_path / "plans.jsonl", tmp_path / ".plans.jsonl.job"

    class Killed(Exception):
        pass

    def dies(_: str, share: float) -> None:
        if share > 0.3:
            raise Killed

    with pytest.raises(Killed):
        strategies_of_many(strategist(server, planner, tmp_path, counts_at_once=2), requests[:6], now, out, dies)
    with (work / "questions.part").open("ab") as file:
        file.write(b'{"half": ')
    counted = server.calls["countTokens"]
    told = strategies_of_many(strategist(server, planner, tmp_path, counts_at_once=2), requests[:6], now, out, quiet)
    assert (told["vertex"], server.calls["countTokens"]) == (6, 6)
    assert 0 < counted < 6


@pytest.mark.parametrize(("ends", "reason"), [("JOB_STATE_FAILED", "empty"), ("JOB_STATE_CANCELLED", "empty")])
def test_a_job_that_fails_leaves_nobody_without_a_strategy(
    ends: str, reason: str, server: VertexServer, planner: Planner, requests: list[StrategyRequest], tmp_path: Path
) -> None:
    server.cloud.ends = ends
    out = tmp_path / "plans.jsonl"
    told = strategies_of_many(strategist(server, planner, tmp_path), requests[:3], now, out, quiet)
    assert (told["deterministic"], told["fallbacks"]) == (3, {reason: 3})
    assert all(one.check.is_grounded for one in rows(out))


def test_an_answer_counts_whether_or_not_its_line_is_ended(
    server: VertexServer, planner: Planner, requests: list[StrategyRequest], tmp_path: Path
) -> None:
    server.cloud.is_ended = False
    told = strategies_of_many(strategist(server, planner, tmp_path), requests[:3], now, tmp_path / "plans.jsonl", quiet)
    assert told["vertex"] == 3


def test_a_job_costs_no_more_than_its_budget(
    server: VertexServer, planner: Planner, requests: list[StrategyRequest], tmp_path: Path
) -> None:
    writes = strategist(server, planner, tmp_path, budget_usd=0.2)
    told = strategies_of_many(writes, requests[:8], now, tmp_path / "plans.jsonl", quiet)
    assert told["fallbacks"] == {"budget": told["deterministic"]} and 0 < told["vertex"] < 8
    assert (
        len(server.cloud.files["plans", next(n for _, n in server.cloud.files if "input" in n)].splitlines())
        == (told["vertex"])
    )


def test_without_a_model_or_a_bucket_each_is_written_alone(
    server: VertexServer, planner: Planner, requests: list[StrategyRequest], tmp_path: Path
) -> None:
    out = tmp_path / "plans.jsonl"
    assert strategies_of_many(Strategist(planner), requests[:4], now, out, quiet)["deterministic"] == 4
    alone = strategist(server, planner, tmp_path, folder=None)
    assert strategies_of_many(alone, requests[:4], now, out, quiet)["vertex"] == 4
    assert (server.calls["generateContent"], len(server.cloud.jobs)) == (4, 0)
    with pytest.raises(UnknownFormat):
        strategies_of_many(alone, requests[:1], now, tmp_path / "plans.csv", quiet)


def test_a_line_of_a_job_asks_for_the_same_as_a_call(
    server: VertexServer, planner: Planner, requests: list[StrategyRequest], tmp_path: Path
) -> None:
    writes = strategist(server, planner, tmp_path, folder=None)
    strategies_of_many(writes, requests[:1], now, tmp_path / "plans.jsonl", quiet)
    assert writes.vertex is not None
    chosen = writes.vertex.settings
    prompt = writes.author.prompt(writes.commission(requests[0], NOW))
    line = request_body(prompt, chosen.temperature, chosen.max_output_tokens, chosen.labels, HARMS)
    assert json.loads(json.dumps(line)) == server.bodies[-1]


def test_large_inputs_are_sent_in_parts(server: VertexServer, tmp_path: Path) -> None:
    from serving.strategies.vertex import VertexBatches

    big = tmp_path / "input.jsonl"
    big.write_bytes(random.Random(0).randbytes(9 << 20))
    batches = VertexBatches(vertex(server.url, tmp_path))
    batches.upload(big, "gs://plans/of/input.jsonl")
    assert server.cloud.files["plans", "of/input.jsonl"] == big.read_bytes()
    (tmp_path / "back").mkdir()
    [path] = batches.download("gs://plans/of", tmp_path / "back")
    assert path.read_bytes() == big.read_bytes()
