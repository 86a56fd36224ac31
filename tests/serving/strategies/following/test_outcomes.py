"""Whether a strategy worked: asked over HTTP, out of a real lake, told to feedback once, and learned from."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from starlette.testclient import TestClient

import configs
from features.contract import split_trend_key
from features.events import Feedback
from features.evidence.lifts import Measure
from features.lake import Lake
from features.schemas import VIDEO_METRICS, VIDEOS
from serving.access.guard import guarded
from serving.access.key_stores import SqliteKeys
from serving.access.keys import create
from serving.answers import Alone, Answers
from serving.api import create_api
from serving.assemble import event_log
from serving.intake import Intake
from serving.pipeline import Pipeline
from serving.strategies.assemble import outcomes
from serving.strategies.following.given import Given, given
from serving.strategies.following.outcomes import learn
from serving.strategies.following.posts import outcome_of, read_posts
from serving.strategies.following.stores import given_store
from serving.strategies.planner import Planner
from serving.strategies.published import PublishedLibrary, read, write
from serving.strategies.ranking import PRIOR_LIFT, shrunk_lift
from serving.strategies.schemas import Outcome, StrategyRequest
from serving.strategies.strategist import Strategist
from tests.serving.apis import HERE
from tests.worlds import small_settings

NOW = datetime.now(UTC)


@pytest.fixture
def after(world_home: Path, tmp_path: Path) -> configs.Settings:
    """A state folder with a lake of its own, and with credentials required."""
    shutil.copytree(world_home / "lake", tmp_path / "home" / "lake")
    return small_settings(tmp_path / "home", auth={"required": True})


@pytest.fixture
def client(served: Pipeline, planner: Planner, after: configs.Settings) -> Iterator[TestClient]:
    log = event_log(after)
    writes = Strategist(planner, outcomes=outcomes(after, lambda: log))
    routes = create_api(Answers(Alone(lambda: served)), lambda: Intake(log), lambda: b"", dict, lambda: writes)
    with TestClient(guarded(routes, lambda: after), base_url="http://127.0.0.1", client=HERE) as client:
        yield client
    log.close()


def key_of(settings: configs.Settings, creator_id: str | None = None) -> dict[str, str]:
    store = SqliteKeys(settings.home / "serving" / "keys.sqlite")
    made = create(store, "a test", ("strategies",), creator_id, 1, NOW)
    return {"x-api-key": made.token.get_secret_value()}


def follow(settings: configs.Settings, plans: Iterable[tuple[str, str, datetime, list[str]]], by: float = 1.0) -> None:
    """Creators post once a day with the items of theirs, in turn; each post is counted at 1, 3 and 7 days.

    Args:
        plans: strategy, creator, when it begins, and the trend key of each day's post.
    """
    videos, counts = [], []
    for strategy_id, creator_id, start, keys in plans:
        for n, key in enumerate(keys):
            kind, name = split_trend_key(key)
            at, post_id = start + timedelta(days=n, hours=1), f"after {strategy_id} {n}"
            row = {"id": post_id, "username": creator_id, "create_time": at, "observed_at": at}
            videos.append(row | ({"music_id": name} if kind == "sound" else {"hashtag_names": [name]}))
            views = by * 10_000 * (1 + n % 3)
            for age, share in ((1, 0.5), (3, 0.8), (7, 1.0)):
                seen = {"id": post_id, "observed_at": at + timedelta(days=age), "view_count": int(views * share)}
                counts.append(seen | {"like_count": int(views * share / 10)})
    tables = ((VIDEOS, videos), (VIDEO_METRICS, counts))
    lake = Lake(settings.home / "lake")
    lake.append({table.name: pa.Table.from_pylist(rows, table.schema) for table, rows in tables})


def items_of(strategy: dict[str, Any], planner: Planner, regular: str) -> list[str]:
    """Trend keys that a strategy's plays name."""
    evidence = planner.evidence(StrategyRequest(creator_id=regular))
    keys = {item.id: item.key for item in evidence.items}
    return list(dict.fromkeys(keys[name] for play in strategy["plays"] for name in play["items"]))


def told_to_feedback(settings: configs.Settings) -> list[Feedback]:
    log = event_log(settings)
    found = [entry.event for entry in log.read(0, 1000)]
    log.close()
    return [event for event in found if isinstance(event, Feedback)]


def test_posts_that_follow_a_strategy_are_found_compared_and_told_to_feedback_once(
    client: TestClient, after: configs.Settings, planner: Planner, regular: str
) -> None:
    headers = key_of(after)
    strategy = client.post("/v1/strategies", json={"creator_id": regular}, headers=headers).json()
    path = f"/v1/strategies/{strategy['strategy_id']}/outcome"
    before = Outcome.model_validate_json(client.get(path, headers=headers).content)
    assert before.verdict == "not enough posts yet" and before.needed.posts == 3 and before.is_open
    assert before.needed.own_posts == 0 and before.own_posts > 5 and not before.posts

    items = items_of(strategy, planner, regular)[:2]
    follow(after, [(strategy["strategy_id"], regular, datetime.fromisoformat(strategy["as_of"]), items * 3)], by=50.0)
    found = Outcome.model_validate_json(client.get(path, headers=headers).content)
    assert found.verdict == "more views than usual", found
    assert [set(post.items) <= set(items) for post in found.posts] == [True] * 6
    assert sum(play.posts for play in found.plays) == 6 and found.needed.posts == 0
    views, likes = found.differences
    assert views.metric == "views" and views.difference and views.lo80 and 0 < views.lo80 < views.difference
    assert (
        views.age_days == likes.age_days
        and (views.age_days or 0) >= 3
        and views.posts == 6
        and views.own_posts <= found.own_posts
    )

    assert client.get(path, headers=headers).json() == found.model_dump(mode="json")
    learn(given_store(after), Lake(after.home / "lake"), lambda: event_log(after), found.as_of)
    told = told_to_feedback(after)
    assert len({event.event_id for event in told}) == len(told) == 6
    assert {event.recommendation_id for event in told} == {strategy["strategy_id"]}
    assert all(event.feedback == "outcome" and event.creator_id == regular and event.rank for event in told)


def test_a_creators_own_key_reads_only_what_they_were_given_and_learns_of_nothing_else(
    client: TestClient, after: configs.Settings, regular: str
) -> None:
    strategy = client.post("/v1/strategies", json={"creator_id": regular}, headers=key_of(after, regular)).json()
    path = f"/v1/strategies/{strategy['strategy_id']}/outcome"
    assert client.get(path, headers=key_of(after, regular)).status_code == 200
    stranger = key_of(after, "somebody-else")
    refused, unknown = client.get(path, headers=stranger), client.get("/v1/strategies/0/outcome", headers=stranger)
    assert refused.status_code == unknown.status_code == 404
    assert refused.json()["detail"].replace(strategy["strategy_id"], "0") == unknown.json()["detail"]
    assert client.get(path).status_code == 401
    kept = given_store(after).get(strategy["strategy_id"])
    assert kept and (kept.tenant or "").startswith("key:") and kept.starts_at == kept.as_of


def test_what_is_erased_is_unknown(client: TestClient, after: configs.Settings, regular: str) -> None:
    headers = key_of(after)
    strategy = client.post("/v1/strategies", json={"creator_id": regular}, headers=headers).json()
    path = f"/v1/strategies/{strategy['strategy_id']}/outcome"
    assert client.get(path, headers=headers).status_code == 200
    assert given_store(after).erase(regular) == 1
    assert client.get(path, headers=headers).status_code == 404


def given_to(planner: Planner, creator_id: str) -> Given:
    return given(*planner.written(StrategyRequest(creator_id=creator_id)), NOW)


def test_kinds_of_plays_learn_from_all_who_followed_them(
    served: Pipeline, planner: Planner, after: configs.Settings, published: PublishedLibrary
) -> None:
    store, lake = given_store(after), Lake(after.home / "lake")
    names = [name for name in served.states.ids() if (known := served.states.get(name)) and len(known.trend_keys) > 9]
    strategies = [given_to(planner, name) for name in names[:40]]
    for one in strategies:
        store.add(one)
    firsts = ([key for play in one.plays for key in play.items[:1]] for one in strategies)
    follow(after, ((s.strategy_id, s.creator_id, s.as_of, keys) for s, keys in zip(strategies, firsts, strict=True)))
    as_of = lake.latest_at()
    assert as_of is not None
    measures = learn(store, lake, lambda: event_log(after), as_of)
    told = [measure for measure in measures.values() if measure.lift is not None]
    assert told and all(measure.creators >= 8 and measure.lo < measure.lift < measure.hi for measure in told)  # type: ignore[operator]
    assert all(measure.lift is None for measure in measures.values() if measure.creators < 8)
    assert learn(store, lake, lambda: event_log(after), strategies[0].starts_at) == {}

    write(after.home, PublishedLibrary(as_of=published.as_of, measures=published.measures, outcomes=measures))
    shown = Planner(planner._answers, planner.library, lambda: read(after.home)).strategies()["strategies"]
    by_id = {row["id"]: row["followed"] for row in shown}
    best = max(told, key=lambda measure: measure.creators)
    assert by_id[best.name]["lift"] == pytest.approx(np.expm1(best.lift or 0.0), abs=1e-3)
    assert by_id[best.name]["creators"] == best.creators


def test_a_lift_that_was_measured_twice_weighs_more_and_lies_between() -> None:
    one, other = Measure("a", 99, 99, 20, 0.2, 0.1, 0.3), Measure("b", 99, 99, 20, -0.1, -0.3, 0.1)
    assert shrunk_lift(None, Measure("c", 1, 1, 1)) == 0.0
    error = 0.1 / 1.2815515655446004
    assert shrunk_lift(one) == pytest.approx(0.2 * PRIOR_LIFT**2 / (PRIOR_LIFT**2 + error**2))
    assert shrunk_lift(other) < shrunk_lift(one, other) < shrunk_lift(one) < shrunk_lift(one, one) < 0.2


def test_posts_that_nobody_has_counted_yet_are_awaited(planner: Planner, after: configs.Settings, regular: str) -> None:
    one, lake = given_to(planner, regular), Lake(after.home / "lake")
    at = one.as_of + timedelta(hours=2)
    tag = next(key for key in (item.key for item in one.items) if key.startswith("hashtag:"))
    row = {"id": "fresh", "username": regular, "create_time": at, "observed_at": at}
    lake.append({"videos": pa.Table.from_pylist([row | {"hashtag_names": [split_trend_key(tag)[1]]}], VIDEOS.schema)})
    outcome, events = outcome_of(one, read_posts(lake, [one], NOW).get(regular), NOW)
    assert outcome.verdict == "not enough posts yet" and not outcome.is_open and len(outcome.posts) == len(events) == 1
    assert (outcome.needed.posts, outcome.needed.own_posts, outcome.needed.awaiting_counts) == (3, 0, 1)


def test_a_creator_of_whom_no_post_is_known_is_told_what_is_needed(planner: Planner, after: configs.Settings) -> None:
    one = given_to(planner, "nobody")
    lake = Lake(after.home / "lake")
    outcome, events = outcome_of(one, read_posts(lake, [one], NOW).get("nobody"), NOW)
    assert outcome.verdict == "not enough posts yet" and not events
    assert (outcome.needed.posts, outcome.needed.own_posts, outcome.needed.awaiting_counts) == (3, 5, 0)
