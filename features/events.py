"""What a program tells us as it happens: posts, counts and feedback, as checked, immutable events.

The rules are those of files (`features/validate.py`, `features/sources`): the same limits, clocks, words and
normal forms. `eventlog.rows.lake_rows` sends events through the very checks of files, and an event that was accepted
here passes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import takewhile
from typing import Annotated, Final, Literal, NamedTuple, TypeVar
from unicodedata import category

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from features.contract import (
    EARLIEST,
    LARGEST_COUNT,
    LATEST,
    LONGEST_ID,
    SKEW,
    TrendType,
    normal_tag,
    trend_key,
)
from features.errors import BadEvent

LONGEST_TEXT: Final = 10_000
"""Characters of a description; TikTok allows 4,000."""
LONGEST_LABEL: Final = 1_000
MOST_TAGS: Final = 200
MOST_FAULTS: Final = 5
LONGEST_FAULT: Final = 500
"""So many faults of one event are told."""
WORTH_TELLING: Final = 1_000
"""Of more, only their number is: listing them takes longer than everything else."""

FeedbackKind = Literal["impression", "click", "save", "adopt", "dismiss", "outcome"]
NEEDS_A_TREND: Final = ("adopt", "dismiss")

_Model = TypeVar("_Model", bound="Told")


def _no_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("holds a NUL byte")
    return text


def _trimmed(text: str) -> str:
    return _no_nul(text).strip()


def _needed(text: str) -> str:
    if not (trimmed := _trimmed(text)):
        raise ValueError("is blank")
    return trimmed


def _blank_is_none(text: str | None) -> str | None:
    return text or None


def _utc(at: datetime, info: ValidationInfo) -> datetime:
    """The instant in UTC; a naive one is UTC. The context's `latest` is the latest that can have happened."""
    try:
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except OverflowError:
        raise ValueError("is no time of our era") from None
    if not EARLIEST <= at < LATEST:
        raise ValueError(f"is no time between {EARLIEST.year} and {LATEST.year}")
    if info.context and at > info.context["latest"]:
        raise ValueError("is in the future")
    return at


Id = Annotated[str, Field(min_length=1, max_length=LONGEST_ID), AfterValidator(_needed)]
Text = Annotated[str, Field(max_length=LONGEST_TEXT), AfterValidator(_no_nul)]
_Trimmed = Annotated[str, AfterValidator(_trimmed)]
OptionalId = Annotated[Annotated[_Trimmed, Field(max_length=LONGEST_ID)] | None, AfterValidator(_blank_is_none)]
Label = Annotated[Annotated[_Trimmed, Field(max_length=LONGEST_LABEL)] | None, AfterValidator(_blank_is_none)]
Hashtags = Annotated[tuple[Text, ...], Field(max_length=MOST_TAGS, fail_fast=True)]
"""The first bad one ends the check: a million bad ones would take seconds to tell of."""
Region = Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
Count = Annotated[int, Field(strict=True, ge=0, le=LARGEST_COUNT)]
Share = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
Instant = Annotated[
    datetime,
    AfterValidator(_utc),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "number"}]}),
]


def tag_id(tag: str) -> str:
    """A hashtag's trend id, however often it was normalised before."""
    while (normal := normal_tag(tag)) != tag:
        tag = normal
    return tag


def _tags_in(text: str) -> Iterator[str]:
    """The hashtags that stand in free text: letters, marks, digits and `_` after a `#`."""
    for part in text.replace("＃", "#").split("#")[1:]:
        yield "".join(takewhile(lambda c: c == "_" or category(c)[0] in "LMN", part))


class Told(BaseModel):
    """An event or a part of one: immutable, unknown fields are an error, faults never repeat the input."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class _Counts(Told):
    """Counts of which at least one is known."""

    @model_validator(mode="after")
    def _not_empty(self: _Model) -> _Model:
        if not any(name.endswith("_count") and value is not None for name, value in self):
            raise ValueError("no count is given")
        return self


class Counts(_Counts):
    """The counts of a video at one moment."""

    view_count: Count | None = None
    like_count: Count | None = None
    comment_count: Count | None = None
    share_count: Count | None = None
    favorites_count: Count | None = None


class Post(Told):
    """A creator has published a video."""

    event_id: Id = Field(description="Yours, unique; the same event sent again counts once")
    kind: Literal["post"]
    id: Id = Field(description="The video's id")
    creator_id: Id = Field(description="The creator's username")
    create_time: Instant = Field(description="When it was published; ISO 8601 or Unix seconds, UTC where unsaid")
    observed_at: Instant | None = Field(None, description="When it, and its counts, were seen; by default now")
    description: Text | None = None
    duration: Count | None = Field(None, description="Seconds")
    music_id: OptionalId = None
    music_title: Label = None
    music_author: Label = None
    hashtags: Hashtags | None = Field(None, validate_default=True, description="By default those in the description")
    region: Region | None = None
    counts: Counts | None = None

    @field_validator("hashtags", mode="after")
    @classmethod
    def _normal(cls, listed: tuple[str, ...] | None, info: ValidationInfo) -> tuple[str, ...]:
        if listed is None:
            found = map(tag_id, _tags_in(info.data.get("description") or ""))
            return tuple(dict.fromkeys(tag for tag in found if 0 < len(tag) <= LONGEST_ID))
        normal = tuple(dict.fromkeys(tag for given in listed if (tag := tag_id(given))))
        if any(len(tag) > LONGEST_ID for tag in normal):
            raise ValueError(f"a hashtag is longer than {LONGEST_ID} characters")
        return normal

    @model_validator(mode="after")
    def _in_order(self) -> Post:
        if self.observed_at is not None and self.observed_at + SKEW < self.create_time:
            raise ValueError("observed_at is before create_time")
        return self


class Observation(Told):
    """Somebody has read a video's counts."""

    event_id: Id
    kind: Literal["observation"]
    id: Id = Field(description="The video's id")
    observed_at: Instant
    counts: Counts


class CreatorObservation(_Counts):
    """Somebody has read a creator's counts."""

    event_id: Id
    kind: Literal["creator_observation"]
    creator_id: Id
    observed_at: Instant
    follower_count: Count | None = None
    following_count: Count | None = None
    likes_count: Count | None = None
    video_count: Count | None = None


class _OfTrend(Told):
    """Something that names a trend; a hashtag's id takes its normal form."""

    @field_validator("trend_id", mode="after", check_fields=False)
    @classmethod
    def _normal(cls, trend_id: str | None, info: ValidationInfo) -> str | None:
        if trend_id is None or info.data.get("trend_type") != "hashtag":
            return trend_id
        if not 0 < len(normal := tag_id(trend_id)) <= LONGEST_ID:
            raise ValueError("is no hashtag")
        return normal


class TrendObservation(_OfTrend):
    """Somebody has read a trend's public count or place."""

    event_id: Id
    kind: Literal["trend_observation"]
    trend_type: TrendType
    trend_id: Id
    observed_at: Instant
    value: Count | None = None
    metric: OptionalId = None
    position: Count | None = None
    region: Region | None = None
    name: Label = None
    author: Label = None

    @model_validator(mode="after")
    def _tells(self) -> TrendObservation:
        if self.value is None and self.position is None:
            raise ValueError("neither value nor position is given")
        return self


class Feedback(_OfTrend):
    """What a creator did with a recommendation."""

    event_id: Id
    kind: Literal["feedback"]
    feedback: FeedbackKind
    creator_id: Id
    recommendation_id: OptionalId = None
    trend_type: TrendType | None = None
    trend_id: OptionalId = None
    rank: Count | None = None
    propensity: Share | None = Field(None, description="With which probability it was shown at this rank")
    occurred_at: Instant

    @model_validator(mode="after")
    def _of_a_trend(self) -> Feedback:
        if (self.trend_type is None) != (self.trend_id is None):
            raise ValueError("trend_type and trend_id come together")
        if self.feedback in NEEDS_A_TREND and self.trend_id is None:
            raise ValueError(f"{self.feedback} needs trend_type and trend_id")
        return self


Event = Annotated[Post | Observation | CreatorObservation | TrendObservation | Feedback, Field(discriminator="kind")]
EVENT: Final[TypeAdapter[Event]] = TypeAdapter(Event)


class Entry(NamedTuple):
    """An event in the log: its place, when it came in (UTC), and what it says."""

    seq: int
    received_at: datetime
    event: Event


def read_event(told: object, received_at: datetime) -> Event:
    """One event out of parsed JSON.

    Args:
        told: what a caller sent; anything at all.
        received_at: when it came in (UTC); nothing can have happened later, but for `contract.SKEW`.

    Raises:
        BadEvent: it breaks a rule; the message names each and never repeats a value.
    """
    try:
        return EVENT.validate_python(told, context={"latest": received_at + SKEW})
    except ValidationError as error:
        raise BadEvent(_faults(error)) from None


def _faults(error: ValidationError) -> str:
    if (count := error.error_count()) > WORTH_TELLING:
        return f"event: {count} faults"
    found = error.errors(include_url=False, include_context=False, include_input=False)
    told = [f"{'.'.join(map(str, fault['loc'][1:])) or 'event'}: {fault['msg']}" for fault in found[:MOST_FAULTS]]
    return "; ".join(told).replace("Value error, ", "")[:LONGEST_FAULT]


def creator_of(event: Event) -> str | None:
    """Whose event it is; counts of videos and of trends are nobody's."""
    return getattr(event, "creator_id", None)


def pack(event: Event) -> bytes:
    """An event as JSON bytes; equal events have equal bytes."""
    return event.model_dump_json(exclude_none=True).encode()


def unpack(body: bytes) -> Event:
    """The inverse of `pack`."""
    return EVENT.validate_json(body)


def marks(event: Event, original_titles: Iterable[str]) -> list[tuple[str, str]]:
    """What an event changes for its creator's next request: (`used` | `adopted` | `dismissed`, trend key).

    A sound with one of the `original_titles` is a creator's own audio and no trend, as in `history`.
    """
    if isinstance(event, Post):
        keys = [trend_key("hashtag", tag) for tag in event.hashtags or ()]
        if event.music_id and (event.music_title or "") not in original_titles:
            keys.append(trend_key("sound", event.music_id))
        return [("used", key) for key in keys]
    if isinstance(event, Feedback) and event.trend_type and event.trend_id:
        mark = {"adopt": "adopted", "dismiss": "dismissed"}.get(event.feedback)
        return [(mark, trend_key(event.trend_type, event.trend_id))] if mark else []
    return []
