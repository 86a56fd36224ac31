"""The gate before every route: request ids, body limit, CORS, security headers, who may and how often."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Final

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from configs import AuthSettings, RateSettings, Settings
from serving.access.auth import PROBES, PUBLIC, Access, Authenticator, authorize
from serving.access.limits import Limiter
from serving.errors import BodyTooLarge, ServingError

log = logging.getLogger(__name__)

Header = tuple[bytes, bytes]

PROBLEM: Final = b"application/problem+json"
MAX_REQUEST_ID: Final = 128
ANSWERED_HEADERS: Final = b"x-request-id, retry-after, ratelimit, ratelimit-policy, www-authenticate"
ASKED_HEADERS: Final = b"authorization, content-type, x-api-key, x-request-id"
METHODS: Final = b"GET, POST, OPTIONS"

STRICT: Final = b"default-src 'none'; frame-ancestors 'none'"
FOR_DOCS: Final = (
    b"default-src 'none'; connect-src 'self'; img-src 'self' data: https://fastapi.tiangolo.com; "
    b"script-src 'unsafe-inline' https://cdn.jsdelivr.net; style-src 'unsafe-inline' https://cdn.jsdelivr.net; "
    b"frame-ancestors 'none'"
)
"""FastAPI's page of the API brings its script and style from there."""

ALWAYS: Final[tuple[Header, ...]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cache-control", b"no-store"),
)


def guarded(app: ASGIApp, settings: Callable[[], Settings]) -> Guard:
    """The gate of these settings before `app`; fit for `Service.add_asgi_middleware`.

    Args:
        app: what answers those who get in.
        settings: gives the settings, when this is called.
    """
    found = settings()
    folder = found.home / "serving"
    limiter = Limiter.of(found.auth, folder)
    limiter.keep_settled()
    return Guard(app, Authenticator.of(found.auth, folder), limiter, found.auth)


class Guard:
    """An ASGI application before another; `scope["state"]` tells that one `principal` and `request_id`.

    In this order: request id, body limit, CORS, authentication, scope and creator, rate limit. Every answer carries the
    request id and the security headers; every error is a problem (RFC 9457).

    Args:
        app: what answers those who get in.
        authenticator: tells who asks.
        limiter: tells whether they may ask once more.
        settings: limits of a body, origins, and whether TLS is on the way.
        access: the routes and their scopes.
    """

    def __init__(
        self,
        app: ASGIApp,
        authenticator: Authenticator,
        limiter: Limiter,
        settings: AuthSettings,
        access: Access | None = None,
    ) -> None:
        self._app = app
        self._authenticator = authenticator
        self._limiter = limiter
        self._access = access or Access()
        self._max_body = settings.max_body_bytes
        self._origins = frozenset(origin.encode() for origin in settings.origins)
        hsts = ((b"strict-transport-security", b"max-age=%d" % settings.hsts_seconds),) if settings.hsts_seconds else ()
        vary = ((b"vary", b"Origin"),) if settings.origins else ()
        self._headers = (*ALWAYS, *hsts, *vary, (b"content-security-policy", STRICT))
        self._policies = {name: _policy(name, rate) for name, rate in settings.limits.rates.items()}
        self._headers_of_docs = (*self._headers[:-1], (b"content-security-policy", FOR_DOCS))

    @property
    def degraded(self) -> bool:
        """Whether credentials or rate limits are known from before only."""
        return self._authenticator.degraded or self._limiter.degraded

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._other(scope, receive, send)
            return
        headers, state = dict(scope["headers"]), scope.setdefault("state", {})
        if "request_id" not in state:  # a layer further out may have given it one
            state["request_id"] = _request_id(headers.get(b"x-request-id"))
        exchange = _Exchange(receive, send, state["request_id"], self._max_body)
        exchange.headers += self._headers_of_docs if scope["path"] == "/docs" else self._headers
        try:
            if await self._admit(scope, headers, exchange):
                sized = b"content-length" in headers and b"transfer-encoding" not in headers
                await self._app(scope, receive if sized else exchange.receive, exchange.send)
        except ServingError as error:
            await exchange.problem(error.status, error.title, str(error), error.headers)
        except Exception as error:  # whatever it was, the caller gets a request id to quote
            log.error("request %s failed: %s", exchange.request_id, type(error).__name__, exc_info=error)
            if exchange.started and not exchange.ended:
                raise  # the server ends the connection: half an answer must not look whole
            exchange.failed = True
        if exchange.failed:
            log.error("request %s was answered with 500", exchange.request_id)
            await exchange.problem(500, ServingError.title, "an unexpected error; quote the request id")

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The lifespan goes through; there are no web sockets."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _admit(self, scope: Scope, headers: Mapping[bytes, bytes], exchange: _Exchange) -> bool:
        """Whether the application is to answer; if not, the guard has."""
        self._check_length(headers.get(b"content-length"), exchange)
        origin = headers.get(b"origin")
        if origin is not None and await self._cors(scope["method"], origin, headers, exchange):
            return False
        path, method = scope["path"], scope["method"]
        if path in PROBES:
            return True
        now = time.time()
        client = scope.get("client")
        address = client[0] if client else None
        match = self._access.route(path)
        needed = match.scopes.get(method) if match is not None else None
        if needed == PUBLIC:
            self._limit(f"addr:{address}", PUBLIC, now, exchange)
            return True
        principal = scope["state"]["principal"] = await self._authenticator.principal(headers, address, now)
        if match is None:
            await exchange.problem(404, "Not found", "there is no such route")
            return False
        if needed is None:
            allowed = ", ".join(sorted(match.scopes))
            await exchange.problem(405, "Method not allowed", f"this route knows {allowed}", {"Allow": allowed})
            return False
        authorize(principal, match, needed)
        self._limit(principal.caller, needed, now, exchange)
        return True

    def _check_length(self, given: bytes | None, exchange: _Exchange) -> None:
        if given is None or (given.isdigit() and len(given) < 20 and int(given) <= self._max_body):
            return
        exchange.headers.append((b"connection", b"close"))  # whatever the body is, nobody reads it
        raise _too_large(self._max_body)

    async def _cors(self, method: str, origin: bytes, headers: Mapping[bytes, bytes], exchange: _Exchange) -> bool:
        """Name the origin to the browser, if it is on the list; whether this was only a question beforehand."""
        asked = method == "OPTIONS" and b"access-control-request-method" in headers
        if origin in self._origins:
            exchange.headers.append((b"access-control-allow-origin", origin))
            exchange.headers.append((b"access-control-expose-headers", ANSWERED_HEADERS))
            if asked:
                exchange.headers.append((b"access-control-allow-methods", METHODS))
                exchange.headers.append((b"access-control-allow-headers", ASKED_HEADERS))
                exchange.headers.append((b"access-control-max-age", b"600"))
                await exchange.answer(204, b"")
        elif asked:
            await exchange.problem(403, "Forbidden", "pages of this origin may not call this service")
        return asked

    def _limit(self, caller: str, scope: str, now: float, exchange: _Exchange) -> None:
        policy = self._policies.get(scope)
        if policy is not None:
            exchange.headers.append(policy)
        left = self._limiter.hit(caller, scope, now)
        if left is not None:
            exchange.headers.append((b"ratelimit", b'"%b";r=%d;t=%d' % (scope.encode(), left.requests, left.seconds)))


class _Exchange:
    """One request and its answer: what the answer's headers say, and how far it has come."""

    __slots__ = ("_max_body", "_read", "_receive", "_send", "ended", "failed", "headers", "request_id", "started")

    def __init__(self, receive: Receive, send: Send, request_id: str, max_body: int) -> None:
        self._receive, self._send = receive, send
        self._max_body, self._read = max_body, 0
        self.request_id = request_id
        self.headers: list[Header] = [(b"x-request-id", request_id.encode())]
        self.started = self.ended = self.failed = False

    async def send(self, message: Message) -> None:
        """Pass on the application's answer with our headers; hold back a 500 that is no problem, and what is late."""
        if self.ended or self.failed:
            return
        if message["type"] == "http.response.start":
            given: list[Header] = list(message.get("headers", ()))
            names = {name.lower() for name, _ in given}
            if message["status"] == 500 and (b"content-type", PROBLEM) not in given:
                self.failed = True
                return
            given += [header for header in self.headers if header[0] not in names]
            message["headers"] = given
            self.started = True
        elif message["type"] == "http.response.body":
            self.ended = not message.get("more_body", False)
        await self._send(message)

    async def receive(self) -> Message:
        """Pass on a body of unknown length as long as it is short enough; of a longer one, the caller is told."""
        message = await self._receive()
        if message["type"] == "http.request":
            self._read += len(message.get("body", b""))
            if self._read > self._max_body:
                self.headers.append((b"connection", b"close"))
                error = _too_large(self._max_body)
                await self.problem(error.status, error.title, str(error))
                return {"type": "http.disconnect"}
        return message

    async def problem(self, status: int, title: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        """Answer with a problem, unless an answer is on its way."""
        told = {"type": "about:blank", "title": title, "status": status, "detail": detail}
        for name, value in (headers or {}).items():
            self.headers.append((name.lower().encode(), value.encode()))
        self.headers.append((b"content-type", PROBLEM))
        await self.answer(status, orjson.dumps(told | {"request_id": self.request_id}))

    async def answer(self, status: int, body: bytes) -> None:
        """Answer for the application, unless an answer is on its way."""
        if self.started or self.ended:
            return
        self.started = self.ended = True
        headers = [*self.headers, (b"content-length", b"%d" % len(body))] if status != 204 else self.headers
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})


def _request_id(given: bytes | None) -> str:
    """The caller's own id where it is short printable ASCII, else a new one."""
    if given is not None and 0 < len(given) <= MAX_REQUEST_ID and given.isascii():
        told = given.decode()
        if told.isprintable():
            return told
    return secrets.token_hex(16)


def _policy(scope: str, rate: RateSettings) -> Header:
    return b"ratelimit-policy", b'"%b";q=%d;w=%d' % (scope.encode(), rate.requests, rate.seconds)


def _too_large(most: int) -> BodyTooLarge:
    return BodyTooLarge(f"a body may have at most {most} bytes, and has to say its length truly")
