"""What is given is kept: once, durably, with what posts can be held against; and forgotten when it must be."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from serving.errors import OutcomesUnavailable
from serving.strategies.following.given import Given, given, starts_at
from serving.strategies.following.stores import GivenBook, GivenStore, RedisGiven, SqliteGiven
from serving.strategies.planner import Planner
from serving.strategies.schemas import StrategyRequest
from tests.servers import RedisServer, redis_server

__all__ = ["redis_server"]

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def one(strategy_id: str, creator_id: str = "anna", given_at: datetime = AT) -> Given:
    return Given(
        strategy_id=strategy_id, creator_id=creator_id, tenant="key:1", given_at=given_at, starts_at=given_at,
        as_of=given_at, locale="en", writer="deterministic", versions={"ranker": "3"}, items=(), plays=(),
    )  # fmt: skip


@pytest.fixture(params=["sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[GivenStore]:
    if request.param == "sqlite":
        yield SqliteGiven(tmp_path / "events" / "strategies.db")
        return
    server: RedisServer = request.getfixturevalue("redis_server")
    for key in server.client().scan_iter("hb:given*"):
        server.client().delete(key)
    yield RedisGiven(server.url, 2.0)


def test_the_first_of_an_id_stays_and_all_come_back_oldest_first(store: GivenStore) -> None:
    late, early = one("b", given_at=AT + timedelta(days=1)), one("c")
    assert list(store.all()) == [] and store.get("b") is None
    assert store.add(late) and store.add(early) and store.add(one("a", "ben"))
    assert not store.add(one("b", given_at=AT + timedelta(days=9)))
    assert store.get("b") == late and [kept.strategy_id for kept in store.all()] == ["a", "c", "b"]


def test_erasing_a_creator_forgets_all_of_theirs_and_nothing_else(store: GivenStore) -> None:
    for strategy_id, creator_id in (("a", "anna"), ("b", "anna"), ("c", "ben")):
        store.add(one(strategy_id, creator_id))
    assert store.erase("anna") == 2 and store.erase("anna") == 0
    assert [kept.strategy_id for kept in store.all()] == ["c"] and store.get("a") is None
    assert store.add(one("a")) and store.get("a") is not None


def test_nothing_of_an_erased_creator_stays_in_the_files_and_only_the_owner_may_read_them(tmp_path: Path) -> None:
    store = SqliteGiven(tmp_path / "strategies.db")
    for n in range(50):
        store.add(one(f"s{n}", "a-name-to-forget"))
    store.erase("a-name-to-forget")
    files = list(tmp_path.iterdir())
    assert files and all(b"a-name-to-forget" not in file.read_bytes() for file in files)
    assert all(file.stat().st_mode & 0o077 == 0 for file in files)


def test_what_a_lost_store_did_not_take_is_written_when_it_is_back(tmp_path: Path) -> None:
    (tmp_path / "events").write_text("in the way")
    store = SqliteGiven(tmp_path / "events" / "strategies.db")
    with pytest.raises(OutcomesUnavailable):
        store.get("a")
    book = GivenBook(store)
    asyncio.run(book.keep(one("a")))
    assert len(book.queue) == 1
    (tmp_path / "events").unlink()
    assert book.close(5.0) == 0
    assert store.get("a") == one("a")


def test_an_answer_waits_for_its_strategy_but_not_for_a_slow_store(tmp_path: Path) -> None:
    store = SqliteGiven(tmp_path / "strategies.db")
    quick = GivenBook(store, patience_seconds=5.0)

    async def keep_behind_a_writer() -> float:
        with SqliteGiven(tmp_path / "strategies.db")._open() as writer:
            writer.execute("BEGIN IMMEDIATE")
            began = time.monotonic()
            await GivenBook(store, patience_seconds=0.05).keep(one("b"))
            took = time.monotonic() - began
            writer.execute("COMMIT")
        return took

    asyncio.run(quick.keep(one("a")))
    assert store.get("a") is not None
    assert asyncio.run(keep_behind_a_writer()) < 2.0
    assert store.get("b") is not None  # the loop's end waits for its threads


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from serving.strategies.following.given import Given
from serving.strategies.following.stores import GivenBook, SqliteGiven

async def answer():
    await GivenBook(SqliteGiven(Path(sys.argv[1])), patience_seconds=5.0).keep(Given.model_validate_json(sys.argv[2]))
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(answer())
"""


def test_what_was_answered_survives_the_death_of_its_process(tmp_path: Path) -> None:
    path = tmp_path / "strategies.db"
    command = [sys.executable, "-c", KILLED, str(path), one("a").model_dump_json()]
    assert subprocess.run(command, cwd=Path(__file__).parents[4], check=False).returncode == -signal.SIGKILL
    assert SqliteGiven(path).get("a") == one("a")


def test_a_strategy_is_kept_with_its_items_windows_and_targets_in_utc(planner: Planner, regular: str) -> None:
    request = StrategyRequest(creator_id=regular, utc_offset_hours=-5)
    strategy, evidence = planner.written(request)
    kept = given(strategy, evidence, AT, "key:1", planner.versions(regular))
    assert Given.model_validate_json(kept.model_dump_json()) == kept
    assert kept.tenant == "key:1" and kept.given_at == AT and set(kept.versions) == {"ranker", "market", "library"}
    keys = {item.id: item.key for item in evidence.items}
    starts = {fact.name: fact.value for fact in evidence.facts if fact.name.startswith("window")}
    for play, told in zip(kept.plays, strategy.plays, strict=True):
        assert play.sound == (keys[told.sound] if told.sound else None)
        assert set(play.items) == {keys[name] for name in told.items} and play.target == told.target
        assert play.window is not None and (play.window[0] - 5) % 24 in starts.values()
    assert {item.key for item in kept.items} == {key for play in kept.plays for key in play.items}


def test_posts_count_from_when_it_was_given_or_from_the_instant_of_a_market_of_the_past() -> None:
    assert starts_at(AT, AT - timedelta(hours=2)) == AT
    assert starts_at(AT, AT - timedelta(days=200)) == AT - timedelta(days=200)
