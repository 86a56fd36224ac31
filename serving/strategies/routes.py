"""The HTTP face of written strategies and of the two libraries."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import orjson
from fastapi import FastAPI, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from serving.access.principals import authorize_creator
from serving.errors import Forbidden, UnknownStrategy
from serving.strategies.answers import Artists, Strategies, WrittenStrategy
from serving.strategies.drafting.author import Progress
from serving.strategies.drafting.stream import EVENT_STREAM, EVENTS, told
from serving.strategies.planner import Planner
from serving.strategies.schemas import Outcome, StrategyRequest
from serving.strategies.strategist import Strategist

CreatorQuery = Annotated[str | None, Query(min_length=1, max_length=256, description="Nearest to this creator first")]
StrategyId = Annotated[str, Path(min_length=1, max_length=64, description="As `strategy_id` of the strategy")]

UNBUFFERED: Final = {"x-accel-buffering": "no"}
"""Asks a proxy in front to pass events on as they come."""


def route_strategies(api: FastAPI, strategist: Callable[[], Strategist]) -> None:
    """Add the routes; `strategist` is asked at each request."""

    def planner() -> Planner:
        return strategist().planner

    @api.post(
        "/v1/strategies",
        response_model=WrittenStrategy,
        summary="A written strategy, every claim cited",
        description=f"With `Accept: {EVENT_STREAM}` as server-sent events while it is written. {EVENTS}",
        responses={200: {"content": {EVENT_STREAM: {"schema": {"type": "string"}}}}},
    )
    async def strategy(body: StrategyRequest, request: Request) -> Response:
        _authorize(request, body.creator_id)
        writes, now = strategist(), datetime.now(UTC)
        known = writes.known(body, now)
        if EVENT_STREAM in request.headers.get("accept", ""):
            work = _given(known) if known else writes.answering(writes.commission(body, now, _caller(request)))
            request_id = getattr(request.state, "request_id", "")
            return StreamingResponse(told(work, request_id), media_type=EVENT_STREAM, headers=UNBUFFERED)
        if known:
            return _answer(known)
        answer = writes.answer(writes.commission(body, now, _caller(request)))
        if writes.vertex is None:
            return _answer(await answer)
        return StreamingResponse(_late(answer), media_type="application/json")

    @api.get(
        "/v1/strategies/{strategy_id}/outcome",
        response_model=Outcome,
        summary="Whether a strategy worked: posts that followed it beside the creator's own others",
    )
    async def outcome(strategy_id: StrategyId, request: Request) -> Response:
        outcomes = strategist().outcomes
        if outcomes is None:
            raise UnknownStrategy("strategies are not kept here")
        found = await outcomes.outcome(strategy_id, datetime.now(UTC), lambda whose: _may_name(request, whose))
        return Response(found.model_dump_json(), media_type="application/json")

    @api.get("/v1/library/strategies", response_model=Strategies, summary="Content strategies with measured lifts")
    async def strategies(request: Request, creator_id: CreatorQuery = None) -> Response:
        _authorize(request, creator_id)
        return _json(planner().strategies(creator_id))

    @api.get("/v1/library/artists", response_model=Artists, summary="Who burst, when, and what they did before")
    async def artists(
        request: Request,
        creator_id: CreatorQuery = None,
        region: Annotated[str | None, Query(pattern=r"^[A-Z]{2}$")] = None,
        tag: Annotated[str | None, Query(min_length=1, max_length=256, description="Hashtag of theirs")] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 20,
    ) -> Response:
        _authorize(request, creator_id)
        return _json(planner().artists(creator_id, region, tag.lstrip("#").lower() if tag else None, limit))


def _answer(strategy: WrittenStrategy) -> Response:
    return Response(strategy.model_dump_json(), media_type="application/json")


async def _given(known: WrittenStrategy) -> AsyncGenerator[Progress | WrittenStrategy, None]:
    yield known


async def _late(answer: Awaitable[WrittenStrategy]) -> AsyncIterator[bytes]:
    """The answer as JSON, begun before it is there: the server's own limit is on the beginning of an answer."""
    yield (await answer).model_dump_json().encode()


def _caller(request: Request) -> str | None:
    principal = getattr(request.state, "principal", None)
    return principal.caller if principal else None


def _may_name(request: Request, creator_id: str) -> bool:
    try:
        _authorize(request, creator_id)
    except Forbidden:
        return False
    return True


def _authorize(request: Request, creator_id: str | None) -> None:
    principal = getattr(request.state, "principal", None)
    if principal is not None and creator_id is not None:
        authorize_creator(principal, creator_id)


def _json(answer: Any) -> Response:
    return Response(orjson.dumps(answer), media_type="application/json")
