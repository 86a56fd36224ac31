from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

import configs
from serving.access.guard import guarded
from serving.answers import Alone, Answers
from serving.api import create_api
from serving.assemble import event_log
from serving.intake import Intake
from serving.pipeline import Pipeline
from serving.strategies.answers import Artists, Strategies, WrittenStrategy
from serving.strategies.planner import Planner
from serving.strategies.published import FILE, LibraryFile, PublishedLibrary, read, write
from serving.strategies.strategist import Strategist
from tests.serving.apis import HERE


@pytest.fixture(scope="module")
def client(served: Pipeline, planner: Planner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    settings = configs.load(home=tmp_path_factory.mktemp("strategies"))
    writes = Strategist(planner)
    routes = create_api(
        Answers(Alone(lambda: served)), lambda: Intake(event_log(settings)), lambda: b"", dict, lambda: writes
    )
    app = guarded(routes, lambda: settings)
    with TestClient(app, base_url="http://127.0.0.1", client=HERE) as client:
        yield client


def test_a_strategy_is_answered_as_its_schema_says(client: TestClient, regular: str) -> None:
    response = client.post("/v1/strategies", json={"creator_id": regular, "utc_offset_hours": 1})
    assert response.status_code == 200, response.text
    strategy = WrittenStrategy.model_validate_json(response.content)
    assert strategy.creator_id == regular and strategy.writer == "deterministic" and not strategy.check.faults


def test_the_same_question_is_answered_from_memory_and_another_one_is_not(client: TestClient, regular: str) -> None:
    first, again, other = (
        client.post("/v1/strategies", json={"creator_id": regular, "goal": goal}).json()
        for goal in ("views", "views", "duets")
    )
    assert (first["cached"], again["cached"], other["cached"]) == (False, True, False)
    assert again["plays"] == first["plays"] and again["strategy_id"] == first["strategy_id"]


def test_somebody_nobody_knows_gets_a_strategy_too(client: TestClient) -> None:
    response = client.post("/v1/strategies", json={"creator_id": "nobody", "region": "US", "tags": ["dance"]})
    assert response.status_code == 200 and len(response.json()["plays"]) >= 3


@pytest.mark.parametrize(
    "body", [{}, {"creator_id": ""}, {"creator_id": "a", "locale": "english"}, {"creator_id": "a", "x": 1}]
)
def test_a_request_that_does_not_fit_is_a_problem(client: TestClient, body: dict[str, object]) -> None:
    assert client.post("/v1/strategies", json=body).status_code == 422


def test_the_strategies_tell_their_measured_lift_or_that_there_is_not_enough_data(client: TestClient) -> None:
    found = Strategies.model_validate_json(client.get("/v1/library/strategies").content)
    assert len(found.strategies) >= 30 and found.creator_id is None
    verdicts = {entry.measured.verdict for entry in found.strategies}
    assert verdicts == {"measured", "not enough data"}
    for entry in found.strategies:
        assert (entry.measured.lift is not None) == (entry.measured.verdict == "measured")


def test_for_a_creator_the_strategies_that_apply_come_best_first(client: TestClient, regular: str) -> None:
    found = Strategies.model_validate_json(client.get("/v1/library/strategies", params={"creator_id": regular}).content)
    scores = [entry.score or 0.0 for entry in found.strategies]
    assert scores == sorted(scores, reverse=True) and len(scores) < 35


def test_artists_come_with_dates_and_what_they_did_before_and_nearest_first(client: TestClient, regular: str) -> None:
    every = Artists.model_validate_json(client.get("/v1/library/artists", params={"limit": 200}).content)
    assert every.artists and all(artist.nearness is None for artist in every.artists)
    assert [a.burst for a in every.artists] == sorted((a.burst for a in every.artists), reverse=True)
    near = Artists.model_validate_json(client.get("/v1/library/artists", params={"creator_id": regular}).content)
    told = [artist.nearness or 0.0 for artist in near.artists]
    assert told == sorted(told, reverse=True)
    region = next(artist.region for artist in every.artists if artist.region)
    there = Artists.model_validate_json(client.get("/v1/library/artists", params={"region": region}).content)
    assert there.artists and {artist.region for artist in there.artists} == {region}


def test_what_was_published_is_read_back_and_read_again_when_it_changes(
    tmp_path: Path, published: PublishedLibrary
) -> None:
    file = LibraryFile(tmp_path)
    assert file.get() == PublishedLibrary()
    write(tmp_path, published)
    assert file.get() == PublishedLibrary()  # nobody waits for the other one
    while file.get() == PublishedLibrary():
        time.sleep(0.01)
    assert read(tmp_path) == published == file.get() == LibraryFile(tmp_path).get()
    assert len({file.get().edition, "", LibraryFile(tmp_path).get().edition}) == 2
    (tmp_path / FILE).write_bytes(b'{"format": 99}')
    assert read(tmp_path) == PublishedLibrary()
