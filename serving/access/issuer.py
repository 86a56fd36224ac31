"""The public keys of an OpenID Connect issuer: fetched off the event loop, kept, and followed as they rotate."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import re
import time
from collections.abc import Mapping
from typing import Any, Final

import httpx
from jwt import PyJWK, PyJWTError

from configs import TokenSettings
from serving.errors import AuthUnavailable, Unauthorized

log = logging.getLogger(__name__)

DISCOVERY: Final = "/.well-known/openid-configuration"
SAFE: Final = re.compile(r"https://|http://(127\.0\.0\.1|localhost)(:\d+)?(/|$)")
MOST_BYTES: Final = 1 << 20
MOST_KEYS: Final = 100
LEAST_RSA_BITS: Final = 2048
ALGORITHMS: Final = {"RSA": "RS256", "EC": "ES256"}
"""What a key of a type may sign with: the key decides, never the token."""


class IssuerTrouble(Exception):
    """The issuer's keys could not be had; the message says why."""


class IssuerKeys:
    """The keys that an issuer signs with, by their ids.

    A fetch runs in a thread; at most one at a time, and at most one every `retry_seconds`, however many tokens name
    keys that nobody knows. Only such tokens wait for it. Keys that are known stay in use while the issuer is down.
    """

    def __init__(self, settings: TokenSettings) -> None:
        self._settings = settings
        self._keys: Mapping[str, PyJWK] = {}
        self._published: Any = None
        self._fetched_at = -math.inf
        self._tried_at = -math.inf
        self._trouble = ""
        self._fetching: asyncio.Task[None] | None = None
        self.generation = 0
        self.fetches = 0

    @property
    def degraded(self) -> bool:
        """Whether the last fetch failed."""
        return bool(self._trouble)

    def stay_fresh(self, now: float) -> None:
        """Begin to fetch again, if the keys have grown old; nobody waits for it."""
        if now - self._fetched_at >= self._settings.refresh_seconds:
            self._begin(now)

    async def key(self, key_id: str, now: float) -> PyJWK:
        """The key of that id.

        Raises:
            Unauthorized: the issuer has none.
            AuthUnavailable: the issuer cannot be asked.
        """
        self.stay_fresh(now)
        known = self._keys.get(key_id)
        if known is not None:
            return known
        self._begin(now)
        if self._fetching is not None:
            await asyncio.shield(self._fetching)
        known = self._keys.get(key_id)
        if known is not None:
            return known
        if self._trouble:
            wait = max(1, math.ceil(self._tried_at + self._settings.retry_seconds - now))
            raise AuthUnavailable("the issuer of the token cannot be asked for its keys", retry_after=wait)
        raise Unauthorized("the token is signed with a key that its issuer does not publish")

    def _begin(self, now: float) -> None:
        if self._fetching is None and now - self._tried_at >= self._settings.retry_seconds:
            self._tried_at = now
            self._fetching = asyncio.create_task(self._refresh(now))

    async def _refresh(self, now: float) -> None:
        self.fetches += 1
        try:
            published, keys = await asyncio.to_thread(_fetch, self._settings)
        except IssuerTrouble as error:
            self._trouble = str(error)
            log.warning("the keys of the token issuer cannot be fetched: %s", error)
        else:
            if published != self._published:
                self._keys, self._published = keys, published
                self.generation += 1
            self._fetched_at, self._trouble = now, ""
        finally:
            self._fetching = None


def _fetch(settings: TokenSettings) -> tuple[Any, Mapping[str, PyJWK]]:
    published = _read_json(settings.jwks_url or _discovered(settings), settings.timeout_seconds)
    return published, _usable(published, settings.algorithms)


def _discovered(settings: TokenSettings) -> str:
    issuer = settings.issuer or ""
    document = _read_json(issuer.rstrip("/") + DISCOVERY, settings.timeout_seconds)
    if not isinstance(document, dict) or document.get("issuer") != issuer:
        raise IssuerTrouble("its discovery document names another issuer")
    address = document.get("jwks_uri")
    if not isinstance(address, str) or not SAFE.match(address):
        raise IssuerTrouble("its discovery document names no https address for its keys")
    return address


def _read_json(address: str, seconds: float) -> Any:
    """The JSON at an address; redirects are not followed, and neither size nor time is up to the other side."""
    body = bytearray()
    deadline = time.monotonic() + seconds
    try:
        with (
            httpx.Client(timeout=seconds, follow_redirects=False) as client,
            client.stream("GET", address, headers={"accept": "application/json"}) as response,
        ):
            response.raise_for_status()
            for chunk in response.iter_bytes(4096):
                body += chunk
                if len(body) > MOST_BYTES or time.monotonic() > deadline:
                    raise IssuerTrouble("the answer was too long, or took too long")
        return json.loads(body)
    except httpx.HTTPStatusError as error:
        raise IssuerTrouble(f"it answered {error.response.status_code}") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise IssuerTrouble(type(error).__name__) from None
    except (ValueError, RecursionError):
        raise IssuerTrouble("it did not answer with JSON") from None


def _usable(published: Any, algorithms: tuple[str, ...]) -> Mapping[str, PyJWK]:
    """The signing keys of a key set; those of other kinds, of other uses or too weak are left out.

    Raises:
        IssuerTrouble: none is left.
    """
    entries = published.get("keys") if isinstance(published, dict) else None
    if not isinstance(entries, list):
        raise IssuerTrouble("what it published is not a key set")
    read = ((entry.get("kid"), _key(entry)) for entry in entries[:MOST_KEYS] if isinstance(entry, dict))
    keys = {
        key_id: key
        for key_id, key in read
        if isinstance(key_id, str) and key is not None and key.algorithm_name in algorithms
    }
    if not keys:
        raise IssuerTrouble("it published no key that can be used")
    return keys


def _key(entry: dict[str, Any]) -> PyJWK | None:
    algorithm = ALGORITHMS.get(str(entry.get("kty")))
    if algorithm is None or entry.get("use", "sig") != "sig" or entry.get("alg", algorithm) != algorithm:
        return None
    if algorithm == "ES256" and entry.get("crv") != "P-256":
        return None
    try:
        key = PyJWK(entry, algorithm)
    except (PyJWTError, ValueError, TypeError, OverflowError):
        return None
    return key if algorithm != "RS256" or key.key.key_size >= LEAST_RSA_BITS else None
