from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from serving.bentoml_timeout import limited, mend

HTTP: Scope = {"type": "http"}
START: Message = {"type": "http.response.start", "status": 200, "headers": []}
BODY: Message = {"type": "http.response.body", "body": b"ok"}

Call = Callable[[Any, Scope, Receive, Send], Awaitable[None]]


def bentomls_own() -> Any:
    """A fresh copy of BentoML's middleware, whatever has been done to the one in use."""
    spec = importlib.util.find_spec("bentoml._internal.server.http.traffic")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.TimeoutMiddleware


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


def answered(call: Call, app: Any, timeout: float) -> tuple[list[Message], list[asyncio.TimerHandle]]:
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
        loop.call_at = lambda *given, **more: timers.append(plain(*given, **more)) or timers[-1]
        await call(SimpleNamespace(app=app, timeout=timeout), HTTP, nothing, keep)
        timers[:] = [timer for timer in timers if not timer.cancelled() and timer.when() > loop.time()]

    asyncio.run(main())
    return messages, timers


def test_bentoml_leaves_a_timer_behind_so_the_module_is_still_needed() -> None:
    middleware = bentomls_own()

    async def call(given: Any, scope: Scope, receive: Receive, send: Send) -> None:
        await middleware(given.app, given.timeout)(scope, receive, send)

    messages, timers = answered(call, answer, 60)
    assert messages == [START, BODY]
    assert timers, "BentoML cancels its timers now: serving/bentoml_timeout.py can go"


def test_an_answered_request_leaves_no_timer_behind() -> None:
    assert answered(limited, answer, 60) == ([START, BODY], [])


def test_a_request_that_is_not_answered_in_time_gets_504() -> None:
    messages, timers = answered(limited, late, 0.02)
    assert messages[0]["status"] == 504
    assert timers == []


def test_an_answer_that_has_begun_may_take_its_time() -> None:
    assert answered(limited, slow, 0.02) == ([START, BODY], [])


def test_a_timeout_of_the_applications_own_is_not_taken_for_the_limit() -> None:
    with pytest.raises(TimeoutError, match="its own"):
        answered(limited, failing, 60)


def test_mending_twice_is_mending_once() -> None:
    from bentoml._internal.server.http.traffic import TimeoutMiddleware

    mend()
    mend()
    assert TimeoutMiddleware.__call__ is limited
