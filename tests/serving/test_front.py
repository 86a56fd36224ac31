from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import bentoml
import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.front import BENTOMLS, Front, TimeLimit

HTTP: Scope = {"type": "http"}
START: Message = {"type": "http.response.start", "status": 200, "headers": []}
BODY: Message = {"type": "http.response.body", "body": b"ok"}


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    await send(START)
    await send(BODY)


async def late(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.sleep(30)
    await answer(scope, receive, send)


async def slow(scope: Scope, receive: Receive, send: Send) -> None:
    await send(START)
    await asyncio.sleep(0.1)
    await send(BODY)


async def failing(scope: Scope, receive: Receive, send: Send) -> None:
    raise TimeoutError("its own")


def answered(app: ASGIApp, timeout: float) -> tuple[list[Message], list[asyncio.TimerHandle]]:
    """What one request is answered, and the timers that run on afterwards."""
    messages: list[Message] = []
    timers: list[asyncio.TimerHandle] = []

    async def nothing() -> Message:
        raise AssertionError("nobody reads the body")

    async def keep(message: Message) -> None:
        messages.append(message)

    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        plain = loop.call_at

        def noted(*given: Any, **more: Any) -> asyncio.TimerHandle:
            timers.append(plain(*given, **more))
            return timers[-1]

        loop.call_at = noted
        await TimeLimit(app, timeout)(HTTP, nothing, keep)
        timers[:] = [timer for timer in timers if not timer.cancelled() and timer.when() > loop.time()]

    asyncio.run(main())
    return messages, timers


def test_an_answered_request_leaves_no_timer_behind() -> None:
    assert answered(answer, 60) == ([START, BODY], [])


def test_a_request_that_is_not_answered_in_time_gets_504() -> None:
    messages, timers = answered(late, 0.02)
    assert messages[0]["status"] == 504
    assert timers == []


def test_an_answer_that_has_begun_may_take_its_time() -> None:
    assert answered(slow, 0.02) == ([START, BODY], [])


def test_a_timeout_of_the_applications_own_is_not_taken_for_the_limit() -> None:
    with pytest.raises(TimeoutError, match="its own"):
        answered(failing, 60)


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    """A service of BentoML whose application answers with the layers that a request went through before."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        layers = sorted({"request_id", "trace_id"} & scope.keys())
        await PlainTextResponse(f"ours {layers}")(scope, receive, send)

    @bentoml.service(name="fronted", metrics={"enabled": False}, endpoints={"livez": "/livez"})
    class Fronted:
        pass

    Fronted.add_asgi_middleware(Front, application=application)  # type: ignore[attr-defined]
    with TestClient(Fronted.to_asgi(is_main=True)) as client:  # type: ignore[attr-defined]
        yield client


def test_requests_reach_the_application_before_bentomls_layers(client: TestClient) -> None:
    for path in ("/", "/v1/recommendations", "/readyz", "/metrics", "/docs.json", "/static_content/index.html"):
        assert client.post(path).text == "ours []"


def test_what_bentoml_answers_itself_is_left_to_it(client: TestClient) -> None:
    for path in BENTOMLS:
        assert client.get(path).status_code == 200
        assert "ours" not in client.get(path).text
