from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from features.eventlog.redis import RedisEventLog
from features.eventlog.sqlite import SqliteEventLog
from serving.errors import EventsUnavailable, Forbidden, NoEvent
from serving.intake import EventsAccepted, EventsRequest, Intake
from tests.features.event_logs import NOW, TITLES
from tests.servers import free_port

POST: dict[str, Any] = {
    "event_id": "e1", "kind": "post", "id": "v1", "creator_id": "ada", "create_time": "2026-06-01T11:00:00Z",
    "hashtags": ["dance"],
}  # fmt: skip
COUNTS: dict[str, Any] = {
    "event_id": "e2", "kind": "observation", "id": "v1", "observed_at": "2026-06-01T11:00:00Z",
    "counts": {"view_count": 3},
}  # fmt: skip


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteEventLog]:
    log = SqliteEventLog(tmp_path / "events.db", TITLES, ack_seconds=0.3)
    yield log
    log.close()


def accept(log: Any, *events: Any, own: str | None = None) -> EventsAccepted:
    request = EventsRequest(events=events)
    return asyncio.run(Intake(log).accept(request, NOW, lambda creator: own in (None, creator)))


def test_the_good_events_of_a_request_are_durable_and_the_bad_ones_are_named(log: SqliteEventLog) -> None:
    answer = accept(log, POST, POST | {"event_id": "e3", "id": ""}, POST, 7, POST | {"id": "other"})
    assert [(one.event_id, one.status, one.seq) for one in answer.events] == [
        ("e1", "accepted", 1), ("e3", "rejected", None), ("e1", "duplicate", 1), (None, "rejected", None),
        ("e1", "rejected", None),
    ]  # fmt: skip
    assert "id" in str(answer.events[1].fault) and "accepted before" in str(answer.events[4].fault)
    assert (answer.accepted, answer.duplicates, answer.rejected) == (1, 1, 3)
    assert [entry.event.event_id for entry in log.read(0, 10)] == ["e1"]
    assert log.overlay("ada") is not None


def test_a_request_without_one_good_event_is_refused_and_told_why(log: SqliteEventLog) -> None:
    with pytest.raises(NoEvent, match=r"events\.0: .*; and 2 more") as refused:
        accept(log, *([POST | {"create_time": "2026-06-02T00:00:00Z"}] * 7))
    assert refused.value.status == 422
    assert log.last_seq() == 0


def test_a_creators_credential_tells_events_of_that_creator_only(log: SqliteEventLog) -> None:
    answer = accept(log, POST, POST | {"event_id": "e9", "creator_id": "bob"}, COUNTS, own="ada")
    assert [one.status for one in answer.events] == ["accepted", "rejected", "rejected"]
    with pytest.raises(Forbidden):
        accept(log, POST, own="bob")
    with pytest.raises(Forbidden):
        accept(log, COUNTS, own="ada")
    assert log.overlay("bob") is None and log.last_seq() == 1


def test_what_cannot_be_made_durable_is_not_acknowledged(log: SqliteEventLog) -> None:
    holder = sqlite3.connect(log.path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(EventsUnavailable) as refused:
        accept(log, POST)
    holder.execute("ROLLBACK")
    holder.close()
    assert refused.value.status == 503 and int(refused.value.headers["Retry-After"]) > 0


def test_a_lost_redis_refuses_events_at_once_and_names_no_address() -> None:
    port = free_port()
    log = RedisEventLog(f"redis://:secret@127.0.0.1:{port}/0")
    with pytest.raises(EventsUnavailable) as refused:
        accept(log, POST)
    assert "secret" not in str(refused.value) and str(port) not in str(refused.value)
    log.close()


@pytest.mark.parametrize("events", [[], [POST] * 501, None, "x", {"a": 1}])
def test_a_request_has_between_one_and_five_hundred_events(events: Any) -> None:
    with pytest.raises(ValidationError):
        EventsRequest.model_validate({"events": events})


def test_the_api_describes_every_kind_of_event() -> None:
    api = FastAPI()

    @api.post("/v1/events", response_model=EventsAccepted)
    async def events(body: EventsRequest) -> None: ...

    document = api.openapi()["components"]["schemas"]
    items = document["EventsRequest"]["properties"]["events"]["items"]
    kinds = {"post", "observation", "creator_observation", "trend_observation", "feedback"}
    assert set(items["discriminator"]["mapping"]) == kinds
    assert document["Post"]["additionalProperties"] is False


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*POST, *COUNTS, "x"]), inner),
    max_leaves=10,
)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(JSON | JSON.map(lambda junk: POST | junk if isinstance(junk, dict) else junk), min_size=1, max_size=4))
def test_whatever_is_sent_is_answered_or_refused(log: SqliteEventLog, events: list[Any]) -> None:
    try:
        answer = accept(log, *events)
    except NoEvent as refused:
        assert str(refused)
    else:
        assert len(answer.events) == len(events)
        assert answer.model_dump_json()
