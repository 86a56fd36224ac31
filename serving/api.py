"""The HTTP face: routes and problem details around the answers; no ranking logic lives here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

import orjson
from fastapi import FastAPI, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from serving.access.auth import PUBLIC, ROUTES
from serving.answers import Answers
from serving.errors import ServingError
from serving.hot import HotRoutes, faults, problem
from serving.intake import EventsAccepted, EventsRequest, Intake
from serving.schemas import (
    NOT_BLANK,
    CreatorMetrics,
    Kind,
    Problem,
    Ranking,
    RankRequest,
    RecommendationRequest,
    ServingReport,
    Slate,
    Trend,
    TrendRef,
    Trends,
)
from serving.strategies.library import library
from serving.strategies.planner import Planner
from serving.strategies.published import PublishedLibrary
from serving.strategies.routes import route_strategies
from serving.strategies.strategist import Strategist

PROBLEM = "application/problem+json"
METRICS = "text/plain; version=0.0.4; charset=utf-8"

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": text}
    for status, text in (
        (400, "Not to be read at all"),
        (401, "No credential that holds"),
        (403, "The credential does not reach so far"),
        (404, "Not known"),
        (413, "Too many, or too long"),
        (422, "Not a valid request"),
        (429, "Over the rate limit"),
        (503, "Not ready"),
    )
}

_CREDENTIALS: dict[str, Any] = {
    "key": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, or a JWT of the service's issuer"},
}
"""Needed by callers from elsewhere always, and by those on the same machine where `auth.required` is on."""


def create_api(
    answers: Answers[Any],
    intake: Callable[[], Intake],
    exposition: Callable[[], bytes],
    report: Callable[[], dict[str, Any]],
    strategist: Callable[[], Strategist] | None = None,
) -> ASGIApp:
    """The ASGI application.

    Args:
        answers: of every reading route.
        intake: gives the way in for events.
        exposition: gives the metrics in Prometheus' text form.
        report: says which models serve in this process, and what was refused.
        strategist: gives the writer of strategies; one for which nothing has been measured where absent.
    """
    api = FastAPI(
        title="Harmonic Bytes",
        version="1",
        description="Trend recommendations for artists and creators on TikTok.",
        openapi_url="/docs.json",
        docs_url="/docs",
        redoc_url=None,
        responses=_PROBLEMS,
    )
    _handle_errors(api)
    _describe_hot_routes(api)
    _route(api, answers)
    _route_operations(api, exposition, report)
    unmeasured = Strategist(Planner(answers, library(), PublishedLibrary))
    route_strategies(api, strategist or (lambda: unmeasured))
    _complete_document(api)
    return HotRoutes(api, answers, intake)


def _describe_hot_routes(api: FastAPI) -> None:
    """What `HotRoutes` answers before a request gets here: these routes stand in the document, and are never called."""

    @api.post("/v1/recommendations", response_model=Slate, summary="One creator's slate")
    async def recommendations(body: RecommendationRequest) -> None: ...

    @api.post("/v1/rank", response_model=Ranking, summary="The caller's own candidates, ranked for one creator")
    async def rank(body: RankRequest) -> None: ...

    @api.post("/v1/events", response_model=EventsAccepted, summary="Posts, counts and feedback, as they happen")
    async def events(body: EventsRequest) -> None: ...


def _route(api: FastAPI, answers: Answers[Any]) -> None:
    @api.get("/v1/trends", response_model=Trends, summary="What is rising")
    async def trends(
        kind: Kind | None = None,
        region: Annotated[str | None, Query(pattern=r"^[A-Z]{2}$")] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> Response:
        return _json(answers.trends(kind, region, limit))

    @api.get("/v1/trends/{kind}/{trend_id:path}", response_model=Trend, summary="One trend with its history")
    async def trend(
        kind: Kind, trend_id: Annotated[str, Path(min_length=1, max_length=256, pattern=NOT_BLANK)]
    ) -> Response:
        return _json(answers.trend(TrendRef(kind=kind, id=trend_id).key))

    @api.get("/v1/creators/{creator_id}/metrics", response_model=CreatorMetrics, summary="A creator's own metrics")
    async def metrics(creator_id: Annotated[str, Path(min_length=1, max_length=256)]) -> Response:
        return _json(answers.creator(creator_id))


def _route_operations(api: FastAPI, exposition: Callable[[], bytes], report: Callable[[], dict[str, Any]]) -> None:
    @api.get(
        "/v1/admin/models", response_model=ServingReport, summary="What serves in this worker, and what was refused"
    )
    async def models() -> Response:
        return _json(report())

    @api.get("/metrics", response_class=Response, summary="Figures for Prometheus")
    async def figures() -> Response:
        return Response(await asyncio.to_thread(exposition), media_type=METRICS)


def _handle_errors(api: FastAPI) -> None:
    @api.exception_handler(ServingError)
    async def serving_error(request: Request, error: ServingError) -> Response:
        return _problem(request, error.status, error.title, str(error), error.headers)

    @api.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return _problem(request, 422, "Not a valid request", faults(error.errors()))

    @api.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        return _problem(request, error.status_code, str(error.detail), f"{request.method} {request.url.path}", headers)


def _complete_document(api: FastAPI) -> None:
    """Say what FastAPI cannot know: who may call a route, and that errors are of a media type of their own."""
    plain = api.openapi
    scopes = {(method.lower(), path.replace(":path", "")): scope for method, path, scope in ROUTES if scope != PUBLIC}

    def described() -> dict[str, Any]:
        document = plain()
        document["components"]["securitySchemes"] = _CREDENTIALS
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                _describe_problems(operation)
                if scope := scopes.get((method, path)):
                    operation["security"] = [{"key": [scope]}, {"bearer": [scope]}]
        return document

    api.openapi = described  # type: ignore[method-assign]


def _describe_problems(operation: dict[str, Any]) -> None:
    """FastAPI describes every body as application/json."""
    for status, answer in operation["responses"].items():
        if int(status) >= 400 and "application/json" in answer["content"]:
            answer["content"] = {PROBLEM: answer["content"].pop("application/json")}


def _problem(request: Request, status: int, title: str, detail: str, headers: dict[str, str] | None = None) -> Response:
    return Response(problem(request.scope, status, title, detail), status, headers, PROBLEM)


def _json(answer: Any) -> Response:
    return Response(orjson.dumps(answer), media_type="application/json")
