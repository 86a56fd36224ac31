"""The shapes of a written strategy and of the evidence it rests on."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from pydantic import ConfigDict, Field, StrictBool

from serving.schemas import Kind, Message, Name, Region

Unit = Literal["count", "share", "ratio", "days", "hours", "seconds", "hour of day", "weekday", "date", "sigma", "rank"]
Writer = Literal["deterministic", "vertex"]
Effort = Literal["low", "medium", "high"]
Verdict = Literal["not enough posts yet", "no difference to be told", "more views than usual", "fewer views than usual"]


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


class FollowingPost(Message):
    """One post after a strategy that uses at least one of its items."""

    id: str
    posted_at: datetime
    play: int = Field(description="Place of the play that it fits best, from 1")
    strategy: str = Field(description="Id in the library of that play's strategy")
    items: tuple[str, ...] = Field(description="Trend keys of the play that it uses")
    in_window: bool | None = Field(description="Whether it was posted in the play's window; None where there is none")
    used_before: bool = Field(description="The creator had used all of these items in the 90 days before")


class PlayOutcome(Message):
    """How many posts followed one play."""

    play: int = Field(description="Its place in the strategy, from 1")
    title: str
    strategy: str = Field(description="Id in the library")
    posts: int
    is_recognisable: bool = Field(description="False where it names no item, so that no post can be seen to follow it")


class OutcomeDifference(Message):
    """Posts that followed a strategy beside the creator's own others, as a share: 0.08 is eight percent more."""

    metric: Literal["views", "likes"]
    age_days: float | None = Field(description="At which all posts were counted; 28 is 28 days or later")
    posts: int = Field(description="That followed it, with a count at that age; at any, where there is no such age")
    own_posts: int = Field(description="The same of those it is compared with")
    difference: float | None
    lo80: float | None = Field(description="Lower end of the 80 % interval")
    hi80: float | None
    visible: float | None = Field(description="The smallest gain that would show with so many posts")


class StillNeeded(Message):
    """What is missing before a difference can be told; all 0 where one is."""

    posts: int = Field(description="More posts that follow the strategy, counted at the same age as others")
    own_posts: int = Field(description="More of the creator's other posts, counted so")
    awaiting_counts: int = Field(description="Of `posts`, how many are there already and only lack counts")


class Outcome(Message):
    """Answer of `GET /v1/strategies/{strategy_id}/outcome`: whether it worked, as far as posts can tell."""

    strategy_id: str
    creator_id: str
    given_at: datetime
    starts_at: datetime = Field(description="From when on posts count; the market's instant where that is of the past")
    ends_at: datetime
    as_of: datetime = Field(description="How far posts and counts are known")
    is_open: bool = Field(description="Whether posts that follow it may still come")
    verdict: Verdict
    needed: StillNeeded
    plays: tuple[PlayOutcome, ...]
    posts: tuple[FollowingPost, ...]
    own_posts: int = Field(description="The creator's own posts that they are compared with")
    differences: tuple[OutcomeDifference, ...]
    method: str = Field(description="What was compared with what, and by which formula")
