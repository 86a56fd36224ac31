"""The routes that every screen calls, as plain ASGI: body in, bytes out, nothing in between; others pass through."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.access.principals import Principal, authorize_creator
from serving.answers import Answers, Encoded
from serving.errors import ServingError, WrongKind
from serving.intake import EventsRequest, Intake
from serving.schemas import Problem, RankRequest, RecommendationRequest
from serving.watching.operations import SEEN, Seen

Body = TypeVar("Body", bound=BaseModel)
Handler = Callable[[bytes, Scope], Awaitable[bytes]]

JSON: Final = b"application/json"
PROBLEM: Final = b"application/problem+json"
CREATORS: Final = "creators"
"""What a degraded answer has done without."""
MOST_FAULTS: Final = 10
WORTH_TELLING: Final = 1_000
"""Of more faults, only their number is told: listing them takes longer than everything else."""
LONGEST_PLACE: Final = 200
"""Characters that tell where a fault is: an unknown field's name is the caller's."""


class HotRoutes:
    """An ASGI application before another one: answers the hot routes, and hands everything else on.

    Args:
        app: answers everything else.
        answers: of the slates.
        intake: gives the way in for events.
    """

    def __init__(self, app: ASGIApp, answers: Answers[Any], intake: Callable[[], Intake]) -> None:
        self._app, self._answers, self._intake = app, answers, intake
        self._handlers: Mapping[str, Handler] = {
            "/v1/recommendations": self._recommend,
            "/v1/rank": self._rank,
            "/v1/events": self._events,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        handler = self._handlers.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if handler is None:
            await self._app(scope, receive, send)
            return
        if (seen := _seen(scope)) is not None:
            seen.route = scope["path"]
        headers: Mapping[str, str] = {}
        try:
            _refuse_other_kinds(scope)
            status, kind, answer = 200, JSON, await handler(await _read(receive), scope)
        except ServingError as error:
            headers = error.headers
            status, kind, answer = error.status, PROBLEM, problem(scope, error.status, error.title, str(error))
        except ValidationError as error:
            status, kind, answer = 422, PROBLEM, problem(scope, 422, "Not a valid request", _faults_of(error))
        if seen is not None:
            seen.watch.stage("serialise")
        more = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        length = (b"content-length", str(len(answer)).encode())
        await send(
            {"type": "http.response.start", "status": status, "headers": [(b"content-type", kind), length, *more]}
        )
        await send({"type": "http.response.body", "body": answer})

    async def _recommend(self, body: bytes, scope: Scope) -> bytes:
        request = _parsed(RecommendationRequest, body)
        _authorize(scope, request.creator_id)
        seen = _seen(scope)
        if seen is None:
            return self._answers.encoded_slate(request).body
        return _noted(seen, request.creator_id, self._answers.encoded_slate(request, seen.watch.stage))

    async def _rank(self, body: bytes, scope: Scope) -> bytes:
        request = _parsed(RankRequest, body)
        _authorize(scope, request.creator_id)
        answer = self._answers.encoded_ranking(request)
        return answer.body if (seen := _seen(scope)) is None else _noted(seen, request.creator_id, answer)

    async def _events(self, body: bytes, scope: Scope) -> bytes:
        request = _parsed(EventsRequest, body)
        bound = _bound_to(scope)
        accepted = await self._intake().accept(
            request, datetime.now(UTC), lambda creator_id: bound is None or creator_id == bound
        )
        return orjson.dumps(accepted.model_dump())


def _noted(seen: Seen, creator_id: str, answer: Encoded) -> bytes:
    seen.creator_id, seen.model, seen.degraded = creator_id, answer.model, CREATORS if answer.degraded else ""
    return answer.body


def _refuse_other_kinds(scope: Scope) -> None:
    """A browser's form must not pass for a request of ours."""
    kind = next((value for name, value in scope["headers"] if name == b"content-type"), JSON)
    if kind.partition(b";")[0].strip().lower() != JSON:
        raise WrongKind("the body's content-type must be application/json")


def problem(scope: Scope, status: int, title: str, detail: str) -> bytes:
    """The body of an error (RFC 9457)."""
    request_id = scope.get("state", {}).get("request_id", "")
    return orjson.dumps(Problem(title=title, status=status, detail=detail, request_id=request_id).model_dump())


def faults(errors: Iterable[Any]) -> str:
    """Where a request does not fit and why, without repeating what it said: the first faults, and not all of a name."""
    told = islice(errors, MOST_FAULTS)
    return "; ".join(f"{'.'.join(map(str, fault['loc']))[:LONGEST_PLACE]}: {fault['msg']}" for fault in told)


def _faults_of(error: ValidationError) -> str:
    if (count := error.error_count()) > WORTH_TELLING:
        return f"body: {count} faults"
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return faults({**fault, "loc": ("body", *fault["loc"])} for fault in found)


def _parsed(model: type[Body], body: bytes) -> Body:
    return model.model_validate_json(body)


async def _read(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b""
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def _seen(scope: Scope) -> Seen | None:
    return scope.get(SEEN)


def _principal(scope: Scope) -> Principal | None:
    return scope.get("state", {}).get("principal")  # type: ignore[no-any-return]


def _bound_to(scope: Scope) -> str | None:
    principal = _principal(scope)
    return principal.creator_id if principal else None


def _authorize(scope: Scope, creator_id: str) -> None:
    if principal := _principal(scope):
        authorize_creator(principal, creator_id)
