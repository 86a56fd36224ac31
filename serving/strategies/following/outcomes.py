"""Did it work? Answers out of the store of given strategies and the lake, and tells feedback what was found."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Final

from features.errors import FeatureError, LogUnavailable
from features.eventlog.log import EventLog
from features.events import Feedback
from features.evidence.lifts import Measure
from serving.errors import OutcomesUnavailable, UnknownStrategy
from serving.strategies.following.given import Given
from serving.strategies.following.posts import measured, outcome_of, read_posts
from serving.strategies.following.stores import GivenBook, GivenStore
from serving.strategies.schemas import Outcome

if TYPE_CHECKING:
    from features.lake import Lake

log = logging.getLogger(__name__)

KEPT: Final = 256
"""Outcomes that a process remembers, as long as the lake does not change."""
EVENTS_AT_ONCE: Final = 500
RETRY_SECONDS: Final = 5


class Outcomes:
    """Keeps what is given, and answers what became of it, one at a time: that is in no hurry, and slates are.

    Args:
        store: of what was given.
        lake: gives the lake of posts, when one is first asked for.
        events: gives the log that feedback goes to.
    """

    def __init__(self, store: GivenStore, lake: Callable[[], Lake], events: Callable[[], EventLog]) -> None:
        self._store, self._lake, self._events = store, lake, events
        self._book = GivenBook(store)
        self.keep = self._book.keep
        self._turn = asyncio.Semaphore(1)
        self._known: OrderedDict[tuple[str, str], Outcome] = OrderedDict()

    def close(self, seconds: float) -> int:
        """Write what waits, for so long at the most; returns how many strategies were left behind."""
        return self._book.close(seconds)

    async def outcome(self, strategy_id: str, now: datetime, may_read: Callable[[str], bool]) -> Outcome:
        """What became of one strategy.

        Args:
            now: the present instant, UTC.
            may_read: whether the caller may name a creator; whoever may not learns nothing, not even that it exists.

        Raises:
            UnknownStrategy: none of that id was given to anybody whom the caller may name.
            OutcomesUnavailable: nobody can say now.
        """
        one = await asyncio.to_thread(self._store.get, strategy_id)
        if one is None or not may_read(one.creator_id):
            raise UnknownStrategy(f"no strategy «{strategy_id}» was given")
        async with self._turn:
            outcome, events = await asyncio.to_thread(self._found, one)
        try:
            if events:
                await self._events().append_async(events, now)
        except LogUnavailable as error:  # the next job tells it
            log.warning("an outcome is not told to feedback yet: %s", error)
        return outcome

    def _found(self, one: Given) -> tuple[Outcome, list[Feedback]]:
        try:
            lake = self._lake()
            key = one.strategy_id, lake.fingerprint()
            if (known := self._known.get(key)) is not None:
                return known, []
            as_of = lake.latest_at() or one.starts_at
            posts = read_posts(lake, [one], as_of).get(one.creator_id)
        except FeatureError as error:
            raise OutcomesUnavailable(f"the lake cannot be read now: {error}", RETRY_SECONDS) from error
        outcome, events = outcome_of(one, posts, as_of)
        self._known[key] = outcome
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        return outcome, events


def learn(store: GivenStore, lake: Lake, events: Callable[[], EventLog], as_of: datetime) -> dict[str, Measure]:
    """Tell feedback of every strategy's outcome by an instant, and answer what each kind of play was worth.

    Args:
        store: of what was given; later strategies do not exist yet.
        events: gives the log that feedback goes to; it is closed afterwards.

    Returns:
        As `following.posts.measured`.
    """
    strategies = [one for one in store.all() if one.starts_at < as_of]
    posts = read_posts(lake, strategies, as_of)
    told = (event for one in strategies for event in outcome_of(one, posts.get(one.creator_id), as_of)[1])
    if posts:
        _append(events(), told, as_of)
    return measured(strategies, posts)


def _append(events: EventLog, told: Iterable[Feedback], received_at: datetime) -> None:
    """What the log holds already stays as it is: an id is of one strategy and one day."""
    try:
        left = iter(told)
        while some := list(islice(left, EVENTS_AT_ONCE)):
            events.append(some, received_at)
    except LogUnavailable as error:
        log.warning("outcomes are not told to feedback yet: %s", error)
    finally:
        events.close()
