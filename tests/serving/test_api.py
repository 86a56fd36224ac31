from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from starlette.testclient import TestClient

import configs
from serving.holder import PipelineHolder
from serving.pipeline import Pipeline
from tests.serving.apis import HERE, app_of, client_of

PROBLEM = "application/problem+json"
RECOMMENDATIONS = "/v1/recommendations"
RANK = "/v1/rank"


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> configs.Settings:
    return configs.load(home=tmp_path_factory.mktemp("api"))


@pytest.fixture(scope="module")
def client(served: Pipeline, at: configs.Settings) -> Iterator[TestClient]:
    with client_of(lambda: served, at) as client:
        yield client


def recommend(client: TestClient, creator_id: str, **more: Any) -> dict[str, Any]:
    response = client.post(RECOMMENDATIONS, json={"creator_id": creator_id, **more})
    assert response.status_code == 200, response.text
    return dict(response.json())


def refs(slate: dict[str, Any]) -> list[dict[str, str]]:
    return [{"kind": item["kind"], "id": item["id"]} for item in slate["items"]]


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    """The body of an error, after what holds for every error has been checked."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == PROBLEM
    body = dict(response.json())
    assert set(body) == {"type", "title", "status", "detail", "request_id"}
    assert body["status"] == status
    assert body["request_id"] == response.headers["x-request-id"]
    assert "Traceback" not in response.text and ".py" not in response.text
    return body


# Slates


def test_a_slate_says_what_who_when_and_why(client: TestClient, served: Pipeline, regular: str) -> None:
    slate = recommend(client, regular, k=5)
    assert slate["creator_id"] == regular and slate["known_creator"] is True
    assert (slate["model"], slate["market"]) == (served.model.version, served.snapshot.version)
    assert slate["as_of"] == served.snapshot.market.as_of.isoformat()
    assert slate["feature_age_ms"] > 0
    assert [item["rank"] for item in slate["items"]] == [1, 2, 3, 4, 5]
    for item in slate["items"]:
        assert item["kind"] in ("sound", "hashtag") and item["title"]
        assert 0 <= item["score"] <= 1 and 0 < item["fit"] < 1 and 0 < item["heat"] < 1
        assert item["stage"] in ("emerging", "rising", "peaking", "declining", "evergreen")
        assert len(item["reasons"]) <= served.settings.reasons
        assert all(e["as_of"] == slate["as_of"] and e["unit"] for e in item["evidence"])
    assert any(item["reasons"] for item in slate["items"])
    scores = [item["score"] for item in slate["items"]]
    assert scores == sorted(scores, reverse=True)


def test_every_recommendation_has_an_id_of_its_own(client: TestClient, regular: str) -> None:
    ids = {recommend(client, regular)["recommendation_id"] for _ in range(3)}
    assert len(ids) == 3


def test_the_default_length_is_the_services_own(client: TestClient, served: Pipeline, regular: str) -> None:
    assert len(recommend(client, regular)["items"]) == served.settings.default_k


def test_only_the_kinds_asked_for_come_back(client: TestClient, regular: str) -> None:
    for kind in ("sound", "hashtag"):
        items = recommend(client, regular, k=8, kinds=[kind])["items"]
        assert items and {item["kind"] for item in items} == {kind}


def test_excluded_trends_stay_away_however_they_are_written(client: TestClient, regular: str) -> None:
    first = recommend(client, regular, k=3, kinds=["hashtag"])
    shouted = [{"kind": "hashtag", "id": f"#{ref['id'].upper()}"} for ref in refs(first)]
    second = recommend(client, regular, k=3, kinds=["hashtag"], exclude=shouted)
    assert len(second["items"]) == 3
    assert not {i["id"] for i in first["items"]} & {i["id"] for i in second["items"]}


def test_used_trends_come_back_only_when_asked_for(client: TestClient, served: Pipeline, regular: str) -> None:
    creator = served.states.get(regular)
    assert creator is not None
    used = {*creator.trend_keys}

    def of_these(**more: Any) -> set[str]:
        return {f"{r['kind']}:{r['id']}" for r in refs(recommend(client, regular, k=100, **more))} & used

    assert not of_these() and of_these(include_used=True)


def test_a_newcomer_gets_a_slate_and_not_an_error(client: TestClient) -> None:
    slate = recommend(client, "nobody_knows_me", k=6, region="US", tags=["#Dance", "music"])
    assert slate["known_creator"] is False and len(slate["items"]) == 6


@pytest.mark.parametrize(
    "name", ["ünï-cødé 🎵", "a/b", "x'; DROP TABLE creator;--", "../../etc/passwd", "\u0000", "a" * 256]
)
def test_any_name_is_somebody(client: TestClient, name: str) -> None:
    assert recommend(client, name, k=2)["creator_id"] == name


# Ranking


def test_the_callers_candidates_are_ranked_and_the_unknown_named(client: TestClient, regular: str) -> None:
    known = refs(recommend(client, regular, k=4))
    unknown = {"kind": "sound", "id": "not-a-live-sound"}
    response = client.post(RANK, json={"creator_id": regular, "candidates": [unknown, *known[::-1], known[0]]})
    assert response.status_code == 200
    answer = response.json()
    assert answer["unknown"] == [unknown]
    assert sorted(map(str, refs(answer))) == sorted(map(str, known))
    assert [item["rank"] for item in answer["items"]] == [1, 2, 3, 4]


def test_ranking_only_unknown_candidates_is_an_empty_ranking(client: TestClient) -> None:
    body = {"creator_id": "newcomer", "candidates": [{"kind": "hashtag", "id": "nowhere"}]}
    answer = client.post(RANK, json=body).json()
    assert answer["items"] == [] and len(answer["unknown"]) == 1


def test_more_candidates_than_the_limit_are_refused(served: Pipeline, regular: str, at: configs.Settings) -> None:
    strict = dataclasses.replace(served, settings=served.settings.model_copy(update={"max_candidates": 3}))
    with client_of(lambda: strict, at) as client:
        candidates = [{"kind": "hashtag", "id": f"t{n}"} for n in range(4)]
        body = problem(client.post(RANK, json={"creator_id": regular, "candidates": candidates}), 413)
        assert "4 candidates" in body["detail"] and "3" in body["detail"]
        assert client.post(RANK, json={"creator_id": regular, "candidates": candidates[:3]}).status_code == 200


# Trends and creators


def test_what_is_rising_is_not_generic_and_can_be_narrowed(client: TestClient) -> None:
    everything = client.get("/v1/trends", params={"limit": 20}).json()["trends"]
    assert len(everything) == 20 and not any(trend["generic"] for trend in everything)
    sounds = client.get("/v1/trends", params={"kind": "sound", "limit": 5}).json()["trends"]
    assert len(sounds) == 5 and {trend["kind"] for trend in sounds} == {"sound"}
    regional = client.get("/v1/trends", params={"region": "US"}).json()["trends"]
    assert regional and client.get("/v1/trends", params={"region": "ZZ"}).json()["trends"] == []


def test_one_trend_is_told_with_its_history(client: TestClient) -> None:
    first = client.get("/v1/trends", params={"kind": "hashtag", "limit": 1}).json()["trends"][0]
    trend = client.get(f"/v1/trends/hashtag/{first['id']}").json()
    assert trend == first
    assert len(trend["daily_uses"]) == 28
    uses = {e["name"]: e["value"] for e in trend["evidence"]}
    assert sum(count for _, count in trend["daily_uses"][-7:]) == uses["uses_7d"]


def test_a_trend_with_a_public_count_is_told_where_it_is_heading(client: TestClient, served: Pipeline) -> None:
    market = served.snapshot.market
    row = int(np.flatnonzero(np.isfinite(market.column("forecast_growth_7d")))[0])
    trend = client.get(f"/v1/trends/{market.types[row]}/{market.ids[row]}").json()
    assert list(trend["forecast"]) == ["1", "3", "7"]
    for growth in trend["forecast"].values():
        assert growth["lo80"] <= growth["growth"] <= growth["hi80"]
    assert trend["forecast"]["7"]["growth"] == pytest.approx(np.expm1(market.column("forecast_growth_7d")[row]))
    unknown = int(np.flatnonzero(np.isnan(market.column("forecast_growth_7d")))[0])
    assert client.get(f"/v1/trends/{market.types[unknown]}/{market.ids[unknown]}").json()["forecast"] is None


def test_a_stage_comes_with_how_often_its_promise_came_true(client: TestClient, served: Pipeline, regular: str) -> None:
    rates = served.model.ranker.stage_hit_rates
    assert rates and all(0 <= rate <= 1 for rate in rates.values())
    items = recommend(client, regular, k=20)["items"]
    trends = client.get("/v1/trends", params={"limit": 20}).json()["trends"]
    for told in (*items, *trends):
        assert told["stage_hit_rate"] == rates.get(told["stage"])
    assert any(told["stage_hit_rate"] is not None for told in items)


def test_a_hashtag_is_found_however_it_is_written(client: TestClient) -> None:
    name = client.get("/v1/trends", params={"kind": "hashtag", "limit": 1}).json()["trends"][0]["id"]
    assert client.get(f"/v1/trends/hashtag/{name.upper()}").json()["id"] == name
    assert client.get(f"/v1/trends/hashtag/%23{name}").json()["id"] == name


def test_a_creators_metrics_are_counts_with_units(client: TestClient, regular: str) -> None:
    answer = client.get(f"/v1/creators/{regular}/metrics").json()
    metrics = {metric["name"]: metric for metric in answer["metrics"]}
    assert metrics["followers"]["unit"] == "followers" and metrics["followers"]["value"] > 10
    assert sum(answer["hours_utc"]) == pytest.approx(1) and sum(answer["weekdays"]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("/v1/trends/hashtag/neverheardofit", "Unknown trend"),
        ("/v1/trends/sound/1%2F2", "Unknown trend"),
        ("/v1/creators/nobody/metrics", "Unknown creator"),
        ("/v1/nowhere", "Not found"),
    ],
)
def test_what_is_not_there_is_404(client: TestClient, path: str, title: str) -> None:
    assert problem(client.get(path), 404)["title"] == title


def test_the_wrong_verb_is_405(client: TestClient) -> None:
    problem(client.get(RECOMMENDATIONS), 405)
    problem(client.delete("/v1/trends"), 405)


def test_a_request_that_nothing_fits_is_an_empty_slate(client: TestClient, served: Pipeline, regular: str) -> None:
    market = served.snapshot.market
    everything = [{"kind": kind, "id": name} for kind, name in zip(market.types, market.ids, strict=True)]
    assert recommend(client, regular, exclude=everything)["items"] == []


# What cannot be read

INVALID: dict[str, Any] = {
    "no creator": {"k": 5},
    "an empty name": {"creator_id": ""},
    "a blank name": {"creator_id": "   "},
    "a name too long": {"creator_id": "a" * 257},
    "an unknown field": {"creator_id": "anna", "colour": "red"},
    "a huge k": {"creator_id": "anna", "k": 10**30},
    "a k above the limit": {"creator_id": "anna", "k": 101},
    "a k of none": {"creator_id": "anna", "k": 0},
    "a k in words": {"creator_id": "anna", "k": "many"},
    "an unknown kind": {"creator_id": "anna", "kinds": ["artist"]},
    "no kinds": {"creator_id": "anna", "kinds": []},
    "a region in full": {"creator_id": "anna", "region": "Germany"},
    "too many tags": {"creator_id": "anna", "tags": ["a"] * 51},
    "exclude without a kind": {"creator_id": "anna", "exclude": [{"id": "a"}]},
    "half a character": {"creator_id": "\ud800"},
    "a list": ["anna"],
    "null": None,
}


@pytest.mark.parametrize("body", INVALID.values(), ids=INVALID)
def test_a_request_that_does_not_fit_is_422(client: TestClient, body: Any) -> None:
    response = client.post(RECOMMENDATIONS, content=json.dumps(body), headers={"content-type": "application/json"})
    assert problem(response, 422)["title"] == "Not a valid request"


@pytest.mark.parametrize("content", [b"", b"{", b"{'creator_id': 1}", b"\xff\xfe", b'{"creator_id": "a", "k": NaN}'])
def test_malformed_json_is_422(client: TestClient, content: bytes) -> None:
    problem(client.post(RECOMMENDATIONS, content=content, headers={"content-type": "application/json"}), 422)


def test_json_too_deep_to_parse_is_422(client: TestClient) -> None:
    problem(client.post(RECOMMENDATIONS, content=b"[" * 5000, headers={"content-type": "application/json"}), 422)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "image/png"])
def test_a_body_of_another_kind_is_422(client: TestClient, kind: str) -> None:
    response = client.post(RECOMMENDATIONS, content=b'{"creator_id": "anna"}', headers={"content-type": kind})
    problem(response, 422)


@pytest.mark.parametrize(
    "params", [{"limit": 0}, {"limit": 201}, {"limit": "all"}, {"kind": "artist"}, {"region": "us"}, {"region": "USA"}]
)
def test_queries_that_do_not_fit_are_422(client: TestClient, params: dict[str, Any]) -> None:
    problem(client.get("/v1/trends", params=params), 422)


def test_an_error_names_the_field_and_not_its_value(client: TestClient) -> None:
    secret = "my-private-name" * 30
    body = problem(client.post(RECOMMENDATIONS, json={"creator_id": secret, "k": "my-private-k"}), 422)
    assert "creator_id" in body["detail"] and "body.k" in body["detail"]
    assert "private" not in str(body)


# Before there is anything, and when something breaks


@pytest.mark.parametrize("path", ["/v1/trends", "/v1/trends/hashtag/a", "/v1/creators/a/metrics"])
def test_before_anything_is_published_the_answer_is_503(settings: configs.Settings, path: str) -> None:
    with client_of(PipelineHolder(lambda: settings).get, settings) as client:
        assert "harmonic up" in problem(client.get(path), 503)["detail"]
        problem(client.post(RECOMMENDATIONS, json={"creator_id": "anna"}), 503)


def test_a_failure_inside_tells_the_caller_nothing_but_the_request_id(at: configs.Settings) -> None:
    def broken() -> Pipeline:
        raise RuntimeError("the password is swordfish")

    with client_of(broken, at) as client:
        response = client.post(RECOMMENDATIONS, json={"creator_id": "anna"}, headers={"X-Request-Id": "mine-7"})
        body = problem(response, 500)
        assert body["request_id"] == "mine-7" and "swordfish" not in response.text


# Request ids


def test_a_request_id_is_echoed(client: TestClient) -> None:
    assert client.get("/v1/trends", headers={"X-Request-Id": "abc-123"}).headers["x-request-id"] == "abc-123"
    response = client.get("/v1/creators/nobody/metrics", headers={"X-Request-Id": "abc-124"})
    assert problem(response, 404)["request_id"] == "abc-124"


@pytest.mark.parametrize("given", [None, "", "a" * 129, "tab\there", "ü"])
def test_a_request_id_is_made_where_there_is_none_fit_to_echo(client: TestClient, given: str | None) -> None:
    headers = {} if given is None else {"X-Request-Id": given.encode()}
    made = client.get("/v1/trends", headers=headers).headers["x-request-id"]
    assert len(made) == 32 and made != given


def test_requests_in_flight_keep_their_own_ids(served: Pipeline, at: configs.Settings, regular: str) -> None:
    assert all(asyncio.run(ask_at_once(served, at, regular, 30)))


async def ask_at_once(served: Pipeline, at: configs.Settings, regular: str, requests: int) -> list[bool]:
    transport = httpx.ASGITransport(app_of(lambda: served, at), client=HERE)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:

        async def ask(number: int) -> bool:
            response = await client.post(
                RECOMMENDATIONS,
                json={"creator_id": regular, "k": 1 + number % 5},
                headers={"X-Request-Id": f"r{number}"},
            )
            return response.headers["x-request-id"] == f"r{number}" and len(response.json()["items"]) == 1 + number % 5

        return await asyncio.gather(*(ask(n) for n in range(requests)))
