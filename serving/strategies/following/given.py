"""A strategy as it was given: what it named, when, to whom and by which versions, for posts to be held against."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final

from pydantic import Field

from serving.schemas import Message
from serving.strategies.schemas import Evidence, Fact, Play, Strategy, Target, Writer

PAST: Final = timedelta(days=1)
"""A market older than this is a picture of the past, and so is everything that follows it."""
Versions = Mapping[str, str]


class GivenItem(Message):
    """One ranked item that the plays name."""

    key: str
    title: str = Field(description="Untrusted text: at most 120 characters, one line")
    rank: int


class GivenPlay(Message):
    """One play, its items by trend key."""

    title: str
    strategy: str = Field(description="Id in the library")
    sound: str | None
    hashtags: tuple[str, ...]
    items: tuple[str, ...]
    window: tuple[float, float] | None = Field(description="Start and end of its posting window, hours of the day UTC")
    target: Target | None


class Given(Message):
    """A strategy as it was given.

    Attributes:
        tenant: pseudonym of whoever asked; None of the command line.
        starts_at: from when on posts can follow it: when it was given, or, of a market of the past, its instant.
        versions: of whatever it was made by, e.g. `ranker`, `model`, `prompt`.
    """

    strategy_id: str
    creator_id: str
    tenant: str | None
    given_at: datetime
    starts_at: datetime
    as_of: datetime
    locale: str
    writer: Writer
    versions: Versions
    items: tuple[GivenItem, ...]
    plays: tuple[GivenPlay, ...]


def given(
    strategy: Strategy,
    evidence: Evidence,
    given_at: datetime,
    tenant: str | None = None,
    versions: Versions | None = None,
) -> Given:
    """What is kept of a strategy.

    Args:
        evidence: that it rests on; tells what its citations stand for.
        given_at: when it was answered, UTC.
        tenant: whoever asked, as `Principal.caller`.
        versions: of whatever it was made by.
    """
    keys = {item.id: item.key for item in evidence.items}
    facts = {fact.id: fact for fact in evidence.facts}
    plays = tuple(_play(play, keys, facts, evidence) for play in strategy.plays)
    named = {key for play in plays for key in play.items}
    return Given(
        strategy_id=strategy.strategy_id,
        creator_id=strategy.creator_id,
        tenant=tenant,
        given_at=given_at,
        starts_at=starts_at(given_at, strategy.as_of),
        as_of=strategy.as_of,
        locale=strategy.locale,
        writer=strategy.writer,
        versions=dict(versions or {}),
        items=tuple(GivenItem(key=i.key, title=i.title, rank=i.rank) for i in evidence.items if i.key in named),
        plays=plays,
    )


def starts_at(given_at: datetime, as_of: datetime) -> datetime:
    """From when on posts can follow a strategy that was given at one instant, about a market as of another."""
    return as_of if given_at - as_of > PAST else given_at


def _play(play: Play, keys: Mapping[str, str], facts: Mapping[str, Fact], evidence: Evidence) -> GivenPlay:
    """A play with keys for citations; a draft may forget to list what it names."""
    sound, hashtags = _keys([play.sound] if play.sound else [], keys), _keys(play.hashtags, keys)
    return GivenPlay(
        title=play.title,
        strategy=play.strategy,
        sound=sound[0] if sound else None,
        hashtags=hashtags,
        items=tuple(dict.fromkeys((*sound, *hashtags, *_keys(play.items, keys)))),
        window=_window([facts[name] for name in play.facts if name in facts], evidence),
        target=play.target,
    )


def _keys(cited: Iterable[str], keys: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(keys[name] for name in cited if name in keys)


def _window(cited: Iterable[Fact], evidence: Evidence) -> tuple[float, float] | None:
    """The first posting window whose start a play cites, in hours UTC."""
    for fact in cited:
        if fact.name.startswith("window_") and fact.name.endswith("_start"):
            end = fact.name.replace("_start", "_end")
            for other in evidence.facts:
                if other.name == end and isinstance(fact.value, float) and isinstance(other.value, float):
                    offset = evidence.utc_offset_hours
                    return (fact.value - offset) % 24, (other.value - offset) % 24
    return None
