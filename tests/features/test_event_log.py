from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import configs
from features.errors import LogBusy, LogNotDurable, LogUnavailable
from features.eventlog.log import EventLog, Overlay, shard_of
from features.eventlog.redis import OVERLAY, STATE, RedisEventLog
from features.eventlog.sqlite import SqliteEventLog
from features.eventlog.stores import open_event_log
from features.events import Event
from tests.features.event_logs import NOW, TITLES, DurableRedis, feedback, overlay_of, post, replayed, seqs

SHARDS = 3
Opener = Callable[[], EventLog]


@pytest.fixture(scope="module")
def durable_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DurableRedis]:
    server = DurableRedis(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(params=["sqlite", "redis"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Opens the same empty log as often as it is called, each time as another process would."""
    opened: list[EventLog] = []
    if request.param == "redis":
        server: DurableRedis = request.getfixturevalue("durable_redis")
        server.server.client().flushall()

    def open_one() -> EventLog:
        if request.param == "sqlite":
            log: EventLog = SqliteEventLog(tmp_path / "events" / "events.db", TITLES)
        else:
            log = RedisEventLog(server.server.url, SHARDS, timeout_seconds=2, original_titles=TITLES)
        opened.append(log)
        return log

    yield open_one
    for log in opened:
        log.close()


@pytest.fixture
def log(opener: Opener) -> EventLog:
    return opener()


def everything(log: EventLog, page: int = 1000) -> list[list[tuple[int, Event]]]:
    """All events of every shard, read page by page."""
    shards = []
    for shard in range(log.shards):
        found: list[tuple[int, Event]] = []
        while entries := log.read(found[-1][0] if found else 0, page, shard):
            assert all(entry.received_at == NOW for entry in entries)
            found += [(entry.seq, entry.event) for entry in entries]
        shards.append(found)
    return shards


def test_what_was_appended_is_read_in_order(log: EventLog) -> None:
    events = [post(f"e{n}") for n in range(25)]
    accepted = log.append(events[:5], NOW) + log.append(events[5:], NOW)
    assert seqs(accepted) == sorted(set(seqs(accepted)))
    assert not any(one.duplicate or one.conflict for one in accepted)
    (found,) = [shard for shard in everything(log, page=7) if shard]
    assert found == list(zip(seqs(accepted), events, strict=True))
    shard = shard_of("ada", log.shards)
    assert log.last_seq(shard) == accepted[-1].seq
    assert log.read(accepted[-1].seq, 10, shard) == []


def test_an_empty_log_says_so(log: EventLog) -> None:
    assert (log.last_seq(), log.read(0, 10), log.overlay("ada"), log.append([], NOW)) == (0, [], None, [])


def test_the_same_event_twice_counts_once(log: EventLog) -> None:
    first, again = log.append([post("e1"), post("e1")], NOW)
    (later,) = log.append([post("e1")], NOW + timedelta(hours=1))
    assert (again.duplicate, later.duplicate, first.duplicate) == (True, True, False)
    assert first.seq == again.seq == later.seq
    assert sum(map(len, everything(log))) == 1


def test_another_event_of_a_known_id_is_told_as_a_conflict(log: EventLog) -> None:
    (first,) = log.append([post("e1")], NOW)
    (other,) = log.append([post("e1", hashtags=["b"])], NOW)
    assert (other.conflict, other.duplicate, other.seq) == (True, False, first.seq)
    assert sum(map(len, everything(log))) == 1
    assert log.overlay("ada") == Overlay(used=("hashtag:dance",), seq=first.seq)


def test_late_events_are_kept(log: EventLog) -> None:
    late = [post("e1", create_time="2026-05-31T00:00:00Z"), post("e0", create_time="2024-01-01T00:00:00Z")]
    log.append(late, NOW)
    assert [event for shard in everything(log) for _, event in shard] == late


def test_whoever_reads_next_sees_what_a_creator_did(opener: Opener) -> None:
    one, other = opener(), opener()
    for n in range(30):
        one.append([post(f"e{n}", hashtags=[f"tag{n}"])], NOW)
        seen = other.overlay("ada")
        assert seen is not None and f"hashtag:tag{n}" in seen.used
    one.append([feedback("f1", "dismiss", "no"), feedback("f2", "adopt", "yes")], NOW)
    seen = other.overlay("ada")
    assert seen is not None and (seen.dismissed, seen.adopted) == (("hashtag:no",), ("hashtag:yes",))
    assert other.overlay("bob") is None


def test_what_the_packed_state_holds_is_forgotten_but_not_what_was_said(log: EventLog) -> None:
    log.append([post("e1", hashtags=["a", "b"]), feedback("f1", "dismiss", "no"), feedback("f2", "adopt", "yes")], NOW)
    through = log.last_seq(shard_of("ada", log.shards))
    (later,) = log.append([post("e2", hashtags=["b", "c"])], NOW)
    log.forget("ada", through)
    kept = Overlay(("hashtag:b", "hashtag:c"), ("hashtag:yes",), ("hashtag:no",), later.seq)
    assert log.overlay("ada") == kept
    log.forget_through(later.seq, ["ada", "nobody"], shard_of("ada", log.shards))
    said = log.overlay("ada")
    assert said is not None and (said.used, said.dismissed) == ((), ("hashtag:no",))
    log.append([post("e3", "bob")], NOW)
    log.forget("bob", 10**9)
    assert log.overlay("bob") is None


def test_pruning_drops_what_is_both_consumed_and_old(log: EventLog) -> None:
    accepted = log.append([post(f"e{n}") for n in range(10)], NOW - timedelta(days=9))
    log.append([post("young")], NOW)
    shard = shard_of("ada", log.shards)
    assert log.prune(accepted[4].seq, NOW, shard) == 4
    assert log.prune(10**9, NOW - timedelta(days=1), shard) == 6
    assert log.prune(10**9, NOW - timedelta(days=1), shard) == 0
    assert [entry.event.event_id for entry in log.read(0, 100, shard)] == ["young"]
    (again,) = log.append([post("young")], NOW)
    assert again.duplicate
    assert log.overlay("ada") is not None
    assert log.append([post("next")], NOW)[0].seq > again.seq


def test_a_pruned_log_never_uses_a_place_twice(log: EventLog) -> None:
    (last,) = log.append([post("e1")], NOW)
    shard = shard_of("ada", log.shards)
    assert log.prune(10**9, NOW + timedelta(days=1), shard) == 1
    assert log.last_seq(shard) == last.seq
    assert log.append([post("e2")], NOW)[0].seq > last.seq


def test_a_reader_wakes_as_soon_as_something_is_there(opener: Opener) -> None:
    writer, reader = opener(), opener()
    shard = shard_of("ada", writer.shards)
    writer.append([post("e0")], NOW)
    after = reader.read(0, 10, shard)[-1].seq
    assert reader.read(after, 10, shard, wait_seconds=0.05) == []
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(reader.read, after, 10, shard, 1.0)
        time.sleep(0.1)
        writer.append([post("e1")], NOW)
        assert [entry.event.event_id for entry in waiting.result(5)] == ["e1"]


def test_many_clients_at_once_are_all_acknowledged_once(log: EventLog) -> None:
    async def client(name: int) -> list[int]:
        told = []
        for n in range(20):
            told += await log.append_async([post(f"{name}-{n}", f"creator-{name}")], NOW)
        return seqs(told)

    async def all_clients() -> list[list[int]]:
        return await asyncio.gather(*(client(name) for name in range(16)))

    told = asyncio.run(all_clients())
    assert all(places == sorted(places) for places in told)
    found = [seq for shard in everything(log) for seq, _ in shard]
    assert sorted(found) == sorted(place for places in told for place in places)
    assert log.waiting == 0


LETTERS = st.sampled_from("abcd")
TOLD = st.builds(
    lambda place, creator, tag, what: (
        post(f"e{place}", creator, hashtags=[tag], music_id="m", music_title=TITLES[0] if tag == "a" else "Song")
        if what == "post"
        else feedback(f"e{place}", what, tag, creator)
    ),
    st.integers(0, 25),
    LETTERS,
    LETTERS,
    st.sampled_from(["post", "dismiss", "adopt", "click"]),
)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.integers(0, 1), st.lists(TOLD, max_size=4)), max_size=12))
def test_in_any_interleaving_an_id_is_there_once_and_the_overlay_is_the_log_replayed(
    opener: Opener, turns: list[tuple[int, list[Event]]]
) -> None:
    logs = [opener(), opener()]
    known = {(shard, event.event_id): event for shard, found in enumerate(everything(logs[0])) for _, event in found}
    for turn, events in turns:
        for event, one in zip(events, logs[turn].append(events, NOW), strict=True):
            place = (shard_of(getattr(event, "creator_id", ""), logs[0].shards), event.event_id)
            assert one.duplicate == (known.get(place) == event)
            assert one.conflict == (known.setdefault(place, event) != event)
    for shard, found in enumerate(everything(logs[1])):
        ids = [event.event_id for _, event in found]
        assert len(ids) == len(set(ids))
        assert [seq for seq, _ in found] == sorted({seq for seq, _ in found})
        for creator, expected in replayed(logs[1].read(0, 1000, shard)).items():
            assert _sorted(logs[0].overlay(creator)) == expected
    for log in logs:
        log.close()


def _sorted(overlay: Overlay | None) -> Overlay:
    assert overlay is not None
    told = {mark: dict.fromkeys(keys, overlay.seq) for mark, keys in vars(overlay).items() if mark != "seq" and keys}
    return overlay_of(told)


def test_more_than_may_wait_is_refused_until_there_is_room(tmp_path: Path) -> None:
    log = SqliteEventLog(tmp_path / "events.db", max_waiting=4, group=2)
    holder = sqlite3.connect(log.path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor(8) as pool:
        taken = pool.submit(log.append, [post("e0")], NOW)
        until(lambda: log.waiting == 0)
        waiting = [pool.submit(log.append, [post(f"e{n}"), post(f"f{n}")], NOW) for n in (1, 2)]
        until(lambda: log.waiting == 4)
        with pytest.raises(LogBusy, match="again"):
            log.append([post("e3")], NOW)
        holder.execute("COMMIT")
        assert [len(one.result(5)) for one in (taken, *waiting)] == [1, 2, 2]
    assert log.append([post("e3")], NOW)[0].seq == 6
    holder.close()
    log.close()


def test_an_append_that_takes_too_long_is_not_acknowledged_but_safe_to_send_again(tmp_path: Path) -> None:
    log = SqliteEventLog(tmp_path / "events.db", ack_seconds=0.1)
    holder = sqlite3.connect(log.path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(LogUnavailable, match="send them again"):
        log.append([post("e1")], NOW)
    with pytest.raises(LogUnavailable, match="send them again"):
        asyncio.run(log.append_async([post("e2")], NOW))
    holder.execute("COMMIT")
    holder.close()
    until(lambda: bool(log.read(0, 10)))
    assert log.append([post("e1")], NOW)[0].duplicate
    log.close()


def test_readers_never_wait_for_a_writer(tmp_path: Path) -> None:
    log = SqliteEventLog(tmp_path / "events.db")
    log.append([post("e1")], NOW)
    with contextlib.closing(sqlite3.connect(log.path, isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        assert log.overlay("ada") is not None
        assert len(log.read(0, 10)) == 1
    log.close()


def test_a_closed_log_has_written_what_was_waiting_and_takes_no_more(tmp_path: Path) -> None:
    log = SqliteEventLog(tmp_path / "events.db")
    threads = [threading.Thread(target=log.append, args=([post(f"e{n}")], NOW)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    with pytest.raises(LogUnavailable, match="closed"):
        log.append([post("late")], NOW)
    assert len(SqliteEventLog(tmp_path / "events.db").read(0, 100)) == 8


def test_a_file_that_is_no_log_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "events.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(LogUnavailable, match=r"events\.db cannot be used"):
        SqliteEventLog(tmp_path / "events.db")


def test_a_redis_that_may_forget_is_refused(tmp_path: Path) -> None:
    options = (["--appendonly", "no"], ["--appendfsync", "everysec"])
    options += (["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"],)
    for number, told in enumerate(options):
        (folder := tmp_path / str(number)).mkdir()
        server = DurableRedis(folder, *told)
        server.start()
        log = RedisEventLog(server.server.url)
        try:
            with pytest.raises(LogNotDurable, match="set "):
                log.append([post("e1")], NOW)
        finally:
            server.kill()
            log.close()


def test_a_redis_that_does_not_say_how_it_syncs_is_trusted_only_when_told_to(tmp_path: Path) -> None:
    server = DurableRedis(tmp_path, "--rename-command", "CONFIG", "")
    server.start()
    try:
        with pytest.raises(LogNotDurable, match="does not say"):
            RedisEventLog(server.server.url).append([post("e1")], NOW)
        log = RedisEventLog(server.server.url, trust_server=True)
        assert log.append([post("e1")], NOW)[0].seq == 1
        log.close()
    finally:
        server.kill()


def test_another_number_of_shards_is_refused(durable_redis: DurableRedis) -> None:
    durable_redis.server.client().flushall()
    RedisEventLog(durable_redis.server.url, 2, timeout_seconds=2).append([post("e1")], NOW)
    with pytest.raises(LogNotDurable, match="has 2 shards, the settings say 3"):
        RedisEventLog(durable_redis.server.url, 3, timeout_seconds=2).append([post("e1")], NOW)


def test_a_creators_state_and_overlay_come_in_one_read(durable_redis: DurableRedis) -> None:
    durable_redis.server.client().flushall()
    log = RedisEventLog(durable_redis.server.url, SHARDS, timeout_seconds=2)
    assert log.creator("ada") == (None, None)
    log.client.hset(log.creator_key("ada"), STATE, b"\x00packed")
    (one,) = log.append([post("e1")], NOW)
    assert log.creator("ada") == (b"\x00packed", Overlay(used=("hashtag:dance",), seq=one.seq))
    log.forget("ada", one.seq)
    assert log.client.hkeys(log.creator_key("ada")) == [STATE.encode()]
    assert OVERLAY not in log.client.hgetall(log.creator_key("ada"))


def test_in_a_cluster_every_script_keeps_to_one_slot(tmp_path: Path) -> None:
    server = DurableRedis(tmp_path, "--cluster-enabled", "yes")
    server.start()
    node = server.server.client()
    node.execute_command("CLUSTER", "ADDSLOTS", *range(16384))
    until(lambda: b"cluster_state:ok" in node.execute_command("CLUSTER", "INFO"), seconds=15)
    log = RedisEventLog(f"redis+cluster://{server.server.address}", 8, timeout_seconds=2, original_titles=TITLES)
    try:
        events = [post(f"e{n}", f"creator-{n % 10}") for n in range(40)]
        log.append(events, NOW)
        found = [event for shard in everything(log) for _, event in shard]
        assert sorted(event.event_id for event in found) == sorted(event.event_id for event in events)
        assert log.overlay("creator-3") is not None
        log.forget("creator-3", 100)
        assert log.overlay("creator-3") is None
        assert sum(log.prune(1000, NOW + timedelta(days=1), shard) for shard in range(8)) == 40
    finally:
        server.kill()
    with pytest.raises(LogUnavailable):
        log.append([post("e99")], NOW)
    with pytest.raises(LogUnavailable):
        log.overlay("creator-3")
    log.close()


def test_a_redis_that_hangs_does_not_hang_its_callers(tmp_path: Path) -> None:
    server = DurableRedis(tmp_path)
    server.start()
    log = RedisEventLog(server.server.url, timeout_seconds=0.2)
    try:
        log.append([post("e1")], NOW)
        server.send(signal.SIGSTOP)
        with pytest.raises(LogUnavailable, match="TimeoutError"):
            log.overlay("ada")
        with pytest.raises(LogUnavailable, match="a moment ago"):
            log.overlay("ada")
        with pytest.raises(LogUnavailable):
            log.append([post("e2")], NOW)
        server.send(signal.SIGCONT)
        until(lambda: answers(log))
        log.append([post("e2")], NOW)
    finally:
        server.kill()
        log.close()


def answers(log: EventLog) -> bool:
    with contextlib.suppress(LogUnavailable):
        return log.overlay("ada") is not None and bool(log.append([post("e1")], NOW)[0].duplicate)
    return False


def test_the_log_of_the_settings(settings: configs.Settings) -> None:
    log = open_event_log(settings.home, settings.events, settings.trends.pool.original_titles)
    assert isinstance(log, SqliteEventLog)
    assert log.path == settings.home / "events" / "events.db"
    log.close()


def test_events_in_redis_need_its_address(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("HARMONIC_EVENTS__STORE", "redis")
    with pytest.raises(configs.SettingsError, match="HARMONIC_EVENTS__REDIS"):
        configs.load(home=home)
    monkeypatch.setenv("HARMONIC_EVENTS__REDIS", "redis://127.0.0.1:1/0")
    settings = configs.load(home=home)
    log = open_event_log(home, settings.events, ())
    with pytest.raises(LogUnavailable):
        log.append([post("e1")], NOW)
    log.close()


def until(holds: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)
