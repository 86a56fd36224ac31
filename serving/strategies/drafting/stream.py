"""How the writing of a strategy is told to a browser: server-sent events, with a sign of life while nothing happens."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

import orjson

from serving.errors import ServingError
from serving.schemas import Problem
from serving.strategies.answers import WrittenStrategy
from serving.strategies.drafting.author import Progress

log = logging.getLogger(__name__)
EVENT_STREAM: Final = "text/event-stream"
ALIVE_SECONDS: Final = 10.0
ALIVE: Final = b": alive\n\n"
"""A comment: proxies close connections that say nothing for long."""

EVENTS: Final = (
    "Events: `progress` {stage, characters}; `draft` {characters} when a draft is whole; `checked` {claims, faults}, "
    "how many, before anything of it is shown; last `strategy`, the answer as in JSON, or `error`, a problem."
)


async def told(
    events: AsyncGenerator[Progress | WrittenStrategy, None], request_id: str, alive_seconds: float = ALIVE_SECONDS
) -> AsyncGenerator[bytes, None]:
    """Server-sent events of a strategy in the making; closing this closes `events`."""
    characters = 0
    try:
        async with aclosing(_alive(events, alive_seconds)) as upcoming:
            async for event in upcoming:
                if event is None:
                    yield ALIVE
                elif isinstance(event, WrittenStrategy):
                    yield _event("strategy", event.model_dump_json().encode())
                else:
                    characters = event.characters or characters
                    yield _progress(event, characters)
    except ServingError as error:
        yield _problem(error, str(error), request_id)
    except Exception as error:  # the status has been sent: it must be told here, and nothing of it but the request id
        log.error("request %s failed: %s", request_id, type(error).__name__, exc_info=error)
        yield _problem(ServingError(), "an unexpected error; quote the request id", request_id)
    finally:
        await events.aclose()


async def _alive(
    events: AsyncGenerator[Progress | WrittenStrategy, None], seconds: float
) -> AsyncGenerator[Progress | WrittenStrategy | None, None]:
    """The events, and None whenever there was none for so long."""
    while True:
        upcoming = asyncio.ensure_future(anext(events))
        try:
            while not (await asyncio.wait({upcoming}, timeout=seconds))[0]:
                yield None
            yield upcoming.result()
        except StopAsyncIteration:
            return
        finally:
            upcoming.cancel()
            await asyncio.wait({upcoming})


def _progress(event: Progress, characters: int) -> bytes:
    if event.stage == "checked" and event.check:
        return _json("checked", {"claims": event.check.claims, "faults": len(event.check.faults)})
    if event.stage == "checking":
        return _json("draft", {"characters": characters})
    return _json("progress", {"stage": event.stage, "characters": characters})


def _problem(error: ServingError, detail: str, request_id: str) -> bytes:
    problem = Problem(title=error.title, status=error.status, detail=detail, request_id=request_id)
    return _json("error", problem.model_dump())


def _json(name: str, body: Any) -> bytes:
    return _event(name, orjson.dumps(body))


def _event(name: str, body: bytes) -> bytes:
    """One event; JSON holds no line break, so that one data line is enough."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), body)
