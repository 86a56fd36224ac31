"""The HTTP face of written strategies and of the two libraries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import orjson
from fastapi import FastAPI, Query, Request, Response

from serving.principals import authorize_creator
from serving.strategies.answers import Artists, Strategies
from serving.strategies.planner import Planner
from serving.strategies.schemas import Strategy, StrategyRequest

CreatorQuery = Annotated[str | None, Query(min_length=1, max_length=256, description="Nearest to this creator first")]


def route_strategies(api: FastAPI, planner: Callable[[], Planner]) -> None:
    """Add the routes; `planner` is asked at each request."""

    @api.post("/v1/strategies", response_model=Strategy, summary="A written strategy, every claim cited")
    async def strategy(body: StrategyRequest, request: Request) -> Response:
        _authorize(request, body.creator_id)
        return Response(planner().strategy(body).model_dump_json(), media_type="application/json")

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


def _authorize(request: Request, creator_id: str | None) -> None:
    principal = getattr(request.state, "principal", None)
    if principal is not None and creator_id is not None:
        authorize_creator(principal, creator_id)


def _json(answer: Any) -> Response:
    return Response(orjson.dumps(answer), media_type="application/json")
