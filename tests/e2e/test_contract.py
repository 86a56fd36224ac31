"""The service keeps the contract that its OpenAPI document states, whatever it is sent."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from serving.hydrate import PackedStates
from serving.intake import EventsAccepted
from serving.process.launch import ROOT
from serving.schemas import CreatorMetrics, Problem, Ranking, Slate, Trend, Trends
from tests.e2e.conftest import Guarded

pytestmark = pytest.mark.e2e

EXAMPLES = 30
SECONDS = 240


@pytest.fixture(scope="module")
def client(guarded: Guarded) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=guarded.base, headers={"x-api-key": guarded.token}) as client:
        yield client


@pytest.fixture(scope="module")
def creators(guarded: Guarded) -> list[str]:
    """Some whom the service knows, and somebody nobody has seen."""
    return [*islice(PackedStates(guarded.home / "serving" / "creators.sqlite").ids(), 30), "nobody"]


def told(model: type[BaseModel], response: httpx.Response) -> Any:
    """The answer, which is exactly what the model describes."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert model.model_validate_json(response.content, strict=True).model_dump().keys() == body.keys()
    return body


def test_schemathesis_finds_no_broken_promise(guarded: Guarded, tmp_path: Path) -> None:
    """Every check, over examples, boundary values, random requests and sequences of them."""
    checked = subprocess.run(
        [
            str(Path(sys.executable).with_name("schemathesis")), "run", f"{guarded.base}/docs.json",
            "--checks", "all", "--max-examples", str(EXAMPLES), "--seed", "1", "--generation-deterministic",
            "--generation-with-security-parameters", "false", "--suppress-health-check", "all",
            "-H", f"X-Api-Key: {guarded.token}",
        ],
        env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.e2e.contract_hooks", "PYTHONPATH": str(ROOT)},
        cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout + checked.stderr
    count = re.search(r"(\d+) generated", checked.stdout)
    assert count is not None and int(count[1]) > 7 * EXAMPLES, checked.stdout


def test_what_is_answered_is_what_the_document_describes(client: httpx.Client, creators: list[str]) -> None:
    for creator_id in creators:
        slate = told(Slate, client.post("/v1/recommendations", json={"creator_id": creator_id, "k": 30}))
        asked = [{"kind": item["kind"], "id": item["id"]} for item in slate["items"]]
        unknown = {"kind": "hashtag", "id": "never seen"}
        ranking = told(
            Ranking, client.post("/v1/rank", json={"creator_id": creator_id, "candidates": [*asked, unknown]})
        )
        assert (len(ranking["items"]), ranking["unknown"]) == (len(asked), [unknown])
    for creator_id in creators[:-1]:
        told(CreatorMetrics, client.get(f"/v1/creators/{creator_id}/metrics"))
    for trend in told(Trends, client.get("/v1/trends", params={"limit": 200}))["trends"]:
        told(Trend, client.get(f"/v1/trends/{trend['kind']}/{trend['id']}"))


def test_what_is_answered_to_events_is_what_the_document_describes(client: httpx.Client) -> None:
    seen = {"event_id": "seen", "kind": "observation", "id": "video", "observed_at": 1.7e9, "counts": {"view_count": 1}}
    answer = told(EventsAccepted, client.post("/v1/events", json={"events": [seen, seen, {}]}))
    assert (answer["accepted"], answer["duplicates"], answer["rejected"]) == (1, 1, 1)


def test_errors_are_what_the_document_describes(client: httpx.Client) -> None:
    refused = [
        client.get("/v1/trends/sound/%20"),
        client.get("/nowhere"),
        client.put("/v1/trends"),
        client.post("/v1/rank"),
    ]
    for response in refused:
        assert response.headers["content-type"] == "application/problem+json"
        Problem.model_validate_json(response.content, strict=True)
    assert [response.status_code for response in refused] == [422, 404, 405, 422]
