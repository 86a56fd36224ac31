"""JWTs of one OpenID Connect issuer: checked once, remembered until they expire."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import jwt

from configs import TokenSettings
from serving.access.issuer import IssuerKeys
from serving.access.principals import ADMIN, SCOPES, Principal
from serving.errors import Forbidden, Unauthorized

LONGEST: Final = 8192
LONGEST_NAME: Final = 256
TYPES: Final = (None, "jwt", "at+jwt", "application/at+jwt")


class _Verified(NamedTuple):
    principal: Principal
    until: float
    generation: int


class TokenVerifier:
    """Checks JWTs: signature, algorithm, issuer, audience and times; the header's own keys and addresses are ignored.

    Args:
        settings: the issuer and what its tokens must say.
        keys: the issuer's public keys.
    """

    def __init__(self, settings: TokenSettings, keys: IssuerKeys) -> None:
        self._settings = settings
        self._keys = keys
        self._verified: OrderedDict[bytes, _Verified] = OrderedDict()

    @property
    def degraded(self) -> bool:
        """Whether the issuer's keys could not be fetched when last tried."""
        return self._keys.degraded

    async def principal(self, token: str, now: float) -> Principal:
        """Whose token it is.

        Args:
            token: what the caller sent.
            now: seconds since the epoch.

        Raises:
            Unauthorized: it does not hold.
            AuthUnavailable: it may, but the issuer's keys cannot be had.
        """
        if len(token) > LONGEST:
            raise Unauthorized("the token is too long")
        digest = hashlib.sha256(token.encode()).digest()
        known = self._verified.get(digest)
        if known is not None and now < known.until and known.generation == self._keys.generation:
            self._keys.stay_fresh(now)
            self._verified.move_to_end(digest)
            return known.principal
        self._verified.pop(digest, None)
        principal, until = await self._verify(token, now)
        self._remember(digest, _Verified(principal, until, self._keys.generation))
        return principal

    def _remember(self, digest: bytes, verified: _Verified) -> None:
        self._verified[digest] = verified
        while len(self._verified) > self._settings.remembered:
            self._verified.popitem(last=False)

    async def _verify(self, token: str, now: float) -> tuple[Principal, float]:
        algorithm, key_id = self._header(token)
        key = await self._keys.key(key_id, now)
        if key.algorithm_name != algorithm:
            raise Unauthorized("the token's algorithm is not that of its key")
        claims = self._claims(token, key, algorithm)
        return self._principal_of(claims), float(claims["exp"]) + self._settings.leeway_seconds

    def _header(self, token: str) -> tuple[str, str]:
        """The algorithm and the key's id; both only choose among what is configured and published."""
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise Unauthorized("the token is not a JWT") from None
        algorithm, key_id, kind = header.get("alg"), header.get("kid"), header.get("typ")
        if algorithm not in self._settings.algorithms:
            raise Unauthorized("the token's algorithm is not allowed")
        if not isinstance(key_id, str) or len(key_id) > LONGEST_NAME:
            raise Unauthorized("the token does not say which key it is signed with")
        if "crit" in header or (kind.lower() if isinstance(kind, str) else kind) not in TYPES:
            raise Unauthorized("the token is of another kind")
        return str(algorithm), key_id

    def _claims(self, token: str, key: Any, algorithm: str) -> dict[str, Any]:
        try:
            return jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                issuer=self._settings.issuer,
                audience=self._settings.audience,
                leeway=self._settings.leeway_seconds,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.ExpiredSignatureError:
            raise Unauthorized("the token has expired") from None
        except jwt.ImmatureSignatureError:
            raise Unauthorized("the token is not valid yet") from None
        except (jwt.InvalidAudienceError, jwt.InvalidIssuerError):
            raise Unauthorized("the token is of another issuer, or made for another service") from None
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            raise Unauthorized("the token does not hold") from None

    def _principal_of(self, claims: dict[str, Any]) -> Principal:
        subject = claims["sub"]
        if not isinstance(subject, str) or not subject:
            raise Unauthorized("the token names no subject")
        scopes = frozenset(_scopes(claims.get(name) for name in self._settings.scope_claims)) & SCOPES
        creator = claims.get(self._settings.creator_claim)
        if creator is None and not self._settings.unbound and ADMIN not in scopes:
            raise Forbidden(f"the token does not say whose it is: it has no claim {self._settings.creator_claim}")
        if creator is not None and not _is_name(creator):
            raise Unauthorized(f"the token's claim {self._settings.creator_claim} is no creator's id")
        return Principal(f"sub:{hashlib.sha256(subject.encode()).hexdigest()[:24]}", scopes, creator)


def _scopes(claims: Iterable[Any]) -> Iterable[str]:
    for claim in claims:
        if isinstance(claim, str):
            yield from claim.split()
        elif isinstance(claim, list):
            yield from (scope for scope in claim if isinstance(scope, str))


def _is_name(creator: Any) -> bool:
    return isinstance(creator, str) and 0 < len(creator) <= LONGEST_NAME and creator == creator.strip()
