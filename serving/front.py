"""The first layer of a worker: requests pass BentoML's own layers by, all but those that BentoML itself answers.

Each of BentoML's layers costs every request (it traces, starts a timer that is never cancelled, sets context, looks for
the route), and what the application needs of that it does itself. BentoML keeps the start, the end and its own probes.
`tests/serving/test_front.py` tells when it no longer is a Starlette application that can be gone before.
"""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BENTOMLS: Final = frozenset({"/livez", "/healthz", "/schema.json"})
"""What BentoML answers itself."""


class Front:
    """BentoML's innermost middleware; when the worker starts it goes before all others.

    Args:
        app: BentoML's router.
        application: answers everything but `BENTOMLS`.
    """

    def __init__(self, app: ASGIApp, application: ASGIApp) -> None:
        self._app, self._application = app, application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "lifespan":
            whole = scope["app"]
            whole.middleware_stack = _before(whole.middleware_stack, self._application)
        await self._app(scope, receive, send)


def _before(bentomls: ASGIApp, application: ASGIApp) -> ASGIApp:
    async def first(scope: Scope, receive: Receive, send: Send) -> None:
        own = scope["type"] != "lifespan" and scope["path"] not in BENTOMLS
        await (application if own else bentomls)(scope, receive, send)

    return first


class TimeLimit:
    """An ASGI application before another one: answers 504 where that one has not begun to in time.

    Args:
        app: answers.
        seconds: it may take until it begins to.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app, self._seconds = app, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return

        async def sent(message: Message) -> None:
            timer.reschedule(None)  # an answer that has begun may take its time
            await send(message)

        try:
            async with asyncio.timeout(self._seconds) as timer:
                await self._app(scope, receive, sent)
        except TimeoutError:
            if not timer.expired():
                raise
            told = {"error": f"Not able to process the request in {self._seconds} seconds"}
            await JSONResponse(told, status_code=504)(scope, receive, send)
