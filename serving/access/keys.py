"""API keys: made, rotated and revoked by jobs; looked up and checked by a worker."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import SecretStr

from serving.access.key_stores import ApiKey, HashedSecret, KeyStore
from serving.access.principals import Principal
from serving.errors import AuthUnavailable, Unauthorized, UnknownKey

PREFIX: Final = "hb_"
KEY: Final = re.compile(r"hb_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
"""An API key: its id, by which it is found, and 256 random bits in base64url."""

RETRY_SECONDS: Final = 1
"""How long a lost key store is left alone."""

MOST_KEYS: Final = 10_000
"""Keys that a worker remembers; of more, the ones read first are read again."""


@dataclass(frozen=True)
class NewKey:
    """A key and the token that its owner sends; the token is shown once and kept nowhere."""

    key: ApiKey
    token: SecretStr

    def told(self) -> dict[str, Any]:
        """What its owner has to know, the token included."""
        return described(self.key) | {"token": self.token.get_secret_value()}


def create(
    store: KeyStore, name: str, scopes: Sequence[str], creator_id: str | None, days: int, now: datetime
) -> NewKey:
    """Make a key and keep it.

    Args:
        store: where to.
        name: whose it is, for people.
        scopes: what it may ask for.
        creator_id: the only creator it may name, None for any.
        days: how long it is valid.
        now: the present instant, UTC.

    Raises:
        ValidationError: a scope does not exist, or the name is empty.
    """
    key_id = secrets.token_hex(8)
    token, hashed = _new_secret(key_id)
    key = ApiKey.model_validate(
        {
            "id": key_id,
            "name": name,
            "scopes": tuple(dict.fromkeys(scopes)),
            "creator_id": creator_id,
            "created_at": now,
            "expires_at": now + timedelta(days=days),
            "secrets": [{"sha256": hashed}],
        }
    )
    store.add(key)
    return NewKey(key, token)


def rotate(store: KeyStore, key_id: str, grace: timedelta, now: datetime) -> NewKey:
    """Give a key a new secret; the old one is taken for the length of `grace`, the expiry stays.

    Raises:
        UnknownKey: there is none of that id, or it is worth nothing any more.
    """
    token, hashed = _new_secret(key_id)
    end = now + grace

    def change(key: ApiKey) -> ApiKey:
        if (state := _state_of(key, now)) != "valid":
            raise UnknownKey(f"the API key {key.id} is {state}: make a new one with «harmonic keys create»")
        old = (HashedSecret(sha256=s.sha256, until=min(s.until or end, end)) for s in key.secrets)
        kept = tuple(s for s in old if s.until is not None and s.until > now)
        return key.model_copy(update={"secrets": (HashedSecret(sha256=hashed), *kept)})

    return NewKey(store.change(key_id, change), token)


def revoke(store: KeyStore, key_id: str, now: datetime) -> ApiKey:
    """Make a key worthless; workers follow within `auth.cache_seconds`.

    Raises:
        UnknownKey: there is none of that id.
    """
    return store.change(key_id, lambda key: key.model_copy(update={"revoked_at": key.revoked_at or now}))


def described(key: ApiKey) -> dict[str, Any]:
    """What may be told of a key: everything but its hashes."""
    return key.model_dump(mode="json", exclude={"secrets"})


def listed(store: KeyStore, now: datetime) -> list[dict[str, Any]]:
    """Every key, the oldest first, as `described`, and its `state`: valid, expired or revoked."""
    return [described(key) | {"state": _state_of(key, now)} for key in store.all()]


def _state_of(key: ApiKey, now: datetime) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at <= now else "valid"


def _new_secret(key_id: str) -> tuple[SecretStr, str]:
    secret = secrets.token_urlsafe(32)
    return SecretStr(f"{PREFIX}{key_id}_{secret}"), _hash(secret)


def _hash(secret: str) -> str:
    # Salt, pepper and a slow hash protect what people make up. This is 256 random bits: nobody finds them by guessing.
    return hashlib.sha256(secret.encode()).hexdigest()


class _Known:
    """A key that was read, with what each request asks of it worked out."""

    __slots__ = ("ends", "principal", "read_at", "secrets")

    def __init__(self, key: ApiKey, read_at: float) -> None:
        self.read_at = read_at
        self.principal = Principal(f"key:{key.id}", frozenset(key.scopes), key.creator_id)
        self.ends = 0.0 if key.revoked_at is not None else key.expires_at.timestamp()
        self.secrets = tuple((s.sha256, s.until.timestamp() if s.until else self.ends) for s in key.secrets)

    def check(self, secret: str, now: float) -> Principal:
        hashed = _hash(secret)
        matching = [until for sha256, until in self.secrets if hmac.compare_digest(sha256, hashed)]
        if not matching:
            raise _refused()
        if now >= min(matching[0], self.ends):
            raise Unauthorized("the API key has expired, or was rotated or revoked")
        return self.principal


class KeyDirectory:
    """Checks API keys; each is read from the store at most once every `cache_seconds`, off the event loop.

    While the store is lost, keys that were read before keep working for `stale_seconds`; of others nobody can say
    whether they hold.

    Args:
        store: where keys are kept.
        cache_seconds: after this long a key is read again: a revocation has taken effect.
        stale_seconds: how long a key that was read before outlives the store.
    """

    def __init__(self, store: KeyStore, cache_seconds: float, stale_seconds: float) -> None:
        self._store = store
        self._cache_seconds = cache_seconds
        self._stale_seconds = stale_seconds
        self._known: dict[str, _Known] = {}
        self._unknown: dict[str, float] = {}
        self._reading: dict[str, asyncio.Task[_Known | None]] = {}
        self._ask_again_at = 0.0
        self.losses = 0
        self.degraded = False

    async def principal(self, token: str, now: float) -> Principal:
        """Whose token it is.

        Args:
            token: what the caller sent.
            now: seconds since the epoch.

        Raises:
            Unauthorized: it does not hold.
            AuthUnavailable: the store is lost, and the key was not read before.
        """
        parts = KEY.fullmatch(token)
        if parts is None:
            raise _refused()
        key_id, secret = parts.groups()
        known = self._known.get(key_id)
        if known is None or now - known.read_at >= self._cache_seconds:
            known = await self._read_once(key_id, now)
        if known is None:
            raise _refused()
        return known.check(secret, now)

    async def _read_once(self, key_id: str, now: float) -> _Known | None:
        """Read a key; who asks for the same one meanwhile waits for the same answer."""
        if now - self._unknown.get(key_id, -self._cache_seconds) < self._cache_seconds:
            return None
        reading = self._reading.get(key_id)
        if reading is None:
            reading = self._reading[key_id] = asyncio.create_task(self._read(key_id, now))
            reading.add_done_callback(lambda done: self._end(key_id, done))
        if self.degraded and (stale := self._stale(key_id, now)) is not None:
            return stale  # a store that hangs must not hang every caller; the reading tells when it is back
        return await asyncio.shield(reading)

    def _end(self, key_id: str, done: asyncio.Task[_Known | None]) -> None:
        self._reading.pop(key_id, None)
        if not done.cancelled():
            done.exception()  # seen, even where everybody who waited has gone

    async def _read(self, key_id: str, now: float) -> _Known | None:
        if now >= self._ask_again_at:
            try:
                return self._remember(key_id, await asyncio.to_thread(self._store.get, key_id), now)
            except AuthUnavailable:
                self.degraded = True
                self.losses += 1
                self._ask_again_at = now + RETRY_SECONDS
        stale = self._stale(key_id, now)
        if stale is None:
            raise AuthUnavailable("API keys cannot be looked up for the moment", retry_after=1)
        return stale

    def _stale(self, key_id: str, now: float) -> _Known | None:
        """A key as it was read before, if that is not too long ago."""
        stale = self._known.get(key_id)
        is_good = stale is not None and now - stale.read_at < self._cache_seconds + self._stale_seconds
        return stale if is_good else None

    def _remember(self, key_id: str, key: ApiKey | None, now: float) -> _Known | None:
        self.degraded = False
        if key is None:
            self._known.pop(key_id, None)
            _keep(self._unknown, key_id, now)
            return None
        known = _Known(key, now)
        _keep(self._known, key_id, known)
        return known


def _keep(table: dict[str, Any], key_id: str, value: Any) -> None:
    if key_id not in table and len(table) >= MOST_KEYS:
        table.pop(next(iter(table)))
    table[key_id] = value


def _refused() -> Unauthorized:
    return Unauthorized("the API key is not known")
