"""The shapes of requests and answers: validated at the edge, plain arrays between the stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from features.contract import trend_key
from models.interactions import Floats, Ints
from models.market import Bools

Kind = Literal["sound", "hashtag"]
NOT_BLANK: Final = r"\S"
Name = Annotated[str, StringConstraints(min_length=1, max_length=256, strip_whitespace=True, pattern=NOT_BLANK)]
Region = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
Kinds = Annotated[tuple[Kind, ...], Field(min_length=1, max_length=10, fail_fast=True)]
# Of a list, the first bad element ends the check: telling the faults of a million takes seconds and gigabytes.


def _no_other(told: object) -> object:
    if isinstance(told, str | bool):
        raise ValueError("is no number")
    return told


Size = Annotated[int, Field(ge=1, le=100), BeforeValidator(_no_other)]
"""Of a slate; an integer as JSON schema has it: 5 and 5.0, but neither "5" nor true."""


class Message(BaseModel):
    """A request or an answer: immutable, unknown fields are an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TrendRef(Message):
    """A trend by kind and id."""

    kind: Kind
    id: Name

    @property
    def key(self) -> str:
        """The trend's key in the feature store; hashtags by their lower-case name without #."""
        return trend_key(self.kind, self.id.lstrip("#").lower() if self.kind == "hashtag" else self.id)


class RecommendationRequest(Message):
    """Body of `POST /v1/recommendations`."""

    creator_id: Name = Field(description="The creator's username; one nobody has seen gets a slate by region and tags")
    k: Size | None = Field(None, description="Items wanted; the service's default where absent")
    kinds: Kinds | None = Field(None, description="Only these kinds; all where absent")
    region: Region | None = Field(None, description="Two-letter region that overrides the creator's own")
    tags: tuple[Name, ...] = Field(
        (), max_length=50, fail_fast=True, description="Declared hashtags of a creator without posts"
    )
    exclude: tuple[TrendRef, ...] = Field(
        (), max_length=1000, fail_fast=True, description="Trends not wanted on this slate"
    )
    include_used: bool = Field(False, strict=True, description="Also what the creator has used already")

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"creator_id": "creator_0007", "k": 5, "kinds": ["sound", "hashtag"]}]}
    )


class RankRequest(Message):
    """Body of `POST /v1/rank`: the caller's own candidates."""

    creator_id: Name
    candidates: tuple[TrendRef, ...] = Field(
        min_length=1, fail_fast=True, description="What to rank; duplicates count once"
    )
    region: Region | None = None
    tags: tuple[Name, ...] = Field((), max_length=50, fail_fast=True)

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"creator_id": "creator_0007", "candidates": [{"kind": "hashtag", "id": "dance"}]}]
        }
    )


class Evidence(Message):
    """One number behind an item, with the time it speaks of."""

    name: str
    value: float
    unit: str
    since: datetime | None = Field(description="Start of the window; absent for a value at an instant")
    as_of: datetime


class Growth(Message):
    """Growth of a trend's public count as a share, with its 80 % interval; 0.12 is twelve percent more."""

    growth: float
    lo80: float
    hi80: float


class Item(Message):
    """One place on a slate."""

    rank: int
    kind: Kind
    id: str
    title: str
    author: str | None
    score: float = Field(description="Probability that this creator adopts it within the horizon")
    fit: float = Field(description="What this creator adds to the score, 0 to 1; 0.5 is neutral")
    heat: float = Field(description="What this trend adds to the score, 0 to 1; 0.5 is neutral")
    stage: str
    stage_hit_rate: float | None = Field(description="How often this stage's promise came true in the back-test")
    forecast: Mapping[str, Growth] | None = Field(
        description="Days ahead → growth of the public count; absent without one"
    )
    evidence: tuple[Evidence, ...]
    reasons: tuple[str, ...]


class Slate(Message):
    """Answer of `POST /v1/recommendations`."""

    recommendation_id: str
    creator_id: str
    known_creator: bool
    degraded: bool = Field(description="Something could not be read, and the slate was made without it")
    model: str
    market: str
    as_of: datetime
    feature_age_ms: int
    items: tuple[Item, ...]


class Ranking(Message):
    """Answer of `POST /v1/rank`: every known candidate, best first, and those nothing is known of."""

    creator_id: str
    degraded: bool = Field(description="Something could not be read, and the ranking was made without it")
    model: str
    as_of: datetime
    items: tuple[Item, ...]
    unknown: tuple[TrendRef, ...]


class Trend(Message):
    """A live trend with its recent history."""

    kind: Kind
    id: str
    title: str
    author: str | None
    stage: str
    stage_hit_rate: float | None = Field(description="How often this stage's promise came true in the back-test")
    generic: bool
    evidence: tuple[Evidence, ...]
    daily_uses: tuple[tuple[datetime, float], ...] = Field(description="(start of 24 h, posts), oldest first")
    forecast: Mapping[str, Growth] | None


class Trends(Message):
    """Answer of `GET /v1/trends`."""

    as_of: datetime
    trends: tuple[Trend, ...]


class CreatorMetrics(Message):
    """Answer of `GET /v1/creators/{id}/metrics`."""

    creator_id: str
    as_of: datetime
    region: str | None
    metrics: tuple[Evidence, ...]
    hours_utc: tuple[float, ...] = Field(description="Share of posts by hour of day, 24 values")
    weekdays: tuple[float, ...] = Field(description="Share of posts by weekday, Monday first")


class Refused(Message):
    """A model that was not let in."""

    alias: str
    version: str
    why: str
    at: datetime


class ServingReport(Message):
    """Answer of `GET /v1/admin/models`."""

    ready: bool
    market: str | None
    models: Mapping[str, str] = Field(description="Alias → version that serves")
    refused: tuple[Refused, ...]
    trouble: str = Field(description="Why what is published cannot be followed, empty where it can")


class Problem(BaseModel):
    """RFC 9457 problem details, the body of every error."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    request_id: str


@dataclass(frozen=True)
class RankQuery:
    """A validated request as the stages see it.

    Attributes:
        creator_id, region, tags: who asks, and what they declare.
        k: items wanted.
        kinds: kinds wanted.
        exclude: trend keys that must not appear.
        include_used: whether trends the creator has used may appear.
        only: trend keys to rank instead of the whole market, None for the market.
    """

    creator_id: str
    k: int
    kinds: tuple[str, ...] = ("sound", "hashtag")
    region: str = ""
    tags: tuple[str, ...] = ()
    exclude: frozenset[str] = frozenset()
    include_used: bool = False
    only: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Filtered:
    """What a filter kept, and why it dropped the rest.

    Attributes:
        kept, candidates: what is left of what there was, shape (n,).
        passes: reason → whether a trend is kept in spite of it, shape (n,).
        rows: reason → rows that it speaks against.
    """

    kept: Bools
    candidates: Bools
    passes: Mapping[str, Bools]
    rows: Mapping[str, Sequence[int] | Ints]

    @property
    def removed(self) -> Mapping[str, Ints]:
        """Reason → the candidates it speaks against, ascending; only reasons that removed something."""
        among = {reason: np.flatnonzero(self.candidates & ~passes) for reason, passes in self.passes.items()}
        among |= {r: np.array([row for row in sorted(rows) if self.candidates[row]]) for r, rows in self.rows.items()}
        return {reason: rows for reason, rows in among.items() if len(rows)}


@dataclass(frozen=True)
class Scored:
    """Candidates with their raw scores.

    Attributes:
        rows: of the market, shape (m,).
        raw: shape (m,).
        places: of their rows in `table`, shape (m,).
        table: what the trees see of creator and trend together, see `models.compiled.prepared.CROSS`, shape (n, c).
        usual: the linear inputs of a recommendable trend, on average, shape (len(INPUTS),).
    """

    rows: Ints
    raw: Floats
    places: Ints
    table: Floats
    usual: Floats

    @property
    def cross(self) -> Floats:
        """What the trees see of creator and trend together, shape (m, c)."""
        return self.table[self.places]

    def take(self, places: Ints) -> Scored:
        """The candidates on these places, in this order."""
        return Scored(self.rows[places], self.raw[places], self.places[places], self.table, self.usual)
