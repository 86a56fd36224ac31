from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
import orjson
import pytest
from starlette.types import Message

from serving.answers import Alone, Answers
from serving.errors import NotReady
from serving.pipeline import Pipeline
from serving.snapshot import PATCHED
from serving.strategies.answers import WrittenStrategy
from serving.strategies.drafting.author import Progress
from serving.strategies.drafting.cache import StrategyCache
from serving.strategies.drafting.stream import ALIVE, told
from serving.strategies.library import library
from serving.strategies.planner import Planner
from serving.strategies.published import PublishedLibrary
from serving.strategies.schemas import StrategyRequest
from serving.strategies.strategist import Strategist
from tests.serving.apis import HERE
from tests.serving.strategies.apps import app_of, strategist
from tests.serving.strategies.model_drafts import Drafts
from tests.serving.strategies.vertex_world import NOW
from tests.vertex_server import VertexServer, running_vertex

STREAM = {"accept": "text/event-stream"}


@pytest.fixture
def server(planner: Planner) -> Iterator[VertexServer]:
    with running_vertex(Drafts(planner).honest) as server:
        yield server


@pytest.fixture
def writes(server: VertexServer, planner: Planner, tmp_path: Path) -> Strategist:
    return strategist(server.url, planner, tmp_path)


def answered(writes: Strategist, *requests: StrategyRequest) -> list[WrittenStrategy]:
    """All at once."""

    async def everything() -> list[WrittenStrategy]:
        found = await asyncio.gather(*(writes.answer(writes.commission(one, NOW)) for one in requests))
        await writes.aclose()
        return list(found)

    return asyncio.run(everything())


def posted(served: Pipeline, writes: Strategist, home: Path, body: object, **headers: str) -> httpx.Response:
    async def post() -> httpx.Response:
        transport = httpx.ASGITransport(app_of(served, writes, home), client=HERE)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=60) as client:
            found = await client.post("/v1/strategies", json=body, headers=headers)
        await writes.aclose()
        return found

    return asyncio.run(post())


def events_of(text: str) -> list[tuple[str, dict[str, object]]]:
    parts = [part.split("\n") for part in text.strip().split("\n\n") if not part.startswith(":")]
    return [(name.removeprefix("event: "), orjson.loads(data.removeprefix("data: "))) for name, data in parts]


def test_the_answer_says_who_wrote_it_what_the_check_found_and_what_it_cost(
    served: Pipeline, writes: Strategist, regular: str, tmp_path: Path
) -> None:
    body = {"creator_id": regular}
    first = WrittenStrategy.model_validate_json(posted(served, writes, tmp_path, body).content)
    assert (first.writer, first.fallback, first.cached) == ("vertex", None, False)
    assert first.check.is_grounded and first.check.claims > 20
    assert (first.cost.calls, first.cost.input_tokens, first.cost.output_tokens) == (1, 900, 750)
    assert 0.008 < first.cost.usd < 0.0082
    again = WrittenStrategy.model_validate_json(posted(served, writes, tmp_path, body).content)
    assert again.cached and again.cost.usd == 0 and again.summary == first.summary


def test_a_browser_is_told_how_far_the_writing_is(
    served: Pipeline, writes: Strategist, regular: str, tmp_path: Path
) -> None:
    response = posted(served, writes, tmp_path, {"creator_id": regular}, **STREAM)
    assert response.headers["content-type"].startswith("text/event-stream")
    found = events_of(response.text)
    names = [name for name, _ in found]
    assert names[0] == "progress" and names[-3:] == ["draft", "checked", "strategy"]
    assert found[0][1] == {"stage": "asking", "characters": 0}
    written = [body["characters"] for name, body in found if name == "progress" and body["stage"] == "writing"]
    assert written == sorted(written, key=int) and len(written) >= 4
    assert found[-2][1]["faults"] == 0
    assert WrittenStrategy.model_validate(found[-1][1]).writer == "vertex"
    known = posted(served, writes, tmp_path, {"creator_id": regular}, **STREAM)
    assert [name for name, _ in events_of(known.text)] == ["strategy"]


def test_a_stream_falls_back_in_front_of_the_browser(
    served: Pipeline, writes: Strategist, server: VertexServer, regular: str, tmp_path: Path
) -> None:
    server.mode = "safety"
    found = events_of(posted(served, writes, tmp_path, {"creator_id": regular}, **STREAM).text)
    assert {"stage": "falling back", "characters": 0} in [body for _, body in found]
    assert (found[-1][0], found[-1][1]["writer"], found[-1][1]["fallback"]) == ("strategy", "deterministic", "blocked")


def test_an_answer_begins_before_the_model_has_written_it(
    served: Pipeline, writes: Strategist, server: VertexServer, regular: str, tmp_path: Path
) -> None:
    server.mode, server.slow_seconds = "slow", 0.6
    app, seen = app_of(served, writes, tmp_path), []
    body = orjson.dumps({"creator_id": regular})
    named = {"host": "127.0.0.1", "content-type": "application/json", "content-length": str(len(body))}
    headers = [(name.encode(), value.encode()) for name, value in named.items()]
    sent = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> Message:
        return next(sent, None) or await asyncio.Future()

    async def send(message: Message) -> None:
        seen.append((message, time.monotonic()))

    async def run() -> None:
        scope = {"type": "http", "method": "POST", "path": "/v1/strategies", "raw_path": b"/v1/strategies",
                 "query_string": b"", "headers": headers, "client": HERE, "scheme": "http", "http_version": "1.1",
                 "server": ("127.0.0.1", 80), "root_path": "", "asgi": {"version": "3.0"}}  # fmt: skip
        await app(scope, receive, send)
        await writes.aclose()

    asyncio.run(run())
    assert seen[0][0]["status"] == 200, seen
    assert seen[1][1] - seen[0][1] > 0.5


def test_a_hit_takes_less_than_five_milliseconds_and_a_change_is_another_question(
    served: Pipeline, published: PublishedLibrary, regular: str
) -> None:
    current = [published]
    writes = Strategist(Planner(Answers(Alone(lambda: served)), library(), lambda: current[0]))
    request = StrategyRequest(creator_id=regular)
    answered(writes, request)

    def seconds() -> float:
        start = time.process_time()
        known = writes.known(request, NOW)
        assert known is not None and known.cached and known.model_dump_json()
        return time.process_time() - start

    assert min(seconds() for _ in range(20)) < 0.005
    assert writes.known(request.model_copy(update={"creator_id": regular + "x"}), NOW) is None
    assert writes.known(request, NOW + timedelta(days=2)) is None
    current[0] = replace(published, edition="another")
    assert writes.known(request, NOW) is None


def test_a_plan_stands_while_others_post_but_not_over_another_market(
    served: Pipeline, published: PublishedLibrary, regular: str
) -> None:
    now = [served]

    def market(version: str) -> Pipeline:
        return replace(served, snapshot=replace(served.snapshot, version=version))

    writes = Strategist(Planner(Answers(Alone(lambda: now[0])), library(), lambda: published))
    request = StrategyRequest(creator_id=regular)
    answered(writes, request)
    first = writes.known(request, NOW)
    now[0] = market(f"{served.snapshot.published}{PATCHED}7")
    known = writes.known(request, NOW)
    assert first is not None and known == first
    now[0] = market("another")
    assert writes.known(request, NOW) is None


def test_many_at_once_never_cost_more_than_the_day_may(
    server: VertexServer, planner: Planner, served: Pipeline, tmp_path: Path
) -> None:
    names = sorted(served.states.ids())[:12]
    writes = strategist(server.url, planner, tmp_path, budget_usd_per_day=0.3)
    found = answered(writes, *(StrategyRequest(creator_id=name) for name in names))
    assert writes.vertex is not None and writes.vertex.ledger.spent(NOW).usd <= 0.3
    assert {one.fallback for one in found} == {None, "budget"}
    assert all(one.check.is_grounded for one in found)
    frugal = strategist(server.url, planner, tmp_path / "frugal", budget_usd_per_request=0.01)
    [poor] = answered(frugal, StrategyRequest(creator_id=names[0]))
    assert (poor.fallback, poor.cost.calls) == ("budget", 0)


def test_a_fault_that_nobody_foresaw_leaves_nobody_without_a_strategy(
    server: VertexServer, planner: Planner, regular: str, tmp_path: Path
) -> None:
    writes = strategist(server.url, planner, tmp_path)
    (tmp_path / "vertex.sqlite").mkdir()  # where the ledger should be
    [found] = answered(writes, StrategyRequest(creator_id=regular))
    assert (found.fallback, server.asked) == ("budget", 0) and found.check.is_grounded


def test_a_stream_shows_signs_of_life_tells_errors_and_ends_with_its_reader() -> None:
    ended = []

    async def slow(error: Exception | None) -> AsyncGenerator[Progress | WrittenStrategy, None]:
        try:
            yield Progress("asking")
            await asyncio.sleep(0.1)
            if error:
                raise error
            await asyncio.sleep(60)
        finally:
            ended.append(error)

    async def read(error: Exception | None, most: int) -> list[bytes]:
        parts: list[bytes] = []
        stream = told(slow(error), "r1", 0.02)
        async for part in stream:
            parts.append(part)
            if len(parts) >= most:
                break
        await stream.aclose()
        return parts

    gone = asyncio.run(read(None, 3))
    assert gone[1:] == [ALIVE, ALIVE] and ended == [None]
    refused = asyncio.run(read(NotReady("nothing is published"), 99))
    assert events_of(refused[-1].decode())[0][1] == {
        "type": "about:blank", "title": "Not ready", "status": 503, "detail": "nothing is published", "request_id": "r1"
    }  # fmt: skip
    broken = asyncio.run(read(RuntimeError("the secret"), 99))
    assert b"secret" not in b"".join(broken) and b'"status":500' in broken[-1]


def test_the_cache_is_bounded_forgets_and_does_without_its_file(tmp_path: Path) -> None:
    cache = StrategyCache(tmp_path / "s.sqlite", 3, 1.0)
    for place in range(5):
        cache.keep(f"key {place}", str(place), NOW + timedelta(seconds=place))
    assert [cache.get(f"key {place}", NOW) for place in range(5)] == [None, None, "2", "3", "4"]
    assert StrategyCache(tmp_path / "s.sqlite", 3, 1.0).get("key 4", NOW) == "4"
    assert cache.get("key 4", NOW + timedelta(days=2)) is None
    for path in tmp_path.iterdir():
        path.unlink()
    assert cache.get("key 4", NOW) is None
    cache.keep("key", "again", NOW)
    assert cache.get("key", NOW) == "again"
    nowhere = StrategyCache(tmp_path, 3, 1.0)
    nowhere.keep("key", "body", NOW)
    assert nowhere.get("key", NOW) is None
