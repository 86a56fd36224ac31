"""Stage «hydrate»: one small read brings the creator's whole state."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Protocol

import numpy as np
import orjson

from models.creator import Creator
from serving.errors import UnknownCreator
from serving.schemas import RankQuery


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


class PackedStates:
    """Packed creator states by id in one SQLite file; readable by many processes while one writes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None

    def replace(self, creators: Iterable[Creator], as_of: datetime) -> int:
        """Make these the creators that are known, in one transaction; returns how many."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        rows = [(creator.creator_id, pack(creator), as_of.isoformat()) for creator in creators]
        with closing(sqlite3.connect(self.path, timeout=30)) as connection, connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("CREATE TABLE IF NOT EXISTS creator (id TEXT PRIMARY KEY, state BLOB, as_of TEXT)")
            connection.execute("DELETE FROM creator")
            connection.executemany("INSERT INTO creator VALUES (?, ?, ?)", rows)
        return len(rows)

    def get(self, creator_id: str) -> Creator | None:
        """See `CreatorStates.get`."""
        row = self._read().execute("SELECT state FROM creator WHERE id = ?", (creator_id,)).fetchone()
        return unpack(row[0]) if row else None

    def ids(self) -> Iterator[str]:
        """See `CreatorStates.ids`."""
        return (row[0] for row in self._read().execute("SELECT id FROM creator ORDER BY id"))

    def _read(self) -> sqlite3.Connection:
        if self._connection is None:
            uri = f"{self.path.absolute().as_uri()}?mode=ro"
            self._connection = sqlite3.connect(uri, uri=True, check_same_thread=False, timeout=5)
        return self._connection


def most_active(states: CreatorStates) -> Creator:
    """The creator with the most posts in the last 28 days.

    Raises:
        UnknownCreator: nobody is known.
    """
    known = [creator for creator_id in states.ids() if (creator := states.get(creator_id))]
    if not known:
        raise UnknownCreator("no creator is known: ingest posts first")
    return max(known, key=lambda creator: creator.column("posts_28d"))


def pack(creator: Creator) -> bytes:
    """A creator as JSON bytes; floats keep every bit, NaN becomes null."""
    return orjson.dumps(dataclasses.asdict(creator), option=orjson.OPT_SERIALIZE_NUMPY)


def unpack(state: bytes) -> Creator:
    """The inverse of `pack`."""
    fields = orjson.loads(state)
    for name in ("profile", "taste", "hour_profile", "weekday_profile"):
        fields[name] = np.array(fields[name], float)
    return Creator(**fields | {"trend_keys": tuple(fields["trend_keys"])})


def hydrate(query: RankQuery, states: CreatorStates) -> Creator:
    """The creator of a query, with the region it declares; a newcomer where nobody knows them."""
    creator = states.get(query.creator_id) or Creator.newcomer(query.creator_id, query.region, query.tags)
    return dataclasses.replace(creator, region=query.region) if query.region else creator
