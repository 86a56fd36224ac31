"""What an orchestrator is told: whether requests should come here, and what the service does without at present."""

from __future__ import annotations

from typing import Final, Protocol

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

PATH: Final = "/readyz"


class Ready(Protocol):
    """A process that can say how it is."""

    @property
    def is_ready(self) -> bool:
        """Whether requests should come here."""
        ...

    @property
    def degraded(self) -> list[str]:
        """What it does without."""
        ...


class Readiness:
    """An ASGI application before another one: answers `/readyz`; a degraded process is ready all the same.

    Args:
        app: answers everything else.
        process: is asked.
    """

    def __init__(self, app: ASGIApp, process: Ready) -> None:
        self._app, self._process = app, process

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http" or scope["path"] != PATH:
            await self._app(scope, receive, send)
            return
        is_ready = self._process.is_ready
        body = orjson.dumps({"ready": is_ready, "degraded": self._process.degraded if is_ready else []})
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200 if is_ready else 503, "headers": headers})
        await send({"type": "http.response.body", "body": body})
