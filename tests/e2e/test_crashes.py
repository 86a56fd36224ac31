"""Processes of the service are killed under load: what was acknowledged stays, once, and is served."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from features.eventlog.sqlite import SqliteEventLog
from features.lake import Lake
from features.stream import Consumed, consumed_path
from tests.e2e.services import Client, Load, Service, Teller, kill, serving, until

pytestmark = pytest.mark.e2e

TAG = "crashtest"
CHANCE = random.Random(7)


def a_worker(service: Service) -> None:
    kill(CHANCE.sample(until(service.workers), 1))


def the_consumer(service: Service) -> None:
    kill(until(service.consumers))


def everything(service: Service) -> None:
    kill(service.family())
    service.process.wait()
    again(service)


def the_group_that_was_started(service: Service) -> None:
    """Its workers are in sessions of their own, and have to notice."""
    os.killpg(service.process.pid, signal.SIGKILL)
    service.process.wait()
    again(service)


def again(service: Service) -> None:
    """As an orchestrator does it: once more where an orphan still had the port."""
    while not (service.workers() and service.is_ready()):
        if service.process.poll() is not None:
            service.start()
        time.sleep(0.1)


KILLS: list[Callable[[Service], None]] = [a_worker, the_consumer, everything, a_worker, the_group_that_was_started]


def crash(home: Path, kills: list[Callable[[Service], None]], at_least_acknowledged: int = 5) -> dict[str, Any]:
    """Kill processes of a service under load one after another, then look at everything; what was found.

    Args:
        home: to be written to.
        kills: what is killed, in turn; a kill comes some moments after events are acknowledged again.
        at_least_acknowledged: so many, between two kills.
    """
    teller, pauses = Teller(home, TAG), []
    with serving(home) as service:
        load = Load(service.port, teller, writers=3, readers=1)
        try:
            for one in kills:
                seen = len(load.acknowledged)
                until(lambda seen=seen: len(load.acknowledged) >= seen + at_least_acknowledged)  # type: ignore[misc]
                time.sleep(CHANCE.uniform(0.2, 1.5))
                began, seen = time.monotonic(), len(load.acknowledged)
                one(service)
                until(lambda seen=seen: len(load.acknowledged) > seen)  # type: ignore[misc]
                pauses.append((one.__name__, round(time.monotonic() - began, 2)))
        finally:
            load.stop()
        until(service.is_ready)
        acknowledged = dict(load.acknowledged)
        kept = log_of(home)
        lost = {name for name, (_, seq) in acknowledged.items() if kept.get(name) != seq}
        until(lambda: Consumed.read(consumed_path(home)).places.get(0, 0) >= max(kept.values()))
        return {
            "acknowledged": len(acknowledged),
            "lost": len(lost),
            "in_log": len(kept),
            "broken": len(load.broken),
            "refused": sum(status >= 500 for status in load.statuses),
            "first_acknowledged_again_s": pauses,
            "lake_faults": lake_faults(home, kept),
            "served_faults": served_faults(service, acknowledged, home),
        }


def log_of(home: Path) -> dict[str, int]:
    """Event id → place, of every event; each is there once."""
    log = SqliteEventLog(home / "events" / "events.db")
    entries = log.read(0, 10**6)
    log.close()
    places = {entry.event.event_id: entry.seq for entry in entries}
    assert len(places) == len(entries)
    return places


def lake_faults(home: Path, kept: dict[str, int]) -> list[str]:
    """Events of the log that the lake does not hold once."""
    posts = "SELECT id AS name FROM videos WHERE id LIKE 'told-%'"
    said = "SELECT event_id AS name FROM feedback WHERE event_id LIKE 'told-%'"
    rows = Lake(home / "lake").connect().execute(f"{posts} UNION ALL {said}").fetchall()
    names = [name for (name,) in rows]
    return sorted({*kept} ^ {*names}) + sorted({name for name in names if names.count(name) > 1})


def served_faults(service: Service, acknowledged: dict[str, tuple[dict[str, Any], int]], home: Path) -> list[str]:
    """Where a worker's answers do not tell of what was acknowledged."""
    rows = Lake(home / "lake").connect()
    used = rows.execute(f"SELECT count(*) FROM videos WHERE list_contains(hashtag_names, '{TAG}')").fetchall()[0][0]
    faults = []
    avoided: dict[str, set[str]] = {}
    for event, _ in acknowledged.values():
        told = {event["trend_id"]} if event["kind"] == "feedback" else set(event["hashtags"])
        avoided.setdefault(event["creator_id"], set()).update(told)
    for client in service.clients():
        until(lambda client=client: uses(client) == used, 15)  # type: ignore[misc]
        for creator, tags in avoided.items():
            status, slate = client.ask("POST", "/v1/recommendations", {"creator_id": creator, "k": 30})
            shown = {item["id"] for item in slate["items"] if item["kind"] == "hashtag"} if status == 200 else {"?"}
            faults += [f"{creator}: {tag}" for tag in sorted(shown & tags)]
    return faults


def uses(client: Client) -> int | None:
    status, told = client.ask("GET", f"/v1/trends/hashtag/{TAG}")
    return int(next(one["value"] for one in told["evidence"] if one["name"] == "uses_28d")) if status == 200 else None


def test_what_was_acknowledged_outlives_every_kill_and_is_kept_and_served_once(
    trained_home: Path, tmp_path: Path
) -> None:
    home = shutil.copytree(trained_home, tmp_path / "home")
    found = crash(home, KILLS)
    print(json.dumps(found))
    assert found["acknowledged"] > 100
    assert (found["lost"], found["lake_faults"], found["served_faults"]) == (0, [], [])
