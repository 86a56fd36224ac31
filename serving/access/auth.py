"""Who may: which scope each route needs, who a credential belongs to, and when nobody has to say who they are."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from configs import AuthSettings, Settings
from serving.access.key_stores import key_store
from serving.access.keys import PREFIX, KeyDirectory
from serving.access.principals import SCOPES, Principal, authorize_creator
from serving.errors import Forbidden, OpenService, Unauthorized

if TYPE_CHECKING:
    from serving.access.tokens import TokenVerifier

PUBLIC: Final = "public"
"""The scope of a route that needs no credential."""

ROUTES: Final[tuple[tuple[str, str, str], ...]] = (
    ("POST", "/v1/recommendations", "recommend"),
    ("POST", "/v1/rank", "recommend"),
    ("GET", "/v1/trends", "recommend"),
    ("GET", "/v1/trends/{kind}/{trend_id:path}", "recommend"),
    ("GET", "/v1/creators/{creator_id}/metrics", "recommend"),
    ("GET", "/v1/library/artists", "recommend"),
    ("GET", "/v1/library/strategies", "recommend"),
    ("POST", "/v1/events", "events"),
    ("POST", "/v1/strategies", "strategies"),
    ("GET", "/v1/strategies/{strategy_id}/outcome", "strategies"),
    ("GET", "/v1/admin/models", "admin"),
    ("GET", "/metrics", "metrics"),
    ("GET", "/docs", PUBLIC),
    ("GET", "/docs/oauth2-redirect", PUBLIC),
    ("GET", "/docs.json", PUBLIC),
)
"""Method, path and scope of every route; one that is not here is answered 404, whoever asks."""

PROBES: Final = frozenset({"/livez", "/readyz"})
"""What an orchestrator asks, without a credential and without a limit."""

FORWARDED: Final = frozenset({b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip", b"via"})
"""Headers that tell of a proxy: what comes through one was not sent from here."""


class Match(NamedTuple):
    """A route that fits a path: the scope by method, and the creator that the path names."""

    scopes: Mapping[str, str]
    creator_id: str | None


class Access:
    """Finds the route of a path; the only place that knows which scope it needs."""

    def __init__(self, routes: tuple[tuple[str, str, str], ...] = ROUTES) -> None:
        by_path: dict[str, dict[str, str]] = {}
        for method, path, scope in routes:
            by_path.setdefault(path, {})[method] = scope
        self._exact = {path: Match(scopes, None) for path, scopes in by_path.items() if "{" not in path}
        self._patterns = [(_pattern(path), scopes) for path, scopes in by_path.items() if "{" in path]

    def route(self, path: str) -> Match | None:
        """The route of a decoded path, None where there is none."""
        exact = self._exact.get(path)
        if exact is not None:
            return exact
        for pattern, scopes in self._patterns:
            if found := pattern.fullmatch(path):
                return Match(scopes, found.groupdict().get("creator_id"))
        return None


def _pattern(path: str) -> re.Pattern[str]:
    """A route's path as FastAPI reads it: a parameter is one segment, one of type `path` is the rest."""
    parts = re.split(r"\{(\w+)(:path)?\}", path)
    text = "".join(
        re.escape(literal) + (f"(?P<{name}>{'.+' if rest else '[^/]+'})" if name else "")
        for literal, name, rest in zip(parts[::3], [*parts[1::3], None], [*parts[2::3], None], strict=True)
    )
    return re.compile(text, re.DOTALL)


def authorize(principal: Principal, match: Match, scope: str) -> None:
    """Make sure that the caller may ask for this route.

    Raises:
        Forbidden: it lacks the scope, or the path names another creator than its own.
    """
    if not principal.holds(scope):
        raise Forbidden(f"this needs the scope {scope}, which the credential does not hold")
    if match.creator_id is not None:
        authorize_creator(principal, match.creator_id)


class Authenticator:
    """Tells whose a credential is.

    Args:
        required: whether everybody has to show one; if not, only callers on this machine get in.
        keys: checks API keys.
        tokens: checks JWTs, None where no issuer is configured.
        origins: pages of elsewhere that may call this machine without a credential.
    """

    def __init__(
        self, required: bool, keys: KeyDirectory, tokens: TokenVerifier | None, origins: tuple[str, ...] = ()
    ) -> None:
        self._required = required
        self._keys = keys
        self._tokens = tokens
        self._origins = frozenset(origin.encode() for origin in origins)

    @classmethod
    def of(cls, settings: AuthSettings, folder: Path) -> Authenticator:
        """The authenticator of these settings; `folder` holds the files of the local stores."""
        keys = KeyDirectory(key_store(settings, folder), settings.cache_seconds, settings.stale_seconds)
        tokens: TokenVerifier | None = None
        if settings.tokens.issuer is not None:  # what checks signatures is loaded only where there are any
            from serving.access.issuer import IssuerKeys
            from serving.access.tokens import TokenVerifier

            tokens = TokenVerifier(settings.tokens, IssuerKeys(settings.tokens))
        return cls(settings.required, keys, tokens, settings.origins)

    @property
    def degraded(self) -> bool:
        """Whether the key store or the issuer could not be asked when last tried."""
        return self._keys.degraded or (self._tokens is not None and self._tokens.degraded)

    async def principal(self, headers: Mapping[bytes, bytes], client: str | None, now: float) -> Principal:
        """Who asks.

        Args:
            headers: of the request, names in lower case.
            client: the address at the other end of the connection.
            now: seconds since the epoch.

        Raises:
            Unauthorized: no credential, or one that does not hold.
            Forbidden: none is required, but this did not come straight from this machine.
            AuthUnavailable: nobody can tell for the moment.
        """
        if not self._required:
            return _neighbour(headers, client, self._origins)
        token = _credential(headers)
        if token.startswith(PREFIX):
            return await self._keys.principal(token, now)
        if self._tokens is None:
            raise Unauthorized("the API key is not known")
        return await self._tokens.principal(token, now)


def _credential(headers: Mapping[bytes, bytes]) -> str:
    """What follows `Bearer`, or the API key."""
    authorization, api_key = headers.get(b"authorization"), headers.get(b"x-api-key")
    if authorization is not None and api_key is not None:
        raise Unauthorized("send one credential, not two")
    if api_key is None:
        if authorization is None:
            raise Unauthorized("send «Authorization: Bearer …», or «X-Api-Key: …»")
        scheme, _, api_key = authorization.partition(b" ")
        if scheme.lower() != b"bearer":
            raise Unauthorized("the only authorization scheme is Bearer")
    try:
        return api_key.strip().decode("ascii")
    except UnicodeDecodeError:
        raise Unauthorized("the credential has characters that none has") from None


def _neighbour(headers: Mapping[bytes, bytes], client: str | None, origins: frozenset[bytes]) -> Principal:
    """Whoever asks from this machine, and calls it so: not through a proxy, and not a web page of elsewhere."""
    if client is None or not is_loopback(client) or not FORWARDED.isdisjoint(headers):
        raise Forbidden("without credentials only this machine is answered: set HARMONIC_AUTH__REQUIRED=true")
    host = headers.get(b"host", b"")
    if not _names_loopback(host):
        raise Forbidden("without credentials only localhost is answered; another name may come from another page")
    origin = headers.get(b"origin")
    if origin is not None and origin not in origins and origin.partition(b"://")[2] != host:
        raise Forbidden("without credentials no page of another origin is answered")
    return _anybody(client)


@lru_cache(maxsize=1024)
def _anybody(client: str) -> Principal:
    return Principal(f"addr:{client}", SCOPES)


@lru_cache(maxsize=256)
def _names_loopback(host: bytes) -> bool:
    """Whether a Host header names this machine, whatever the port."""
    name = host.decode("latin-1")
    return is_loopback(name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0])


@lru_cache(maxsize=1024)
def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address or a name."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def refuse_open_service(settings: Settings, host: str | None = None) -> None:
    """Make sure that nobody but this machine is served without a credential.

    Args:
        settings: say whether credentials are required, and where to listen.
        host: where to listen instead.

    Raises:
        OpenService: somebody would be.
    """
    where = host or settings.serving.host
    if not settings.auth.required and not is_loopback(where):
        raise OpenService(
            f"«{where}» can be reached from outside, and auth.required is off: everybody would be answered. "
            "Set HARMONIC_AUTH__REQUIRED=true and make a key with «harmonic keys create», or listen on 127.0.0.1"
        )
