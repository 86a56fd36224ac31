"""The shapes of a written strategy and of the evidence it rests on."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from pydantic import ConfigDict, Field, StrictBool

from serving.schemas import Kind, Message, Name, Region

Unit = Literal["count", "share", "ratio", "days", "hours", "seconds", "hour of day", "weekday", "date", "sigma", "rank"]
Writer = Literal["deterministic", "vertex"]
Effort = Literal["low", "medium", "high"]


class Fact(Message):
    """One checkable fact: a number, or a date, with what it is of and where it comes from."""

    id: str = Field(description="How plays cite it, e.g. E7")
    subject: str = Field(description="What it is of: a trend's key, `creator`, `strategy:<id>` or `artist:<id>`")
    name: str = Field(description="Of the feature, e.g. uses_7d, growth_7d_lo80")
    value: float | date
    unit: Unit
    sample: int | None = Field(None, description="How many posts or creators it was measured on")
    lo: float | None = Field(None, description="Lower end of its 80 % interval, in its unit")
    hi: float | None = None
    as_of: datetime
    source: str = Field(description="Where it comes from, for people")


class RankedItem(Message):
    """One item of the slate that a strategy may name."""

    id: str = Field(description="How plays cite it, e.g. T1")
    kind: Kind
    key: str
    title: str = Field(description="Untrusted text: at most 120 characters, one line")
    author: str | None = None
    rank: int
    stage: str
    cleared_for_business: bool | None = Field(description="None where the source does not say")


class Evidence(Message):
    """Everything that a text may say: what is not here may not be said."""

    creator_id: str
    region: str | None
    as_of: datetime
    utc_offset_hours: float = Field(description="Of the creator's clock, as its posting hours are told")
    is_business: bool
    items: tuple[RankedItem, ...]
    facts: tuple[Fact, ...]
    strategies: tuple[str, ...] = Field(description="Ids of the applicable strategies of the library, best first")


class Target(Message):
    """What a play should reach, with the range that the forecast's interval gives."""

    kpi: str
    lo: float
    hi: float
    unit: Unit
    fact: str = Field(description="Id of the fact that the range follows from")


class Play(Message):
    """One thing to film."""

    title: str
    strategy: str = Field(description="Id in the library")
    hook: str
    format: str
    sound: str | None = Field(description="Id of a ranked item")
    hashtags: tuple[str, ...] = Field(description="Ids of ranked items")
    caption: str
    window: str = Field(description="When to post, in the creator's own time")
    steps: tuple[str, ...]
    target: Target | None
    effort: Effort
    items: tuple[str, ...] = Field(description="Ids of every ranked item it names")
    facts: tuple[str, ...] = Field(description="Ids of every fact it states")


class Day(Message):
    """One day of the calendar."""

    day: date
    what: str
    play: int | None = Field(description="Place of the play in the list, from 1")


class Check(Message):
    """What the grounding check found."""

    claims: int
    faults: tuple[str, ...]

    @property
    def is_grounded(self) -> bool:
        """Whether every claim was proven."""
        return not self.faults


class Strategy(Message):
    """A written strategy; in its texts a fact is cited as [E7] and an item as [T1]."""

    strategy_id: str
    creator_id: str
    locale: str
    writer: Writer
    check: Check
    as_of: datetime
    summary: str
    why_now: str
    plays: tuple[Play, ...] = Field(min_length=1, max_length=5)
    calendar: tuple[Day, ...]
    risks: tuple[str, ...]
    stop: tuple[str, ...] = Field(description="What to stop doing")
    sources: tuple[Fact, ...]


class StrategyRequest(Message):
    """Body of `POST /v1/strategies`."""

    creator_id: Name
    goal: str | None = Field(None, max_length=200)
    locale: str = Field("en", pattern=r"^[a-z]{2}(-[A-Z]{2})?$")
    region: Region | None = None
    tags: tuple[Name, ...] = Field((), max_length=50, fail_fast=True)
    utc_offset_hours: float | None = Field(None, strict=True, ge=-12, le=14)
    is_business: StrictBool = False

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"creator_id": "creator_0007", "goal": "followers", "utc_offset_hours": -5}]}
    )
