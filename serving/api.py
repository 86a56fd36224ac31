"""The HTTP face: routes, request ids and problem details around a pipeline; no ranking logic lives here."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import orjson
from fastapi import FastAPI, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from serving.answers import Answers
from serving.errors import ServingError
from serving.schemas import (
    CreatorMetrics,
    Kind,
    Problem,
    Ranking,
    RankRequest,
    RecommendationRequest,
    Slate,
    Trend,
    TrendRef,
    Trends,
)

PROBLEM = "application/problem+json"
REQUEST_ID = "X-Request-Id"
MAX_REQUEST_ID = 128

log = logging.getLogger(__name__)

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": text}
    for status, text in (
        (404, "Not known"),
        (413, "Too many"),
        (422, "Not a valid request"),
        (503, "Not ready"),
    )
}


def create_api(answers: Answers) -> FastAPI:
    """The ASGI application over `answers`."""
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
    _route(api, answers)
    _describe_problems(api)
    return api


def _route(api: FastAPI, answers: Answers) -> None:
    @api.post("/v1/recommendations", response_model=Slate, summary="One creator's slate")
    async def recommendations(body: RecommendationRequest) -> Response:
        return _json(answers.slate(body))

    @api.post("/v1/rank", response_model=Ranking, summary="The caller's own candidates, ranked for one creator")
    async def rank(body: RankRequest) -> Response:
        return _json(answers.ranking(body))

    @api.get("/v1/trends", response_model=Trends, summary="What is rising")
    async def trends(
        kind: Kind | None = None,
        region: Annotated[str | None, Query(pattern=r"^[A-Z]{2}$")] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> Response:
        return _json(answers.trends(kind, region, limit))

    @api.get("/v1/trends/{kind}/{trend_id:path}", response_model=Trend, summary="One trend with its history")
    async def trend(kind: Kind, trend_id: Annotated[str, Path(min_length=1, max_length=256)]) -> Response:
        return _json(answers.trend(TrendRef(kind=kind, id=trend_id).key))

    @api.get("/v1/creators/{creator_id}/metrics", response_model=CreatorMetrics, summary="A creator's own metrics")
    async def metrics(creator_id: Annotated[str, Path(min_length=1, max_length=256)]) -> Response:
        return _json(answers.creator(creator_id))


def _handle_errors(api: FastAPI) -> None:
    @api.middleware("http")
    async def identify(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        given = request.headers.get(REQUEST_ID, "")
        valid = 0 < len(given) <= MAX_REQUEST_ID and given.isascii() and given.isprintable()
        request.state.request_id = given if valid else uuid.uuid4().hex
        try:
            response = await call_next(request)
        except Exception as error:  # whatever it was, the caller gets a request id to quote
            log.error("request %s failed: %s", request.state.request_id, type(error).__name__, exc_info=error)
            response = _problem(request, 500, ServingError.title, "an unexpected error; quote the request id")
        response.headers[REQUEST_ID] = request.state.request_id
        return response

    @api.exception_handler(ServingError)
    async def serving_error(request: Request, error: ServingError) -> Response:
        return _problem(request, error.status, error.title, str(error))

    @api.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        return _problem(request, 422, "Not a valid request", faults)

    @api.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        return _problem(request, error.status_code, str(error.detail), f"{request.method} {request.url.path}")


def _describe_problems(api: FastAPI) -> None:
    """FastAPI describes every body as application/json; errors are of another media type."""
    plain = api.openapi

    def described() -> dict[str, Any]:
        document = plain()
        for operation in (o for methods in document["paths"].values() for o in methods.values()):
            for status, answer in operation["responses"].items():
                if int(status) >= 400 and "application/json" in answer["content"]:
                    answer["content"] = {PROBLEM: answer["content"].pop("application/json")}
        return document

    api.openapi = described  # type: ignore[method-assign]


def _problem(request: Request, status: int, title: str, detail: str) -> Response:
    body = Problem(title=title, status=status, detail=detail, request_id=request.state.request_id)
    return Response(orjson.dumps(body.model_dump()), status, media_type=PROBLEM)


def _json(answer: BaseModel) -> Response:
    return Response(orjson.dumps(answer.model_dump()), media_type="application/json")
