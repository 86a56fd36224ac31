"""Events in: each checked by itself, the good ones acknowledged once they are durable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from features.contract import LONGEST_ID
from features.errors import BadEvent, LogBusy, LogUnavailable
from features.eventlog.log import Accepted, EventLog
from features.events import EVENT, Event, creator_of, read_event
from serving.errors import EventsUnavailable, Forbidden, NoEvent
from serving.schemas import Message

MOST_EVENTS: Final = 500
BUSY_SECONDS: Final = 1
DOWN_SECONDS: Final = 5
"""When to come back after a full queue, and after a log that does not answer."""

BREATH: Final = 32
"""Events after which a long request lets others have their turn."""

MayWrite = Callable[[str | None], bool]
"""Whether the caller may tell events of a creator, or (None) of nobody in particular."""


class _Unchecked:
    """Described as an event, and taken as it is: one bad event must not refuse the others."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.any_schema()

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(EVENT.core_schema)


class EventsRequest(Message):
    """Body of `POST /v1/events`."""

    events: tuple[Annotated[Any, _Unchecked], ...] = Field(
        min_length=1, max_length=MOST_EVENTS, description="In the order they happened"
    )

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "events": [
                        {
                            "event_id": "e-1",
                            "kind": "post",
                            "id": "7301",
                            "creator_id": "ava.beats",
                            "create_time": "2025-03-01T12:00:00Z",
                            "hashtags": ["dance"],
                        }
                    ]
                }
            ]
        }
    )


class EventOutcome(Message):
    """What became of one event."""

    event_id: str | None = Field(description="As it was sent; absent where it could not be read")
    status: Literal["accepted", "duplicate", "rejected"]
    seq: int | None = Field(None, description="Its place in the log")
    fault: str | None = Field(None, description="Why it was rejected; sending it again will not help")


class EventsAccepted(Message):
    """Answer of `POST /v1/events`: every event's outcome, in order; what is accepted is durable."""

    accepted: int
    duplicates: int
    rejected: int
    events: tuple[EventOutcome, ...]


class Intake:
    """Checks events and hands the good ones to the log.

    Args:
        log: where they become durable.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log

    async def accept(self, request: EventsRequest, received_at: datetime, may_write: MayWrite) -> EventsAccepted:
        """Every valid event of a request, made durable.

        Args:
            received_at: when the request came in (UTC).
            may_write: whose events the caller may tell.

        Raises:
            NoEvent: not one of the events is valid.
            Forbidden: the valid ones are all of creators that the caller may not speak for.
            EventsUnavailable: nothing was acknowledged; all may be sent again.
        """
        outcomes: dict[int, EventOutcome] = {}
        good: dict[int, Event] = {}
        forbidden = 0
        for place, told in enumerate(request.events):
            if place % BREATH == BREATH - 1:
                await asyncio.sleep(0)
            try:
                event = read_event(told, received_at)
            except BadEvent as bad:
                outcomes[place] = _rejected(_id_of(told), str(bad))
                continue
            if may_write(creator_of(event)):
                good[place] = event
            else:
                outcomes[place] = _rejected(event.event_id, "the credential does not reach this creator's events")
                forbidden += 1
        if not good:
            _refuse(outcomes, forbidden)
        accepted = await self._append(list(good.values()), received_at)
        outcomes.update((place, _outcome(one)) for place, one in zip(good, accepted, strict=True))
        return _answer([outcomes[place] for place in range(len(request.events))])

    async def _append(self, events: list[Event], received_at: datetime) -> list[Accepted]:
        try:
            return await self._log.append_async(events, received_at)
        except LogBusy as error:
            raise EventsUnavailable(str(error), BUSY_SECONDS) from error
        except LogUnavailable as error:
            raise EventsUnavailable("the event log does not answer; send the events again", DOWN_SECONDS) from error


def _refuse(outcomes: dict[int, EventOutcome], forbidden: int) -> None:
    if forbidden:
        raise Forbidden("the credential does not reach the creators of these events")
    told = [f"events.{place}: {outcomes[place].fault}" for place in sorted(outcomes)[:5]]
    more = f"; and {len(outcomes) - len(told)} more" if len(outcomes) > len(told) else ""
    raise NoEvent("; ".join(told) + more)


def _answer(outcomes: list[EventOutcome]) -> EventsAccepted:
    counts = [outcome.status for outcome in outcomes]
    return EventsAccepted(
        accepted=counts.count("accepted"),
        duplicates=counts.count("duplicate"),
        rejected=counts.count("rejected"),
        events=tuple(outcomes),
    )


def _outcome(one: Accepted) -> EventOutcome:
    if one.conflict:
        return _rejected(one.event_id, "another event with this event_id was accepted before")
    return EventOutcome(event_id=one.event_id, status="duplicate" if one.duplicate else "accepted", seq=one.seq)


def _rejected(event_id: str | None, fault: str) -> EventOutcome:
    return EventOutcome(event_id=event_id, status="rejected", fault=fault)


def _id_of(told: Any) -> str | None:
    """The id of an event that is not valid, for the caller to find it again."""
    given = told.get("event_id") if isinstance(told, dict) else None
    valid = isinstance(given, str) and len(given) <= LONGEST_ID and given.isprintable()
    return given if valid else None
