"""The event log of one machine: a SQLite file that many processes append to and read."""

from __future__ import annotations

import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

from features.errors import LogBusy, LogUnavailable
from features.eventlog.log import Accepted, Overlay, Prepared, entry
from features.eventlog.writer import GroupedLog
from features.events import Entry
from features.history import micros

BUSY_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 0.0005
"""SQLite's own wait for a lock sleeps up to a tenth of a second; a commit takes a fraction of a millisecond."""
POLL_SECONDS: Final = 0.003
CHUNK: Final = 2_000
"""Rows that one transaction of `prune` deletes, so that appends get their turn."""
CHECKPOINT_PAGES: Final = 4_000

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS event (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL UNIQUE,
    received_us INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS overlay (
    creator_id TEXT NOT NULL,
    mark TEXT NOT NULL,
    trend_key TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (creator_id, mark, trend_key)
) WITHOUT ROWID;
"""
_MARK: Final = """
INSERT INTO overlay VALUES (?, ?, ?, ?)
ON CONFLICT (creator_id, mark, trend_key) DO UPDATE SET seq = excluded.seq
"""

_Answer = TypeVar("_Answer")


class SqliteEventLog(GroupedLog):
    """See `EventLog`; write-ahead logged and synced at every commit, so readers never wait.

    Args:
        path: the file; made where it does not exist.
        original_titles, max_waiting, group, ack_seconds: see `GroupedLog`.
    """

    shards = 1

    def __init__(
        self,
        path: Path,
        original_titles: Collection[str] = (),
        max_waiting: int = 10_000,
        group: int = 1_000,
        ack_seconds: float = 5.0,
    ) -> None:
        super().__init__(original_titles, max_waiting, group, ack_seconds)
        self.path = path
        self._local = threading.local()
        self._open: list[sqlite3.Connection] = []
        path.parent.mkdir(parents=True, exist_ok=True)
        with _told(path):
            connection = self._connect(synchronous="FULL")
            connection.executescript(_SCHEMA)
            self._discard(connection)

    def read(self, after_seq: int, limit: int, shard: int = 0, wait_seconds: float = 0.0) -> list[Entry]:
        """See `EventLog.read`; looks again every few milliseconds."""
        until = time.monotonic() + wait_seconds
        while not (rows := self._rows(after_seq, limit)) and time.monotonic() < until:
            self._await_commit(until)
        return [entry(*row) for row in rows]

    def last_seq(self, shard: int = 0) -> int:
        """See `EventLog.last_seq`."""
        query = "SELECT seq FROM sqlite_sequence WHERE name = 'event'"
        row = self._ask(lambda reader: reader.execute(query).fetchone())
        return int(row[0]) if row else 0

    def overlay(self, creator_id: str) -> Overlay | None:
        """See `EventLog.overlay`; one look into an index."""
        query = "SELECT mark, trend_key, seq FROM overlay WHERE creator_id = ?"
        rows = self._ask(lambda reader: reader.execute(query, (creator_id,)).fetchall())
        if not rows:
            return None
        keys: dict[str, list[str]] = {"used": [], "adopted": [], "dismissed": []}
        for mark, key, _ in rows:
            keys[mark].append(sys.intern(key))
        return Overlay(
            tuple(keys["used"]), tuple(keys["adopted"]), tuple(keys["dismissed"]), max(seq for _, _, seq in rows)
        )

    def forget(self, creator_id: str, through_seq: int) -> None:
        """See `EventLog.forget`."""
        self.forget_through(through_seq, (creator_id,))

    def forget_through(self, through_seq: int, creators: Collection[str], shard: int = 0) -> None:
        """See `EventLog.forget_through`."""
        with self._transaction(self._upkeep()) as connection:
            connection.executemany(
                "DELETE FROM overlay WHERE creator_id = ? AND mark = 'used' AND seq <= ?",
                [(creator_id, through_seq) for creator_id in creators],
            )

    def prune(self, before_seq: int, received_before: datetime, shard: int = 0) -> int:
        """See `EventLog.prune`."""
        younger = "SELECT seq FROM event WHERE received_us >= ? ORDER BY seq LIMIT 1"
        row = self._ask(lambda reader: reader.execute(younger, (micros(received_before),)).fetchone())
        before_seq = min(before_seq, row[0]) if row else before_seq
        pruned = 0
        while True:
            with self._transaction(self._upkeep()) as connection:
                old = "SELECT seq FROM event WHERE seq < ? ORDER BY seq LIMIT ?"
                gone = connection.execute(f"DELETE FROM event WHERE seq IN ({old})", (before_seq, CHUNK)).rowcount
            pruned += gone
            if gone < CHUNK:
                return pruned

    def close(self) -> None:
        """See `EventLog.close`."""
        super().close()
        for connection in self._open:
            connection.close()
        self._open.clear()
        self._local = threading.local()

    def _commit(self, events: list[Prepared]) -> list[Accepted]:
        connection = self._connection("writer", "FULL")
        try:
            with self._transaction(connection):
                return [_append(connection, event) for event in events]
        except LogBusy:
            raise
        except LogUnavailable:
            # After a full disk or a lost file the next append starts afresh.
            self._discard(connection)
            self._local.writer = None
            raise

    def _rows(self, after_seq: int, limit: int) -> list[tuple[int, int, bytes]]:
        query = "SELECT seq, received_us, body FROM event WHERE seq > ? ORDER BY seq LIMIT ?"
        return self._ask(lambda reader: reader.execute(query, (after_seq, limit)).fetchall())

    def _await_commit(self, until: float) -> None:
        """Returns when any connection has committed, or at `until`."""

        def version(reader: sqlite3.Connection) -> int:
            return int(reader.execute("PRAGMA data_version").fetchone()[0])

        seen = getattr(self._local, "version", None)
        while (now := self._ask(version)) == seen and time.monotonic() < until:
            time.sleep(POLL_SECONDS)
        self._local.version = now

    def _ask(self, question: Callable[[sqlite3.Connection], _Answer]) -> _Answer:
        try:
            return question(self._connection("reader", "NORMAL"))
        except sqlite3.Error as error:
            raise _unavailable(self.path, error) from error

    def _upkeep(self) -> sqlite3.Connection:
        """For what may be lost in a power cut and done again."""
        return self._connection("upkeep", "NORMAL")

    def _connection(self, purpose: str, synchronous: str) -> sqlite3.Connection:
        """This thread's own connection."""
        connection: sqlite3.Connection | None = getattr(self._local, purpose, None)
        if connection is None:
            with _told(self.path):
                connection = self._connect(synchronous)
            setattr(self._local, purpose, connection)
        return connection

    def _connect(self, synchronous: str) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        self._open.append(connection)
        return connection

    def _discard(self, connection: sqlite3.Connection) -> None:
        self._open.remove(connection)
        connection.close()

    @contextmanager
    def _transaction(self, connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
        """All or nothing, after the writers before it."""
        with _told(self.path):
            _begin(connection)
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")


def _append(connection: sqlite3.Connection, event: Prepared) -> Accepted:
    query = "SELECT seq, body FROM event WHERE event_id = ?"
    if known := connection.execute(query, (event.event_id,)).fetchone():
        same = known[1] == event.body
        return Accepted(known[0], event.event_id, duplicate=same, conflict=not same)
    insert = "INSERT INTO event (event_id, received_us, body) VALUES (?, ?, ?)"
    seq = connection.execute(insert, (event.event_id, event.received_us, event.body)).lastrowid
    assert seq is not None
    connection.executemany(_MARK, [(event.creator_id, mark, key, seq) for mark, key in event.marks])
    return Accepted(seq, event.event_id)


def _begin(connection: sqlite3.Connection) -> None:
    """Starts writing as soon as no other process does."""
    until = time.monotonic() + BUSY_SECONDS
    connection.execute("PRAGMA busy_timeout = 0")
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            if time.monotonic() > until:
                raise LogBusy("another process has been writing to the event log for too long") from None
            time.sleep(RETRY_SECONDS)
        else:
            return


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _unavailable(path, error) from error


def _unavailable(path: Path, error: sqlite3.Error) -> LogUnavailable:
    return LogUnavailable(f"the event log {path.name} cannot be used: {error}")
