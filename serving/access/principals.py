"""Who asks: the scopes a caller holds, and the one creator it may be bound to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from serving.errors import Forbidden

Scope = Literal["recommend", "events", "strategies", "metrics", "admin"]
SCOPES: Final[frozenset[str]] = frozenset(get_args(Scope))
ADMIN: Final = "admin"
"""Grants every other scope; a binding to one creator holds all the same."""


@dataclass(frozen=True, slots=True, repr=False)
class Principal:
    """A caller whose credential holds.

    Attributes:
        caller: a pseudonym that stays the same between requests; safe to log and to count by.
        scopes: what it may ask for.
        creator_id: the only creator it may name, None for any.
    """

    caller: str
    scopes: frozenset[str]
    creator_id: str | None = None

    def holds(self, scope: str) -> bool:
        """Whether it may ask for what needs this scope."""
        return scope in self.scopes or ADMIN in self.scopes

    def __repr__(self) -> str:
        return f"Principal({self.caller}, {' '.join(sorted(self.scopes))})"


def authorize_creator(principal: Principal, creator_id: str) -> None:
    """Make sure that the caller may name this creator; for routes that find it in a body.

    Raises:
        Forbidden: it is bound to another one.
    """
    if principal.creator_id is not None and principal.creator_id != creator_id:
        raise Forbidden("this credential is bound to another creator")
