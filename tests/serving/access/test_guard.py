from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Request
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pydantic import BaseModel
from starlette.types import ASGIApp

import configs
from configs import RateSettings
from serving.access.auth import ROUTES
from serving.access.guard import Guard, guarded
from serving.access.key_stores import SqliteKeys
from serving.access.keys import create, revoke
from serving.access.principals import authorize_creator
from tests.issuers import AUDIENCE, running_issuer
from tests.servers import free_port

PROBLEM = "application/problem+json"
PAGE = "https://app.example.com"
RECOMMENDATIONS = "/v1/recommendations"
BODY_BYTES = 10_000


class Body(BaseModel):
    creator_id: str = "alice"


def inner_app() -> FastAPI:
    """Every route of the table; each tells who asked for what."""
    app = FastAPI(openapi_url="/docs.json", docs_url="/docs", redoc_url=None)

    async def post(request: Request, body: Body) -> dict[str, Any]:
        principal = request.state.principal
        authorize_creator(principal, body.creator_id)
        if body.creator_id == "bang":
            raise RuntimeError("it went wrong")
        return {"caller": principal.caller, "creator": body.creator_id, "request_id": request.state.request_id}

    async def get(request: Request) -> dict[str, Any]:
        return {"caller": request.state.principal.caller, "path": request.url.path}

    async def probe() -> dict[str, bool]:
        return {"ok": True}

    for method, path, scope in ROUTES:
        if scope != "public":
            app.add_api_route(path, post if method == "POST" else get, methods=[method])
    app.add_api_route("/livez", probe)
    app.add_api_route("/readyz", probe)
    app.add_api_route("/v1/forgotten", probe)
    return app


class World:
    """Settings with credentials required, a store of keys, and the guard over the inner application."""

    def __init__(self, settings: configs.Settings, **auth: Any) -> None:
        given = {"required": True, "origins": (PAGE,), "max_body_bytes": BODY_BYTES, **auth}
        self.settings = settings.model_copy(update={"auth": settings.auth.model_copy(update=given)})
        self.store = SqliteKeys(settings.home / "serving" / "keys.sqlite")
        self.guard = guarded(inner_app(), lambda: self.settings)

    def key(self, *scopes: str, creator: str | None = None, days: int = 1) -> dict[str, str]:
        new = create(self.store, "test", scopes, creator, days, datetime.now(UTC))
        return {"authorization": f"Bearer {new.token.get_secret_value()}"}

    def ask(self, method: str, path: str, headers: Any = None, **more: Any) -> httpx.Response:
        return ask(self.guard, method, path, headers, **more)


def ask(app: ASGIApp, method: str, path: str, headers: Any = None, **more: Any) -> httpx.Response:
    async def once() -> httpx.Response:
        transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:3000") as client:
            return await client.request(method, path, headers=headers, **more)

    return asyncio.run(once())


@pytest.fixture
def world(settings: configs.Settings) -> World:
    return World(settings)


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    """The body of an error, after what holds for every error has been checked."""
    assert response.status_code == status, response.text
    assert response.headers.get_list("content-type") == [PROBLEM]
    body = dict(response.json())
    assert set(body) == {"type", "title", "status", "detail", "request_id"} and body["status"] == status
    assert response.headers.get_list("x-request-id") == [body["request_id"]]
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "Traceback" not in response.text
    return body


# Who may


def sample(path: str, creator: str) -> str:
    return path.replace("{creator_id}", creator).replace("{kind}", "sound").replace("{trend_id:path}", "7/8")


@pytest.mark.parametrize(("method", "path", "scope"), ROUTES)
def test_a_route_wants_its_scope_and_no_other(world: World, method: str, path: str, scope: str) -> None:
    more: dict[str, Any] = {"json": {"creator_id": "alice"}} if method == "POST" else {}
    path = sample(path, "alice")
    if scope == "public":
        assert world.ask(method, path).status_code == 200 or path.endswith("redirect")
        return
    assert problem(world.ask(method, path, **more), 401)
    others = {"recommend", "events", "strategies", "metrics"} - {scope}
    assert scope in problem(world.ask(method, path, world.key(*others), **more), 403)["detail"]
    assert world.ask(method, path, world.key(scope), **more).status_code == 200
    assert world.ask(method, path, world.key("admin"), **more).status_code == 200


@pytest.mark.parametrize(("method", "path", "scope"), [r for r in ROUTES if r[0] == "POST" or "creator_id" in r[1]])
def test_a_creators_key_does_not_reach_another_creator(world: World, method: str, path: str, scope: str) -> None:
    alice = world.key("admin", creator="alice")
    for creator, allowed in (("alice", True), ("bob", False), ("Alice", False), ("alice%20", False), ("a", False)):
        more: dict[str, Any] = {"json": {"creator_id": creator}} if method == "POST" else {}
        response = world.ask(method, sample(path, creator), alice, **more)
        if allowed:
            assert response.status_code == 200
        else:
            assert creator not in problem(response, 403)["detail"].split()


@pytest.mark.parametrize("path", ["/v1/forgotten", "/", "/v1/rank/", "/openapi.json", "/v1/%2e%2e/rank", "//v1/rank"])
def test_what_is_not_in_the_table_does_not_exist(world: World, path: str) -> None:
    problem(world.ask("GET", path), 401)
    problem(world.ask("GET", path, world.key("admin")), 404)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "BREW"])
def test_another_method_is_refused_and_the_right_one_told(world: World, method: str) -> None:
    response = world.ask(method, RECOMMENDATIONS, world.key("admin"))
    assert response.status_code == 405 and response.headers["allow"] == "POST"


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_an_orchestrator_needs_no_key(world: World, path: str) -> None:
    assert world.ask("GET", path).status_code == 200


def test_a_key_may_come_in_either_header_but_not_in_both(world: World) -> None:
    bearer = world.key("recommend")
    token = bearer["authorization"].removeprefix("Bearer ")
    for headers in ({"x-api-key": token}, {"authorization": f"bearer {token}"}, {"authorization": f"BEARER  {token} "}):
        assert world.ask("GET", "/v1/trends", headers).status_code == 200
    problem(world.ask("GET", "/v1/trends", {**bearer, "x-api-key": token}), 401)
    for scheme in ("Basic", "Token", "Bearer\t"):
        response = world.ask("GET", "/v1/trends", {"authorization": f"{scheme} {token}"})
        assert problem(response, 401) and response.headers["www-authenticate"].startswith("Bearer")


def test_a_revoked_key_ends(settings: configs.Settings) -> None:
    world = World(settings, cache_seconds=0.05)
    headers = world.key("recommend")
    assert world.ask("GET", "/v1/trends", headers).status_code == 200
    revoke(world.store, headers["authorization"].split("_")[1], datetime.now(UTC))
    time.sleep(0.06)
    problem(world.ask("GET", "/v1/trends", headers), 401)


def test_a_token_of_the_issuer_is_as_good_as_a_key(settings: configs.Settings) -> None:
    with running_issuer() as issuer:
        tokens = settings.auth.tokens.model_copy(update={"issuer": issuer.url, "audience": AUDIENCE})
        world = World(settings, tokens=tokens)
        mine = {"authorization": f"Bearer {issuer.token()}"}
        assert world.ask("POST", RECOMMENDATIONS, mine, json={"creator_id": "alice"}).status_code == 200
        problem(world.ask("POST", RECOMMENDATIONS, mine, json={"creator_id": "bob"}), 403)
        problem(world.ask("POST", "/v1/events", mine, json={}), 403)
        issuer.mode = "down"
        assert world.ask("GET", "/v1/trends", mine).status_code == 200
    down = World(settings, tokens=tokens)
    response = down.ask("GET", "/v1/trends", mine)
    assert problem(response, 503) and int(response.headers["retry-after"]) >= 1


def test_a_key_store_that_is_lost_is_503(settings: configs.Settings) -> None:
    world = World(settings)
    headers = world.key("recommend")
    (settings.home / "serving" / "keys.sqlite").write_bytes(b"no database" * 500)
    response = world.ask("GET", "/v1/trends", headers)
    assert problem(response, 503) and response.headers["retry-after"] == "1"
    assert world.guard.degraded


def test_without_credentials_only_this_machine_is_answered(settings: configs.Settings) -> None:
    world = World(settings, required=False)
    assert world.ask("GET", "/v1/trends").status_code == 200
    assert world.ask("GET", "/metrics").status_code == 200
    assert world.ask("GET", "/v1/trends", {"origin": PAGE}).status_code == 200
    problem(world.ask("GET", "/v1/trends", {"x-forwarded-for": "127.0.0.1"}), 403)
    problem(world.ask("GET", "/v1/trends", {"host": "rebound.example"}), 403)
    problem(world.ask("GET", "/v1/trends", {"origin": "https://evil.example"}), 403)


# How often


def test_too_many_requests_are_told_when_to_come_back(settings: configs.Settings) -> None:
    limits = settings.auth.limits.model_copy(update={"rates": {"recommend": RateSettings(requests=3, seconds=600)}})
    world = World(settings, limits=limits)
    one, two = world.key("recommend"), world.key("recommend")
    answers = [world.ask("GET", "/v1/trends", one) for _ in range(5)]
    assert [a.status_code for a in answers] == [200, 200, 200, 429, 429]
    assert [a.headers["ratelimit"].split(";t=")[0] for a in answers[:3]] == [f'"recommend";r={n}' for n in (2, 1, 0)]
    assert {a.headers["ratelimit-policy"] for a in answers} == {'"recommend";q=3;w=600'}
    assert problem(answers[3], 429) and 1 <= int(answers[3].headers["retry-after"]) <= 1200
    assert world.ask("GET", "/v1/trends", two).status_code == 200
    assert world.ask("GET", "/livez").status_code == 200


# How much


async def stream(chunks: int, size: int = 1000) -> AsyncIterator[bytes]:
    for _ in range(chunks):
        yield b"x" * size


def test_a_long_body_is_refused_before_it_is_read(world: World) -> None:
    headers = world.key("recommend")
    response = world.ask("POST", RECOMMENDATIONS, headers, content=b"x" * (BODY_BYTES + 1))
    assert problem(response, 413) and response.headers["connection"] == "close"
    problem(world.ask("POST", RECOMMENDATIONS, content=b"x" * (BODY_BYTES + 1)), 413)


def test_a_long_body_of_unknown_length_is_refused_while_it_comes(world: World) -> None:
    headers = {**world.key("recommend"), "content-type": "application/json"}
    problem(world.ask("POST", RECOMMENDATIONS, headers, content=stream(11)), 413)
    assert world.ask("POST", RECOMMENDATIONS, headers, content=stream(5)).status_code == 422


@pytest.mark.parametrize("length", ["-1", "1e3", "0x10", "9" * 30, "5, 5", "", " ", "٣"])
def test_a_length_that_is_none_is_refused(world: World, length: str) -> None:
    headers = [(b"content-length", length.encode()), *((k.encode(), v.encode()) for k, v in world.key("admin").items())]
    problem(world.ask("POST", RECOMMENDATIONS, headers), 413)


# What the answers' headers say


def test_every_answer_has_the_headers_that_protect_it(world: World) -> None:
    for response in (
        world.ask("GET", "/v1/trends", world.key("recommend")),
        world.ask("GET", "/v1/trends"),
        world.ask("GET", "/livez"),
    ):
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["referrer-policy"] == "no-referrer"
        assert response.headers["x-frame-options"] == "DENY"
        assert response.headers["content-security-policy"].startswith("default-src 'none'")
        assert "strict-transport-security" not in response.headers


def test_behind_tls_browsers_are_told_to_stay_there(settings: configs.Settings) -> None:
    response = World(settings, hsts_seconds=600).ask("GET", "/livez")
    assert response.headers["strict-transport-security"] == "max-age=600"


def test_the_page_of_the_api_may_load_what_it_needs(world: World) -> None:
    response = world.ask("GET", "/docs")
    policy = response.headers["content-security-policy"]
    for address in ("https://cdn.jsdelivr.net", "https://fastapi.tiangolo.com"):
        assert address in response.text and address in policy
    assert "<script" in response.text and "'unsafe-inline'" in policy
    assert world.ask("GET", "/docs.json").json()["openapi"]


@pytest.mark.parametrize("given_id", ["abc-123", "a" * 128, "with space"])
def test_a_callers_request_id_comes_back(world: World, given_id: str) -> None:
    headers = {**world.key("recommend"), "x-request-id": given_id}
    response = world.ask("POST", RECOMMENDATIONS, headers, json={})
    assert response.headers.get_list("x-request-id") == [given_id] == [response.json()["request_id"]]


@pytest.mark.parametrize("given_id", [b"a" * 129, b"", "ünï".encode(), b"a\x7f", b"\xff"])
def test_another_request_id_is_replaced(world: World, given_id: bytes) -> None:
    response = world.ask("GET", "/v1/trends", [(b"x-request-id", given_id)])
    assert len(problem(response, 401)["request_id"]) == 32


def test_an_id_that_a_layer_further_out_gave_is_kept(world: World) -> None:
    async def outer(scope: Any, receive: Any, send: Any) -> None:
        scope["state"] = {"request_id": "outer-1"}
        await world.guard(scope, receive, send)

    assert problem(ask(outer, "GET", "/v1/trends", {"x-request-id": "callers"}), 401)["request_id"] == "outer-1"


# Pages of elsewhere


def test_a_page_of_the_list_may_ask(world: World) -> None:
    asked = {"origin": PAGE, "access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    before = world.ask("OPTIONS", RECOMMENDATIONS, asked)
    assert before.status_code == 204 and before.content == b""
    assert (
        before.headers["access-control-allow-origin"] == PAGE
        and "POST" in before.headers["access-control-allow-methods"]
    )
    assert "authorization" in before.headers["access-control-allow-headers"]
    for headers in ({}, world.key("recommend")):
        response = world.ask("GET", "/v1/trends", {**headers, "origin": PAGE})
        assert response.headers["access-control-allow-origin"] == PAGE and response.headers["vary"] == "Origin"
        assert "access-control-allow-credentials" not in response.headers


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", f"{PAGE}.evil.example", PAGE.upper(), "http://x", "*", ""]
)
def test_a_page_of_elsewhere_is_told_nothing(world: World, origin: str) -> None:
    asked = {"origin": origin, "access-control-request-method": "POST"}
    for response in (
        world.ask("OPTIONS", RECOMMENDATIONS, asked),
        world.ask("GET", "/v1/trends", {**world.key("recommend"), "origin": origin}),
    ):
        assert not [name for name in response.headers if name.startswith("access-control-")]
    problem(world.ask("OPTIONS", RECOMMENDATIONS, asked), 403)


@pytest.mark.parametrize("origin", ["*", "https://*.example.com", "app.example.com", "https://a.example/", "null"])
def test_an_origin_that_would_let_in_everybody_is_no_setting(settings: configs.Settings, origin: str) -> None:
    with pytest.raises(ValueError, match="origins"):
        configs.AuthSettings.model_validate({**settings.auth.model_dump(), "origins": (origin,)})


# The last resort


def test_an_unexpected_error_is_a_problem_that_tells_nothing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    response = world.ask("POST", RECOMMENDATIONS, world.key("recommend"), json={"creator_id": "bang"})
    body = problem(response, 500)
    assert "went wrong" not in response.text and body["request_id"] in caplog.text


def test_half_an_answer_is_not_made_to_look_whole(world: World) -> None:
    async def breaks(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("in the middle")

    broken = guarded(breaks, lambda: world.settings)
    with pytest.raises(RuntimeError):
        ask(broken, "GET", "/livez")


def test_a_web_socket_is_closed(world: World) -> None:
    sent: list[Any] = []

    async def collect(message: Any) -> None:
        sent.append(message)

    asyncio.run(world.guard({"type": "websocket", "path": "/", "headers": []}, None, collect))  # type: ignore[arg-type]
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_nothing_of_a_secret_is_logged_or_sent_back(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    good = world.key("recommend", creator="alice-private")["authorization"]
    secret, said = good.split("_", 2)[2], ""
    for headers in (
        {"authorization": good}, {"authorization": good[:-1] + "x"}, {"authorization": f"Basic {secret}"},
        {"x-api-key": secret}, {"authorization": good, "x-api-key": secret}, {"authorization": f"Bearer {secret}.a.b"},
    ):  # fmt: skip
        for creator in ("alice-private", "bob-private"):
            response = world.ask("POST", "/v1/rank", headers, json={"creator_id": creator})
            if response.status_code >= 400:
                said += response.text + str(response.headers)
        said += world.ask("POST", "/v1/events", headers, json={"creator_id": "bang"}).text
    said += "".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert secret not in said and "bob-private" not in said and "alice-private" not in said


names = st.sampled_from(
    ["authorization", "x-api-key", "x-request-id", "origin", "host", "content-length", "x-forwarded-for",
     "access-control-request-method", "content-type", "transfer-encoding", "cookie", "accept"]
)  # fmt: skip
values = st.binary(max_size=60) | st.sampled_from(
    [b"Bearer", b"Bearer ", b"Bearer hb_", b"bearer a.b.c", b"Bearer hb_" + b"0" * 16 + b"_" + b"a" * 43, b"null", b"*"]
)


@given(
    st.lists(st.tuples(names, values), max_size=8),
    st.sampled_from(["GET", "POST", "OPTIONS", "PUT"]),
    st.text(max_size=12) | st.sampled_from([path for _, path, _ in ROUTES]),
    st.booleans(),
)
@examples(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_headers_say_it_is_never_a_server_error(
    settings: configs.Settings, headers: list[tuple[str, bytes]], method: str, path: str, required: bool
) -> None:
    guard = _guard_of(settings, required)
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": method, "path": path, "raw_path": b"", "query_string": b"", "root_path": "",
        "scheme": "http", "http_version": "1.1", "server": ("127.0.0.1", 3000), "client": ("127.0.0.1", 1),
        "headers": [(name.encode(), value) for name, value in headers], "asgi": {"version": "3.0"},
    }  # fmt: skip
    asyncio.run(guard(scope, receive, send))
    assert sent[0]["status"] < 500 and sent[-1]["type"] == "http.response.body"
    assert len([m for m in sent if m["type"] == "http.response.start"]) == 1


_guards: dict[tuple[Path, bool], Guard] = {}


def _guard_of(settings: configs.Settings, required: bool) -> Guard:
    if (settings.home, required) not in _guards:
        _guards[settings.home, required] = World(settings, required=required).guard
    return _guards[settings.home, required]


# Over a real connection


@contextmanager
def served(app: ASGIApp) -> Iterator[int]:
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", port, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield port
    finally:
        server.should_exit = True
        thread.join()


def raw(port: int, sent: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(sent)
        got = b""
        while chunk := connection.recv(65536):
            got += chunk
        return got


def test_over_a_real_connection_bodies_are_limited_and_the_connection_closes(world: World) -> None:
    token = world.key("recommend")["authorization"]
    head = f"POST {RECOMMENDATIONS} HTTP/1.1\r\nhost: x\r\nauthorization: {token}\r\ncontent-type: application/json\r\n"
    with served(world.guard) as port:
        declared = raw(port, head.encode() + b"content-length: 999999999\r\n\r\n")
        assert declared.startswith(b"HTTP/1.1 413") and b"connection: close" in declared
        chunk = b"7d0\r\n" + b"x" * 2000 + b"\r\n"
        chunked = raw(port, head.encode() + b"transfer-encoding: chunked\r\n\r\n" + chunk * 6)
        assert chunked.startswith(b"HTTP/1.1 413") and chunked.count(b"HTTP/1.1") == 1
        fine = head.encode() + b"connection: close\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
        answer = raw(port, fine)
        assert answer.startswith(b"HTTP/1.1 200") and json.loads(answer.partition(b"\r\n\r\n")[2])["creator"] == "alice"


def test_over_a_real_connection_a_claim_to_come_from_here_is_not_believed(settings: configs.Settings) -> None:
    world = World(settings, required=False)
    with served(world.guard) as port:
        base = f"http://127.0.0.1:{port}/v1/trends"
        assert httpx.get(base).status_code == 200
        for forwarded in ("127.0.0.1", "10.0.0.9", "10.0.0.9, 127.0.0.1"):
            problem(httpx.get(base, headers={"x-forwarded-for": forwarded}), 403)
