"""Stage «hydrate»: one small read brings the creator's whole state."""

from __future__ import annotations

import dataclasses
import sqlite3
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import numpy as np
import orjson

from features.errors import LogUnavailable
from features.eventlog.log import Overlay
from features.patches.sqlite_changes import SqliteChanges
from models.creator import Creator
from serving.errors import StatesUnavailable, UnknownCreator
from serving.process.remote import redis_losses
from serving.schemas import RankQuery

if TYPE_CHECKING:
    from features.eventlog.redis import RedisEventLog

TEXTS: Final = ("creator_id", "known", "region", "trend_keys", "words", "adopted", "dismissed")
FLOATS: Final = ("profile", "taste", "hour_profile", "weekday_profile")
STATE: Final = "state"
ASK_AGAIN_SECONDS: Final = 0.5
Marks = tuple[bytes | None, ...]
MOST_KEPT: Final = 2_048
"""Creators that a process remembers; one takes about 10 kB."""


class CreatorStates(Protocol):
    """Where creators are read, one at a time."""

    def get(self, creator_id: str) -> Creator | None:
        """One creator, None for somebody nobody has seen."""
        ...

    def ids(self) -> Iterator[str]:
        """Every known creator's id, sorted."""
        ...


class GivenStates:
    """Creators that a job holds in memory."""

    def __init__(self, creators: Mapping[str, Creator]) -> None:
        self._creators = creators

    def get(self, creator_id: str) -> Creator | None:
        """See `CreatorStates.get`."""
        return self._creators.get(creator_id)

    def ids(self) -> Iterator[str]:
        """See `CreatorStates.ids`."""
        return iter(sorted(self._creators))


class CreatorStore(CreatorStates, Protocol):
    """Where creators are kept; what later events made of one is never overwritten by what earlier ones did."""

    def put(self, creators: Iterable[Creator], as_of: datetime, through_seq: int) -> None:
        """Keep creators as they are after every event up to a place of the event log."""
        ...

    def replace(self, creators: Iterable[Creator], as_of: datetime, through_seq: int = 0) -> int:
        """Make these the creators that are known, but for those who changed after `through_seq`; returns how many."""
        ...


class Kept(NamedTuple):
    """A creator as they were read last.

    Attributes:
        body, lately: what was read: the packed state, and what they did since.
        marks: of the files just before.
    """

    creator: Creator
    body: bytes | None
    lately: Overlay | None
    marks: Marks | None


class PackedStates:
    """Packed creator states by id in one SQLite file; readable by many processes while one writes.

    Of the creators who asked lately, nothing is read as long as nobody has written anything.

    Args:
        path: the file.
        overlay: what a creator did that their state may not hold yet.
        events: the file that the overlay is read from; without it every read is made anew.
    """

    def __init__(
        self, path: Path, overlay: Callable[[str], Overlay | None] | None = None, events: Path | None = None
    ) -> None:
        self.path = path
        self._overlay = overlay
        self._connection: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection | None = None
        self._files = [] if overlay and not events else [SqliteChanges(file) for file in (path, events) if file]
        self._kept: dict[str, Kept] = {}
        self._keeping = threading.Lock()

    def replace(self, creators: Iterable[Creator], as_of: datetime, through_seq: int = 0) -> int:
        """See `CreatorStore.replace`; in one transaction."""
        rows = [(c.creator_id, pack(c), as_of.isoformat(), through_seq) for c in creators]
        with closing(self._connect()) as connection, connection:
            connection.execute("DELETE FROM state WHERE through_seq <= ?", (through_seq,))
            newer = {row[0] for row in connection.execute("SELECT id FROM state")}
            connection.executemany("INSERT INTO state VALUES (?, ?, ?, ?)", [r for r in rows if r[0] not in newer])
        return len(rows)

    def put(self, creators: Iterable[Creator], as_of: datetime, through_seq: int) -> None:
        """See `CreatorStore.put`; always from the same thread."""
        rows = [(c.creator_id, pack(c), as_of.isoformat(), through_seq) for c in creators]
        self._writer = self._writer or self._connect()
        with self._writer as connection:
            connection.executemany(
                "INSERT INTO state VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body, "
                "as_of = excluded.as_of, through_seq = excluded.through_seq "
                "WHERE excluded.through_seq >= state.through_seq",
                rows,
            )

    def get(self, creator_id: str) -> Creator | None:
        """See `CreatorStates.get`; with what they did since their state was made."""
        kept, marks = self._kept.get(creator_id), self._marks()
        if kept and marks and kept.marks == marks:
            return kept.creator
        # The overlay is read first: it is forgotten only after the state that holds it was written.
        lately = self._overlay(creator_id) if self._overlay else None
        row = self._read().execute("SELECT body FROM state WHERE id = ?", (creator_id,)).fetchone()
        body = row[0] if row else None
        if kept and kept.body == body and kept.lately == lately:
            self._keep(kept._replace(marks=marks))  # not what was read now: the creator lies in the bytes of before
            return kept.creator
        if creator := merged(creator_id, unpack(body) if body else None, lately):
            self._keep(Kept(creator, body, lately, marks))
        return creator

    def _marks(self) -> Marks | None:
        """The same as long as nobody has written; None where nobody can tell."""
        marks = [file.mark() for file in self._files]
        return tuple(marks) if marks and None not in marks else None

    def _keep(self, kept: Kept) -> None:
        with self._keeping:
            self._kept.pop(kept.creator.creator_id, None)  # the oldest come first
            self._kept[kept.creator.creator_id] = kept
            if len(self._kept) > MOST_KEPT:
                del self._kept[next(iter(self._kept))]

    def ids(self) -> Iterator[str]:
        """See `CreatorStates.ids`."""
        return (row[0] for row in self._read().execute("SELECT id FROM state ORDER BY id"))

    def _read(self) -> sqlite3.Connection:
        if self._connection is None:
            uri = f"{self.path.absolute().as_uri()}?mode=ro"
            self._connection = sqlite3.connect(uri, uri=True, check_same_thread=False, timeout=5)
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, timeout=30)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS state "
            "(id TEXT PRIMARY KEY, body BLOB NOT NULL, as_of TEXT NOT NULL, through_seq INTEGER NOT NULL)"
        )
        return connection


class RedisStates:
    """Packed creator states in the hashes that hold the overlays, so that one read brings both.

    Once a read has failed, callers do without at once, whatever ails Redis; a thread asks until there is an answer.

    Args:
        events: the event log; its layout says where a creator is kept.
    """

    def __init__(self, events: RedisEventLog) -> None:
        self._events = events
        self._is_lost = False

    def put(self, creators: Iterable[Creator], as_of: datetime, through_seq: int) -> None:
        """See `CreatorStore.put`.

        Raises:
            StatesUnavailable: Redis does not answer.
        """
        self._write(creators, as_of, lambda creator_id: through_seq)

    def replace(self, creators: Iterable[Creator], as_of: datetime, through_seq: int = 0) -> int:
        """See `CreatorStore.replace`; who is no longer known stays, for nobody can list them cheaply.

        Raises:
            StatesUnavailable: Redis does not answer.
        """
        return self._write(creators, as_of, lambda creator_id: through_seq)

    def get(self, creator_id: str) -> Creator | None:
        """See `CreatorStates.get`; with what they did since their state was made.

        Raises:
            StatesUnavailable: Redis does not answer.
        """
        if self._is_lost:
            raise StatesUnavailable("the store of creators did not answer a moment ago")
        try:
            state, lately = self._events.creator(creator_id)
        except LogUnavailable as error:
            self._is_lost = True
            threading.Thread(target=self._find_again, name="creators", daemon=True).start()
            raise StatesUnavailable("the store of creators does not answer") from error
        return merged(creator_id, unpack(state) if state else None, lately)

    def _find_again(self) -> None:
        while self._is_lost:
            time.sleep(ASK_AGAIN_SECONDS)
            with suppress(LogUnavailable):
                self._events.creator("")
                self._is_lost = False

    def ids(self) -> Iterator[str]:
        """See `CreatorStates.ids`; in no order, and slow: for warming up only.

        Raises:
            StatesUnavailable: Redis does not answer.
        """
        shard, _, name = self._events.creator_key("").partition("}")
        try:
            for key in self._events.client.scan_iter(f"{shard.rstrip('0123456789')}*}}{name}*", count=1_000):
                if self._events.client.hexists(key, STATE):
                    yield key.decode().partition(name)[2]
        except redis_losses() as error:
            raise StatesUnavailable("the store of creators does not answer") from error

    def _write(self, creators: Iterable[Creator], as_of: datetime, through: Callable[[str], int]) -> int:
        written = 0
        try:
            for creator in creators:
                key = self._events.creator_key(creator.creator_id)
                arguments = (pack(creator), as_of.isoformat(), through(creator.creator_id))
                self._events.client.eval(_PUT, 1, key, *arguments)
                written += 1
        except redis_losses() as error:
            raise StatesUnavailable("the store of creators does not answer") from error
        return written


_PUT: Final = """
if tonumber(redis.call('HGET', KEYS[1], 'through') or -1) <= tonumber(ARGV[3]) then
  redis.call('HSET', KEYS[1], 'state', ARGV[1], 'as_of', ARGV[2], 'through', ARGV[3])
end
"""


def most_active(states: CreatorStates) -> Creator:
    """The creator with the most posts in the last 28 days.

    Raises:
        UnknownCreator: nobody is known.
    """
    known = [creator for creator_id in states.ids() if (creator := states.get(creator_id))]
    if not known:
        raise UnknownCreator("no creator is known: ingest posts first")
    return max(known, key=lambda creator: creator.column("posts_28d"))


def merged(creator_id: str, creator: Creator | None, lately: Overlay | None) -> Creator | None:
    """A creator's state with what they did since; of somebody without a state, what they did is all there is."""
    if lately is None:
        return creator
    creator = creator or Creator.newcomer(creator_id)
    return creator.since(lately.used, lately.adopted, lately.dismissed)


def pack(creator: Creator) -> bytes:
    """A creator as bytes: the texts as JSON, the floats as they are."""
    arrays = [np.ascontiguousarray(getattr(creator, name), "<f8") for name in FLOATS]
    texts = [getattr(creator, name) for name in TEXTS]
    head = orjson.dumps([texts, [len(array) for array in arrays]])
    return struct.pack("<I", len(head)) + head + b"".join(array.tobytes() for array in arrays)


def unpack(state: bytes) -> Creator:
    """The inverse of `pack`; the arrays are read-only."""
    (length,) = struct.unpack_from("<I", state)
    (creator_id, known, region, *keys), sizes = orjson.loads(state[4 : 4 + length])
    floats, at = np.frombuffer(state, np.float64, offset=4 + length), 0
    # Most creators used the same trends: what is remembered of many holds each name once.
    texts = (tuple(map(sys.intern, names)) for names in keys)
    fields: dict[str, Any] = dict(zip(TEXTS[3:], texts, strict=True))
    for name, size in zip(FLOATS, sizes, strict=True):
        fields[name] = floats[at : at + size]
        at += size
    return Creator(creator_id, known, region, **fields)


def hydrate(query: RankQuery, states: CreatorStates) -> tuple[Creator, bool]:
    """The creator of a query, with the region it declares; a newcomer where nobody knows them.

    Returns:
        The creator, and whether they could not be read and were taken for a newcomer.
    """
    try:
        creator, degraded = states.get(query.creator_id), False
    except StatesUnavailable:
        creator, degraded = None, True
    if creator is None or not creator.known:
        newcomer = Creator.newcomer(query.creator_id, query.region, query.tags)
        known = newcomer.since(creator.trend_keys, creator.adopted, creator.dismissed) if creator else newcomer
        return known, degraded
    return dataclasses.replace(creator, region=query.region) if query.region else creator, degraded
