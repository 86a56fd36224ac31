from __future__ import annotations

import contextlib
import multiprocessing
import random
import signal
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from features.errors import LogUnavailable
from features.eventlog.log import EventLog
from features.eventlog.redis import RedisEventLog
from features.eventlog.sqlite import SqliteEventLog
from features.events import Entry
from tests.features.event_logs import NOW, TITLES, DurableRedis, post, replayed

KILLS = 10
CLIENTS = 4

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.features.test_event_kill"])


def open_log(where: str) -> EventLog:
    if where.startswith("redis"):
        return RedisEventLog(where, 2, timeout_seconds=2, original_titles=TITLES, ack_seconds=30)
    return SqliteEventLog(Path(where), TITLES, ack_seconds=30)


def write(where: str, name: str, limit: int, pipe: Connection) -> None:
    """Appends event after event from several threads, and says which were acknowledged, and where they are."""
    log = open_log(where)
    telling = threading.Lock()

    def client(number: int) -> None:
        for n in range(limit):
            shared = n % 3 == 0  # every third event is sent by all clients of all writers
            event_id = f"shared-{n}" if shared else f"{name}-{number}-{n}"
            creator = "everybody" if shared else f"creator-{n % 7}"
            try:
                (one,) = log.append([post(event_id, creator, hashtags=[f"tag{n % 5}"])], NOW)
            except LogUnavailable:
                time.sleep(0.02)
                continue
            with telling:
                pipe.send_bytes(f"{event_id} {one.seq} {int(one.conflict)}".encode())

    pipe.send_bytes(b"ready")
    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Writer:
    """A writing process, from the instant it is ready."""

    def __init__(self, where: str, name: str, limit: int = 100_000) -> None:
        self._pipe, its_end = FORKS.Pipe(duplex=False)
        self.process = FORKS.Process(target=write, args=(where, name, limit, its_end))
        self.process.start()
        its_end.close()
        assert self._pipe.recv_bytes() == b"ready"
        self._lines: list[bytes] = []
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        assert self.process.exitcode == -signal.SIGKILL

    def acknowledged(self) -> list[tuple[str, int]]:
        """What the process said until it ended."""
        self._listener.join()
        lines = [line.split() for line in self._lines]
        assert not any(line[2] == b"1" for line in lines)
        return [(line[0].decode(), int(line[1])) for line in lines]

    def _listen(self) -> None:
        with contextlib.suppress(EOFError):
            while True:
                self._lines.append(self._pipe.recv_bytes())


def moments() -> Iterator[float]:
    chance = random.Random(11)
    return (chance.uniform(0.02, 0.3) for _ in range(KILLS))


def check(log: EventLog, acknowledged: list[tuple[str, int]]) -> None:
    """Every acknowledged event is where it was said to be, none is there twice, and the overlays agree."""
    places: dict[str, int] = {}
    for shard in range(log.shards):
        entries: list[Entry] = []
        while page := log.read(entries[-1].seq if entries else 0, 5_000, shard):
            entries += page
        ids = [entry.event.event_id for entry in entries]
        assert len(ids) == len(set(ids))
        places |= {entry.event.event_id: entry.seq for entry in entries}
        for creator, expected in replayed(entries).items():
            found = log.overlay(creator)
            assert found is not None and (sorted(found.used), found.seq) == (list(expected.used), expected.seq)
    assert [(event_id, places.get(event_id)) for event_id, _ in acknowledged] == acknowledged


def test_two_processes_that_append_the_same_events_at_once_append_each_once(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    writers = [Writer(str(path), name, 40) for name in ("a", "b")]
    acknowledged = [one for writer in writers for one in writer.acknowledged()]
    assert len(acknowledged) == 2 * CLIENTS * 40
    log = open_log(str(path))
    check(log, acknowledged)
    assert log.last_seq() == len({event_id for event_id, _ in acknowledged})
    log.close()


def test_a_writer_killed_at_any_moment_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    bystander = Writer(str(path), "bystander")
    acknowledged = []
    for number, moment in enumerate(moments()):
        writer = Writer(str(path), f"writer{number}")
        time.sleep(moment)
        writer.kill()
        acknowledged += writer.acknowledged()
    bystander.kill()
    assert len(acknowledged) > 2 * KILLS
    log = open_log(str(path))
    check(log, acknowledged + bystander.acknowledged())
    log.close()


def test_a_redis_killed_at_any_moment_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    server = DurableRedis(tmp_path)
    server.start()
    writer = Writer(server.server.url, "writer")
    log = open_log(server.server.url)
    log.append([post("before")], NOW)
    try:
        for moment in moments():
            time.sleep(moment)
            server.kill()
            with pytest.raises(LogUnavailable):
                log.overlay("ada")
            with pytest.raises(LogUnavailable):
                log.append([post("while")], NOW)
            server.start()
            assert log.append([post("before")], NOW)[0].duplicate
        writer.kill()
        assert len(writer.acknowledged()) > 2 * KILLS
        check(log, writer.acknowledged())
    finally:
        writer.process.kill()
        log.close()
        server.kill()
