"""Mends BentoML's time limit, which leaves a running timer, with all that it holds, behind every request.

Its middleware calls `loop.call_later(timeout, …)` for each request and never cancels it: the request's frames live on
for the whole limit, memory grows with the load, and looking through it makes the slowest answers a hundred times
slower. `tests/serving/test_bentoml_timeout.py` fails when BentoML cancels its timers itself: then this module can go.
"""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send


def mend() -> None:
    """Put a time limit in the place of BentoML's that ends with the request; a second time changes nothing."""
    from bentoml._internal.server.http.traffic import TimeoutMiddleware

    TimeoutMiddleware.__call__ = limited


async def limited(middleware: Any, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 504 where the application has not begun to answer within `middleware.timeout` seconds.

    Args:
        middleware: BentoML's, with its `app` and its `timeout`.
        scope, receive, send: of the request.
    """
    if scope["type"] not in ("http", "websocket"):
        await middleware.app(scope, receive, send)
        return

    async def sent(message: Message) -> None:
        timer.reschedule(None)  # an answer that has begun may take its time
        await send(message)

    try:
        async with asyncio.timeout(middleware.timeout) as timer:
            await middleware.app(scope, receive, sent)
    except TimeoutError:
        if not timer.expired():
            raise
        told = {"error": f"Not able to process the request in {middleware.timeout} seconds"}
        await JSONResponse(told, status_code=504)(scope, receive, send)
