"""The published description of the HTTP face: valid, with examples that work, and true of what is served."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from starlette.testclient import TestClient

import configs
from serving.assemble import pipeline
from tests.serving.apis import client_of
from tests.worlds import small_settings

METHODS = ("get", "post", "put", "patch", "delete")
PLANNED = {
    ("post", "/v1/strategies"),
    ("get", "/v1/strategies/{strategy_id}/outcome"),
    ("get", "/v1/library/artists"),
    ("get", "/v1/library/strategies"),
}
"""Answered where a library has been built: their answers are held against the document with the strategies."""

ROUTES = {
    ("post", "/v1/recommendations"),
    ("post", "/v1/rank"),
    ("get", "/v1/trends"),
    ("get", "/v1/trends/{kind}/{trend_id}"),
    ("get", "/v1/creators/{creator_id}/metrics"),
    ("post", "/v1/events"),
    ("get", "/v1/admin/models"),
    ("get", "/metrics"),
    *PLANNED,
}


@pytest.fixture(scope="module")
def client(trained_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    made = pipeline(small_settings(trained_home))
    with client_of(lambda: made, configs.load(home=tmp_path_factory.mktemp("contract"))) as client:
        yield client


@pytest.fixture(scope="module")
def document(client: TestClient) -> dict[str, Any]:
    return dict(client.get("/docs.json").json())


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert method in METHODS
            yield method, path, operation


def valid(document: dict[str, Any], schema: dict[str, Any], instance: Any) -> None:
    """Raise where an instance does not fit a schema of the document."""
    resolvable = {**schema, "components": document["components"]}
    Draft202012Validator(resolvable, format_checker=FormatChecker()).validate(instance)


def answer_of(operation: dict[str, Any], status: str, media: str) -> dict[str, Any]:
    return dict(operation["responses"][status]["content"][media]["schema"])


def test_it_is_an_openapi_document_of_all_routes(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert {(method, path) for method, path, _ in operations(document)} == ROUTES
    assert len({operation["operationId"] for *_, operation in operations(document)}) == len(ROUTES)
    assert all(operation["summary"] for *_, operation in operations(document))


def test_every_schema_in_it_is_a_valid_schema(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)
        assert schema.get("title") or name


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    schemas = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}

    def references(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                yield node["$ref"]
            node = list(node.values())
        if isinstance(node, list):
            for child in node:
                yield from references(child)

    assert set(references(document)) <= schemas


def test_every_request_body_has_an_example_that_fits_and_is_answered(
    client: TestClient, document: dict[str, Any]
) -> None:
    bodies = 0
    for method, path, operation in operations(document):
        if "requestBody" not in operation or (method, path) in PLANNED:
            continue
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        named = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        assert named["examples"], path
        for example in named["examples"]:
            valid(document, schema, example)
            response = client.request(method, path, json=example)
            assert response.status_code == 200, response.text
            valid(document, answer_of(operation, "200", "application/json"), response.json())
            bodies += 1
    assert bodies >= 2


def test_every_get_answers_as_described(client: TestClient, document: dict[str, Any]) -> None:
    first = client.get("/v1/trends").json()["trends"][0]
    known = client.post("/v1/recommendations", json={"creator_id": "nobody"}).json()
    assert known["known_creator"] is False
    values = {"kind": first["kind"], "trend_id": first["id"], "creator_id": _somebody(client)}
    for method, path, operation in operations(document):
        if method == "get" and (method, path) not in PLANNED and path != "/metrics":
            response = client.get(path.format(**values))
            assert response.status_code == 200, response.text
            valid(document, answer_of(operation, "200", "application/json"), response.json())


def _somebody(client: TestClient) -> str:
    """A creator whose metrics are known; the world's names are made of two words."""
    for name in ("ava.beats", "ava.dance", "mia.beats", "leo.dance", "zoe.reads", "kai.games"):
        if client.get(f"/v1/creators/{name}/metrics").status_code == 200:
            return name
    raise AssertionError("none of these creators is in the small world")


ERRORS: list[tuple[str, str, dict[str, Any]]] = [
    ("404", "/v1/creators/{creator_id}/metrics", {"url": "/v1/creators/nobody/metrics"}),
    ("404", "/v1/trends/{kind}/{trend_id}", {"url": "/v1/trends/sound/nothing"}),
    ("422", "/v1/trends/{kind}/{trend_id}", {"url": "/v1/trends/artist/nothing"}),
    ("422", "/v1/trends", {"url": "/v1/trends?limit=0"}),
    ("422", "/v1/recommendations", {"url": "/v1/recommendations", "method": "POST", "json": {"nobody": 1}}),
    ("422", "/v1/rank", {"url": "/v1/rank", "method": "POST", "json": {"creator_id": "a", "candidates": []}}),
    (
        "413",
        "/v1/rank",
        {
            "url": "/v1/rank",
            "method": "POST",
            "json": {"creator_id": "a", "candidates": [{"kind": "sound", "id": str(n)} for n in range(5001)]},
        },
    ),
]


@pytest.mark.parametrize(("status", "path", "request_"), ERRORS, ids=[f"{e[0]} {e[1]}" for e in ERRORS])
def test_every_error_is_the_described_problem(
    client: TestClient, document: dict[str, Any], status: str, path: str, request_: dict[str, Any]
) -> None:
    response = client.request(**{"method": "GET", **request_})
    assert response.status_code == int(status)
    assert response.headers["content-type"] == "application/problem+json"
    operation = document["paths"][path][request_.get("method", "GET").lower()]
    valid(document, answer_of(operation, status, "application/problem+json"), response.json())


def test_every_operation_describes_every_error_as_a_problem_and_nothing_else(document: dict[str, Any]) -> None:
    for _, path, operation in operations(document):
        errors = {status: answer for status, answer in operation["responses"].items() if status != "200"}
        assert {"404", "413", "422", "503"} <= set(errors)
        for status, answer in errors.items():
            assert set(answer["content"]) == {"application/problem+json"}, (path, status)
            schema = answer["content"]["application/problem+json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/Problem"}, (path, status)
