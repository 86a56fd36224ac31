"""The event log: what was told is appended once and durably, then read in order; the contract of both stores.

An event is acknowledged when a power cut cannot lose it. In the same transaction the *overlay* of its creator is
written: what they did since their packed state was computed, so that their next request sees it on any worker.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, Protocol

from features.events import Entry, Event, creator_of, marks, pack, unpack
from features.history import micros

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Accepted(NamedTuple):
    """What became of one event.

    Attributes:
        seq: its place in the log; of a duplicate, or a conflict, the place of the event that came first.
        event_id: the event's own id.
        duplicate: the log had this very event; it was not appended again.
        conflict: the log has *another* event of this id; this one was refused.
    """

    seq: int
    event_id: str
    duplicate: bool = False
    conflict: bool = False


@dataclass(frozen=True)
class Overlay:
    """What a creator did since their packed state, as trend keys, and the place of the latest event among it.

    Whoever reads both reads the overlay *first*: the consumer writes the state before it forgets the overlay, so
    that one of the two always holds the event.

    Attributes:
        used: hashtags and sounds of their own posts that their packed state may not hold yet.
        adopted, dismissed: what they said of recommendations; never forgotten.
        seq: the largest place in the log.

    Keys are interned, for a process that remembers many creators reads the same ones of most of them.
    """

    used: tuple[str, ...] = ()
    adopted: tuple[str, ...] = ()
    dismissed: tuple[str, ...] = ()
    seq: int = 0


class EventLog(Protocol):
    """An append-only log in one or more shards; places are whole numbers that rise within a shard.

    All events of one creator are in one shard, and an id is known within its shard: the same event sent again goes
    where it went before. Every method may raise `LogUnavailable`.
    """

    shards: int

    @property
    def waiting(self) -> int:
        """Events of this process that wait to be written."""
        ...

    def append(self, events: Sequence[Event], received_at: datetime) -> list[Accepted]:
        """Makes events durable; an id that the log knows already is not appended again.

        Args:
            events: in the order they happened.
            received_at: when they came in (UTC).

        Raises:
            LogBusy: too many events are waiting.
            LogUnavailable: they may or may not be in the log; sending them again is safe.
        """
        ...

    async def append_async(self, events: Sequence[Event], received_at: datetime) -> list[Accepted]:
        """The same, without blocking the event loop."""
        ...

    def read(self, after_seq: int, limit: int, shard: int = 0, wait_seconds: float = 0.0) -> list[Entry]:
        """The next events of a shard, waiting for the first one if there is none."""
        ...

    def last_seq(self, shard: int = 0) -> int:
        """The place of the latest event of a shard, 0 where there never was one."""
        ...

    def overlay(self, creator_id: str) -> Overlay | None:
        """What a creator did lately; None where there is nothing."""
        ...

    def forget(self, creator_id: str, through_seq: int) -> None:
        """Drops what a creator used, up to a place, once their packed state holds it; what they said stays."""
        ...

    def forget_through(self, through_seq: int, creators: Collection[str], shard: int = 0) -> None:
        """The same for many creators of one shard."""
        ...

    def prune(self, before_seq: int, received_before: datetime, shard: int = 0) -> int:
        """Drops events that lie before a place *and* came in before an instant; returns how many.

        The ids of younger events stay known.
        """
        ...

    def close(self) -> None:
        """Writes what is waiting and lets go of files and connections."""
        ...


class Prepared(NamedTuple):
    """An event as the stores write it.

    Attributes:
        route: what decides its shard.
        marks: its changes to the creator's overlay.
    """

    event_id: str
    route: str
    creator_id: str | None
    received_us: int
    body: bytes
    marks: list[tuple[str, str]]


def prepare(events: Iterable[Event], received_at: datetime, original_titles: Collection[str]) -> list[Prepared]:
    """Everything of an append that needs no lock."""
    received = micros(received_at)
    return [
        Prepared(event.event_id, _route(event), creator_of(event), received, pack(event), marks(event, original_titles))
        for event in events
    ]


def _route(event: Event) -> str:
    """Events of one creator, of one trend, or of one video go the same way."""
    return creator_of(event) or str(getattr(event, "trend_id", None) or getattr(event, "id", ""))


def shard_of(route: str, shards: int) -> int:
    """The shard of a creator, the same in every process."""
    return zlib.crc32(route.encode()) % shards


def digest(body: bytes) -> bytes:
    """32 hex digits that tell events apart."""
    return hashlib.blake2b(body, digest_size=16).hexdigest().encode()


def entry(seq: int, received_us: int, body: bytes) -> Entry:
    """An event as it was read."""
    return Entry(seq, _EPOCH + timedelta(microseconds=received_us), unpack(body))
