"""Where given strategies are kept: a SQLite file beside the event log on one machine, Redis in production."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from configs import Settings
from serving.errors import OutcomesUnavailable
from serving.process.queues import BatchQueue
from serving.process.remote import redis_client, redis_losses
from serving.strategies.following.given import Given

if TYPE_CHECKING:
    from redis import Redis

log = logging.getLogger(__name__)

FILE: Final = "strategies.db"
BUSY_SECONDS: Final = 2.0
AGAIN_SECONDS: Final = 1
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS given (
    strategy_id TEXT PRIMARY KEY, creator_id TEXT NOT NULL, given_at REAL NOT NULL, body TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS given_to ON given (creator_id);
"""


class GivenStore(Protocol):
    """Keeps given strategies. Every method raises OutcomesUnavailable while the store cannot be reached."""

    def add(self, one: Given) -> bool:
        """Keep one durably; of an id that is known already the first stays, and the answer is False."""
        ...

    def get(self, strategy_id: str) -> Given | None:
        """One strategy, None where none of that id was given."""
        ...

    def all(self) -> Iterator[Given]:
        """Every strategy, the oldest first."""
        ...

    def erase(self, creator_id: str) -> int:
        """Forget everything that was given to a creator; returns how many strategies."""
        ...


def given_store(settings: Settings) -> GivenStore:
    """The store of these settings."""
    if settings.events.store == "redis":
        assert settings.events.redis is not None
        return RedisGiven(settings.events.redis.get_secret_value(), settings.events.timeout_seconds)
    return SqliteGiven((settings.home / settings.events.path).with_name(FILE))


class SqliteGiven:
    """In one SQLite file that only its owner may read, synced at every commit.

    The connection stays open, and its users take turns: closing the last one would write the whole file anew.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._turn = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def add(self, one: Given) -> bool:
        """See `GivenStore.add`; what is known already costs one look into an index."""
        with self._open() as connection:
            known = connection.execute("SELECT 1 FROM given WHERE strategy_id = ?", (one.strategy_id,)).fetchone()
            if known:
                return False
            row = (one.strategy_id, one.creator_id, one.given_at.timestamp(), one.model_dump_json())
            return connection.execute("INSERT OR IGNORE INTO given VALUES (?, ?, ?, ?)", row).rowcount == 1

    def get(self, strategy_id: str) -> Given | None:
        """See `GivenStore.get`."""
        with self._open() as connection:
            row = connection.execute("SELECT body FROM given WHERE strategy_id = ?", (strategy_id,)).fetchone()
        return _read(row[0]) if row else None

    def all(self) -> Iterator[Given]:
        """See `GivenStore.all`."""
        with self._open() as connection:
            rows = connection.execute("SELECT body FROM given ORDER BY given_at, strategy_id").fetchall()
        return (one for row in rows if (one := _read(row[0])) is not None)

    def erase(self, creator_id: str) -> int:
        """See `GivenStore.erase`; nothing of it stays in the file or in its log."""
        with self._open() as connection:
            connection.execute("PRAGMA secure_delete = ON")
            gone = connection.execute("DELETE FROM given WHERE creator_id = ?", (creator_id,)).rowcount
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return gone

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with self._turn:
            try:
                if self._connection is None or not self._path.exists():
                    self._connection = self._connect()
                yield self._connection
            except (sqlite3.Error, OSError) as error:
                self._connection = None
                raise OutcomesUnavailable(f"{self._path.name} cannot be used: {error}", AGAIN_SECONDS) from error

    def _connect(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.touch(mode=0o600)
        connection = sqlite3.connect(self._path, BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.executescript(_TABLES)
        return connection


class RedisGiven:
    """In Redis: each strategy a string of its own, its id among its creator's, and the creator among all.

    Ids are written before what they name, and go after it, so that whatever was cut short, nothing stays that `erase`
    does not find.
    """

    CREATORS: Final = "hb:given"

    def __init__(self, address: str, timeout_seconds: float) -> None:
        self._address, self._timeout_seconds = address, timeout_seconds
        self._connected: Redis | None = None

    def add(self, one: Given) -> bool:
        """See `GivenStore.add`."""
        with self._reached() as redis:
            redis.sadd(self.CREATORS, one.creator_id)
            redis.sadd(self._of(one.creator_id), one.strategy_id)
            return bool(redis.set(self._key(one.strategy_id), one.model_dump_json(), nx=True))

    def get(self, strategy_id: str) -> Given | None:
        """See `GivenStore.get`."""
        with self._reached() as redis:
            body: Any = redis.get(self._key(strategy_id))
        return _read(body) if body else None

    def all(self) -> Iterator[Given]:
        """See `GivenStore.all`."""
        with self._reached() as redis:
            creators: Any = redis.smembers(self.CREATORS)
            ids: list[Any] = [name for creator in creators for name in self._members(redis, creator.decode())]
        kept = [one for name in ids if (one := self.get(name.decode())) is not None]
        return iter(sorted(kept, key=lambda one: (one.given_at, one.strategy_id)))

    def erase(self, creator_id: str) -> int:
        """See `GivenStore.erase`."""
        with self._reached() as redis:
            gone = sum(int(str(redis.delete(self._key(i.decode())))) for i in self._members(redis, creator_id))
            redis.delete(self._of(creator_id))
            redis.srem(self.CREATORS, creator_id)
        return gone

    def _members(self, redis: Redis, creator_id: str) -> Any:
        return redis.smembers(self._of(creator_id))

    @contextmanager
    def _reached(self) -> Iterator[Redis]:
        try:
            self._connected = self._connected or redis_client(self._address, self._timeout_seconds)
            yield self._connected
        except redis_losses() as error:
            said = type(error).__name__  # its text may name the address, and that a password
            raise OutcomesUnavailable(f"given strategies in Redis cannot be reached: {said}", AGAIN_SECONDS) from None

    @staticmethod
    def _key(strategy_id: str) -> str:
        return f"hb:given:strategy:{strategy_id}"

    @staticmethod
    def _of(creator_id: str) -> str:
        return f"hb:given:to:{creator_id}"


def _read(body: str | bytes) -> Given | None:
    """A strategy as it was kept; None where another version of this program wrote it in a way that is not known."""
    try:
        return Given.model_validate_json(body)
    except ValueError:
        log.warning("a given strategy cannot be read, and is left out")
        return None


class GivenBook:
    """Writes strategies down as they are given: in a thread, at once, and again later where the store is lost.

    Args:
        store: where to.
        most: how many may wait for a lost store.
        patience_seconds: how long an answer waits for its strategy to be durable, so that it is found by the next
            request; after that it is answered, and written all the same.
    """

    def __init__(self, store: GivenStore, most: int = 10_000, patience_seconds: float = 0.02) -> None:
        self._store, self._patience = store, patience_seconds
        self.queue: BatchQueue[Given] = BatchQueue("given strategies", self._write_batch, most, AGAIN_SECONDS)
        self._writing: set[asyncio.Future[None]] = set()

    async def keep(self, one: Given) -> None:
        """Write one down."""
        writing = asyncio.ensure_future(asyncio.to_thread(self._write, one))
        self._writing.add(writing)  # the loop itself keeps no reference
        writing.add_done_callback(self._writing.discard)
        await asyncio.wait({writing}, timeout=self._patience)

    def close(self, seconds: float) -> int:
        """Write what waits, for so long at the most; returns how many were left behind."""
        return self.queue.close(seconds)

    def _write(self, one: Given) -> None:
        try:
            self._store.add(one)
        except OutcomesUnavailable as error:
            if not self.queue.put(one):
                log.error("a given strategy is lost: %s, and too many wait", error)

    def _write_batch(self, batch: list[Given]) -> None:
        try:
            for one in batch:
                self._store.add(one)
        except OutcomesUnavailable as error:
            raise OSError(str(error)) from error
