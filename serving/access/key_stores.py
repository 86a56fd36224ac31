"""Where API keys are kept: a SQLite file on one machine, Redis in production; secrets only as hashes."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from configs import AuthSettings
from serving.access.principals import Scope
from serving.errors import AuthUnavailable, UnknownKey
from serving.process.remote import redis_client, redis_losses
from serving.schemas import Name

if TYPE_CHECKING:
    from redis import Redis


class HashedSecret(BaseModel):
    """The SHA-256 of a secret, in hexadecimal, and until when it is taken; None while it is the key's own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", repr=False)
    until: datetime | None = None


class ApiKey(BaseModel):
    """An API key as it is kept; its instants are UTC."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[0-9a-f]{16}$")
    name: Name
    scopes: tuple[Scope, ...] = Field(min_length=1)
    creator_id: Name | None = Field(None, repr=False)
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None
    secrets: tuple[HashedSecret, ...] = Field(min_length=1, repr=False)


Change = Callable[[ApiKey], ApiKey]


class KeyStore(Protocol):
    """Keeps API keys. Every method raises AuthUnavailable while the store cannot be reached."""

    def get(self, key_id: str) -> ApiKey | None:
        """One key, None where there is none of that id."""
        ...

    def all(self) -> Iterator[ApiKey]:
        """Every key, the oldest first, revoked and expired ones included."""
        ...

    def add(self, key: ApiKey) -> None:
        """Keep a new key."""
        ...

    def change(self, key_id: str, change: Change) -> ApiKey:
        """Replace a key by what `change` makes of it, at once.

        Raises:
            UnknownKey: there is none of that id.
        """
        ...


def key_store(settings: AuthSettings, folder: Path) -> KeyStore:
    """The store of these settings; `folder` holds the file of the local one."""
    if settings.keys == "redis" and settings.redis is not None:
        return RedisKeys(settings.redis.get_secret_value())
    return SqliteKeys(folder / "keys.sqlite")


class SqliteKeys:
    """Keys in one SQLite file that only its owner may read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, key_id: str) -> ApiKey | None:
        """See `KeyStore.get`."""
        with self._open() as connection:
            row = connection.execute("SELECT record FROM api_key WHERE id = ?", (key_id,)).fetchone()
        return ApiKey.model_validate_json(row[0]) if row else None

    def all(self) -> Iterator[ApiKey]:
        """See `KeyStore.all`."""
        with self._open() as connection:
            rows = connection.execute("SELECT record FROM api_key ORDER BY created_at, id").fetchall()
        return (ApiKey.model_validate_json(row[0]) for row in rows)

    def add(self, key: ApiKey) -> None:
        """See `KeyStore.add`."""
        row = (key.id, key.model_dump_json(), key.created_at.timestamp())
        with self._open() as connection:
            connection.execute("INSERT INTO api_key VALUES (?, ?, ?)", row)

    def change(self, key_id: str, change: Change) -> ApiKey:
        """See `KeyStore.change`."""
        with self._open() as connection:
            connection.execute("BEGIN IMMEDIATE")
            row = connection.execute("SELECT record FROM api_key WHERE id = ?", (key_id,)).fetchone()
            if row is None:
                raise _unknown(key_id)
            changed = change(ApiKey.model_validate_json(row[0]))
            connection.execute("UPDATE api_key SET record = ? WHERE id = ?", (changed.model_dump_json(), key_id))
        return changed

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A connection of its own for each use: keys are read off the path, from any thread, and seldom."""
        try:
            if not self._path.exists():
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._path.touch(mode=0o600)
            with closing(sqlite3.connect(self._path, timeout=5)) as connection, connection:
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS api_key (id TEXT PRIMARY KEY, record TEXT, created_at REAL)"
                )
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise AuthUnavailable(f"the keys in {self._path} cannot be used: {error}", retry_after=1) from error


class RedisKeys:
    """Keys in Redis, each a string of its own, and the set of their ids."""

    INDEX = "hb:keys"

    def __init__(self, address: str) -> None:
        self._address = address
        self._connected: Redis | None = None

    def get(self, key_id: str) -> ApiKey | None:
        """See `KeyStore.get`."""
        with self._reached() as redis:
            record: Any = redis.get(self._key(key_id))
        return ApiKey.model_validate_json(record) if record else None

    def all(self) -> Iterator[ApiKey]:
        """See `KeyStore.all`."""
        with self._reached() as redis:
            ids: Any = redis.smembers(self.INDEX)
        keys = [key for key_id in ids if (key := self.get(key_id.decode()))]
        return iter(sorted(keys, key=lambda key: (key.created_at, key.id)))

    def add(self, key: ApiKey) -> None:
        """See `KeyStore.add`."""
        with self._reached() as redis:
            redis.set(self._key(key.id), key.model_dump_json())
            redis.sadd(self.INDEX, key.id)

    def change(self, key_id: str, change: Change) -> ApiKey:
        """See `KeyStore.change`."""
        changed: list[ApiKey] = []

        def replace(pipe: Any) -> None:
            record = pipe.get(self._key(key_id))
            if record is None:
                raise _unknown(key_id)
            changed[:] = [change(ApiKey.model_validate_json(record))]
            pipe.multi()
            pipe.set(self._key(key_id), changed[0].model_dump_json())

        with self._reached() as redis:
            redis.transaction(replace, self._key(key_id))
        return changed[0]

    @contextmanager
    def _reached(self) -> Iterator[Redis]:
        try:
            self._connected = self._connected or redis_client(self._address)
            yield self._connected
        except redis_losses() as error:
            said = type(error).__name__  # its text may name the address, and that a password
            raise AuthUnavailable(f"the API keys in Redis cannot be reached: {said}", retry_after=1) from None

    @staticmethod
    def _key(key_id: str) -> str:
        return f"hb:key:{key_id}"


def _unknown(key_id: str) -> UnknownKey:
    return UnknownKey(f"there is no API key {key_id!r}: «harmonic keys list» shows them all")
