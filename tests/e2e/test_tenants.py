"""Who may call which route, for every route and every kind of credential; and that no creator's key sees another's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from serving.access.auth import PUBLIC, ROUTES
from serving.access.key_stores import SqliteKeys
from serving.access.keys import revoke, rotate
from tests.e2e.conftest import Guarded, eventually
from tests.issuers import rsa_key

pytestmark = pytest.mark.e2e

Ask = Callable[[httpx.Client, str], httpx.Response]
"""Asks a route on behalf of, or about, a creator."""

POST_EVENT = {"kind": "post", "create_time": 1.74e9, "description": "#dance"}


def post(path: str, **body: Any) -> Ask:
    """Asks with a body that names the creator."""
    return lambda client, creator_id: client.post(path, json={**body, "creator_id": creator_id})


def get(path: str) -> Ask:
    """Asks with a path that names the creator, or nobody."""
    return lambda client, creator_id: client.get(path.format(creator_id=creator_id))


def events(client: httpx.Client, creator_id: str) -> httpx.Response:
    """Tells of a creator what they did, twice."""
    name = f"of {creator_id}"
    feedback = {"kind": "feedback", "feedback": "click", "occurred_at": 1.74e9}
    told = [{**POST_EVENT, "event_id": name, "id": name}, {**feedback, "event_id": f"click {name}"}]
    return client.post("/v1/events", json={"events": [{**event, "creator_id": creator_id} for event in told]})


@dataclass(frozen=True)
class Route:
    """How one is asked, and whether what is asked names a creator."""

    ask: Ask
    names_creator: bool = False


CANDIDATES = [{"kind": "hashtag", "id": "dance"}]
ASKED: dict[tuple[str, str], Route] = {
    ("POST", "/v1/recommendations"): Route(post("/v1/recommendations", k=3), True),
    ("POST", "/v1/rank"): Route(post("/v1/rank", candidates=CANDIDATES), True),
    ("POST", "/v1/events"): Route(events, True),
    ("GET", "/v1/creators/{creator_id}/metrics"): Route(get("/v1/creators/{creator_id}/metrics"), True),
    ("GET", "/v1/trends"): Route(get("/v1/trends")),
    ("GET", "/v1/trends/{kind}/{trend_id:path}"): Route(get("/v1/trends/hashtag/never seen")),
    ("GET", "/v1/library/artists"): Route(get("/v1/library/artists")),
    ("GET", "/v1/library/strategies"): Route(get("/v1/library/strategies")),
    ("GET", "/v1/admin/models"): Route(get("/v1/admin/models")),
    ("POST", "/v1/strategies"): Route(post("/v1/strategies"), True),
    ("GET", "/v1/strategies/{strategy_id}/outcome"): Route(get("/v1/strategies/never given/outcome")),
    ("GET", "/metrics"): Route(get("/metrics")),
    ("GET", "/docs"): Route(get("/docs")),
    ("GET", "/docs/oauth2-redirect"): Route(get("/docs/oauth2-redirect")),
    ("GET", "/docs.json"): Route(get("/docs.json")),
}
"""Every route; a new one is not served before it stands here."""

MISSING = {"/v1/trends/{kind}/{trend_id:path}", "/v1/strategies/{strategy_id}/outcome"}
"""Routes that are asked for something that does not exist."""


@dataclass(frozen=True)
class Credential:
    """What is sent, and what it is good for: no scopes at all where it does not hold.

    Attributes:
        headers: of every request.
        scopes: that it holds.
        bound: to the first creator.
    """

    headers: dict[str, str] = field(repr=False)
    scopes: frozenset[str] = frozenset()
    bound: bool = False


def credentials(guarded: Guarded) -> dict[str, Credential]:
    """Of every kind."""
    store, first, now = SqliteKeys(guarded.home / "serving" / "keys.sqlite"), guarded.creators[0], datetime.now(UTC)

    def key(*scopes: str, bound: bool = False, **more: Any) -> Credential:
        _, token = guarded.key(*scopes, creator_id=first if bound else None, **more)
        return Credential({"x-api-key": token}, frozenset(scopes), bound)

    def token(**claims: Any) -> dict[str, str]:
        return {"authorization": f"Bearer {guarded.issuer.token(**{'creator_id': first, **claims})}"}

    every = ("recommend", "events", "strategies", "metrics")
    revoked_id, revoked = guarded.key("admin")
    revoke(store, revoked_id, now)
    rotated_id, old = guarded.key("recommend")
    new = rotate(store, rotated_id, now - now, now).token.get_secret_value()
    expired = guarded.key("admin", days=1, ago_days=2)[1]
    return {
        "nothing": Credential({}),
        "an unknown key": Credential({"x-api-key": "hb_0123456789abcdef_" + "A" * 43}),
        "half a key": Credential({"x-api-key": guarded.token[:-1]}),
        "an expired key": Credential({"x-api-key": expired}),
        "a revoked key": Credential({"x-api-key": revoked}),
        "a rotated key": Credential({"x-api-key": old}),
        "the key it was rotated to": Credential({"x-api-key": new}, frozenset({"recommend"})),
        "two keys": Credential({"x-api-key": guarded.token, "authorization": f"Bearer {guarded.token}"}),
        "another scheme": Credential({"authorization": f"Basic {guarded.token}"}),
        "an admin's key": key("admin"),
        "a bound admin's key": key("admin", bound=True),
        "a key for everything": key(*every),
        "a bound key for everything": key(*every, bound=True),
        **{f"a key for {scope}": key(scope) for scope in every},
        **{f"a bound key for {scope}": key(scope, bound=True) for scope in every},
        "a token": Credential(token(scope="recommend events"), frozenset({"recommend", "events"}), True),
        "a token without a scope": Credential(token(scope="openid"), frozenset(), True),
        "an expired token": Credential(token(exp=1_000_000_000)),
        "a token for others": Credential(token(aud="elsewhere")),
        "a token of others": Credential(token(iss="https://elsewhere.example")),
        "a forged token": Credential(token(key=rsa_key(9))),
    }


def expected(route: tuple[str, str, str], credential: Credential, name: str, is_own: bool, served: set[str]) -> int:
    """The status that a credential gets on a route."""
    _, path, scope = route
    asked = ASKED[route[:2]]
    if scope == PUBLIC:
        return 200
    if not credential.scopes and name != "a token without a scope":
        return 401
    if not {scope, "admin"} & credential.scopes:
        return 403
    if path.replace(":path", "") not in served:
        return 404
    if credential.bound and asked.names_creator and not is_own:
        return 403
    return 404 if path in MISSING else 200


@pytest.fixture(scope="module")
def served(guarded: Guarded) -> set[str]:
    """The paths of the service's own document; the other routes are kept for later."""
    paths = httpx.get(f"{guarded.base}/docs.json").json()["paths"]
    return {*paths, *(path for _, path, scope in ROUTES if scope == PUBLIC)}


@pytest.fixture(scope="module")
def clients(guarded: Guarded) -> Iterator[dict[str, tuple[Credential, httpx.Client]]]:
    made = {
        name: (one, httpx.Client(base_url=guarded.base, headers=one.headers))
        for name, one in credentials(guarded).items()
    }
    yield made
    for _, client in made.values():
        client.close()


Clients = dict[str, tuple[Credential, httpx.Client]]


def test_every_route_is_asked() -> None:
    assert ASKED.keys() == {(method, path) for method, path, _ in ROUTES}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route[0]} {route[1]}")
def test_each_route_answers_those_who_may_and_nobody_else(
    guarded: Guarded, clients: Clients, served: set[str], route: tuple[str, str, str]
) -> None:
    own, other, _ = guarded.creators
    got, wanted = {}, {}
    for name, (credential, client) in clients.items():
        for creator_id in (own, other):
            response = ASKED[route[:2]].ask(client, creator_id)
            got[name, creator_id] = response.status_code
            wanted[name, creator_id] = expected(route, credential, name, creator_id == own, served)
            if response.status_code >= 400:
                assert response.headers["content-type"] == "application/problem+json"
            if response.status_code == 401:
                assert response.headers["www-authenticate"].startswith("Bearer")
            for header in credential.headers.values():
                assert header not in response.text
    assert got == wanted


def test_a_bound_credential_learns_nothing_of_another_creator(
    guarded: Guarded, clients: Clients, served: set[str]
) -> None:
    """Not even whether they exist: the answer is the same for somebody nobody has seen."""
    _, other, third = guarded.creators
    bound = [(name, client) for name, (credential, client) in clients.items() if credential.bound]
    for (_, path), asked in ASKED.items():
        if not asked.names_creator or path.replace(":path", "") not in served:
            continue
        for name, client in bound:
            answers = [asked.ask(client, creator_id) for creator_id in (other, third, "nobody at all")]
            told = [{**answer.json(), "request_id": ""} for answer in answers]
            assert [answer.status_code for answer in answers] == [403] * 3, (name, path)
            assert told[0] == told[1] == told[2], (name, path)
            assert other not in answers[0].text


def test_a_bound_key_cannot_smuggle_another_creator_past_the_gate(guarded: Guarded, clients: Clients) -> None:
    own, other, _ = guarded.creators
    _, client = clients["a bound key for everything"]
    quoted = {own: own.replace(".", "%2E"), other: other.replace(".", "%2E")}
    for path in (f"/v1/creators/{quoted[other]}/metrics", f"/v1/creators/{own}/../{other}/metrics",
                 f"/v1/creators/{own}%2F..%2F{other}/metrics", f"/v1//creators/{other}/metrics",
                 f"/v1/creators/{other}/metrics?creator_id={own}", f"/v1/creators/%20{other}/metrics"):  # fmt: skip
        assert client.get(path).status_code in (403, 404), path
    assert client.get(f"/v1/creators/{quoted[own]}/metrics").status_code == 200
    twice = f'{{"creator_id": "{own}", "creator_id": "{other}", "k": 3}}'
    for path in ("/v1/recommendations", "/v1/rank"):
        body = twice if "rec" in path else twice.replace('"k": 3', '"candidates": [{"kind": "sound", "id": "1"}]')
        response = client.post(path, content=body, headers={"content-type": "application/json"})
        assert response.status_code == 403, path
    assert client.post("/v1/recommendations", json={"creator_id": f" {other}\n"}).status_code == 403
    padded = client.post("/v1/recommendations", json={"creator_id": f" {own} "})
    assert (padded.status_code, padded.json()["creator_id"]) == (200, own)


def test_of_mixed_events_only_ones_own_are_taken(guarded: Guarded, clients: Clients) -> None:
    own, other, _ = guarded.creators
    told = [{**POST_EVENT, "event_id": f"mixed {c}", "id": f"mixed {c}", "creator_id": c} for c in (own, other)]
    counts = {"event_id": "counts", "kind": "observation", "id": "v", "observed_at": 1.7e9, "counts": {"view_count": 1}}
    answer = clients["a bound key for events"][1].post("/v1/events", json={"events": [*told, counts]}).json()
    assert [event["status"] for event in answer["events"]] == ["accepted", "rejected", "rejected"]
    theirs = clients["a key for events"][1].post("/v1/events", json={"events": told}).json()
    assert [event["status"] for event in theirs["events"]] == ["duplicate", "accepted"]


def test_a_revoked_key_is_worth_nothing_within_the_time_it_is_remembered(guarded: Guarded) -> None:
    key_id, token = guarded.key("recommend")
    with httpx.Client(base_url=guarded.base, headers={"x-api-key": token}) as client:
        assert client.get("/v1/trends").status_code == 200
        revoke(SqliteKeys(guarded.home / "serving" / "keys.sqlite"), key_id, datetime.now(UTC))
        eventually(lambda: client.get("/v1/trends").status_code == 401)
