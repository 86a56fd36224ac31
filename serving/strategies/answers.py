"""The shapes of what the two libraries answer."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from serving.schemas import Kind, Message
from serving.strategies.library import Condition
from serving.strategies.schemas import Effort, Strategy


class Cost(Message):
    """What asking the model has cost for this answer; nothing where it was not asked, or had answered before."""

    calls: int
    input_tokens: int
    output_tokens: int = Field(description="Thoughts of the model among them")
    usd: float = Field(description="By the prices of the settings; a call whose outcome is not known counts in full")


class WrittenStrategy(Strategy):
    """Answer of `POST /v1/strategies`: a strategy, and how it came about."""

    fallback: str | None = Field(description="Why the deterministic writer wrote it; absent where the model did")
    cached: bool = Field(description="Whether it had been written before, from the same evidence")
    cost: Cost


class Measured(Message):
    """What a strategy was worth in the lake: more views than posts without it, as a share; 0.08 is eight percent."""

    verdict: Literal["measured", "not enough data"]
    lift: float | None
    lo80: float | None = Field(description="Lower end of the 80 % interval, creators resampled whole")
    hi80: float | None
    posts: int = Field(description="Posts with a known lift that did it")
    others: int = Field(description="Posts that did not")
    creators: int = Field(description="Behind the posts that did it")


class StrategyEntry(Message):
    """One strategy of the library."""

    id: str
    name: str
    goal: str
    when: tuple[Condition, ...]
    fits: tuple[Condition, ...]
    uses: tuple[Kind, ...]
    format: str
    steps: tuple[str, ...]
    effort: Effort
    risks: tuple[str, ...]
    kpis: tuple[str, ...]
    hooks: tuple[str, ...]
    captions: tuple[str, ...]
    query: str = Field(description="Evidence query that measures it, or `none`")
    score: float | None = Field(description="For the creator: shrunk log-lift + 0.1 × fit; absent without one")
    fit: float | None = Field(description="Share of `fits` that hold for the creator")
    measured: Measured
    followed: Measured = Field(description="The same of posts that followed plans which were given, creator by creator")


class Strategies(Message):
    """Answer of `GET /v1/library/strategies`."""

    as_of: datetime = Field(description="By when the lifts were known; 1970 where nothing has been measured")
    creator_id: str | None
    strategies: tuple[StrategyEntry, ...]


class BeforeBurst(Message):
    """What was done in the two weeks before a burst."""

    posts: int
    creators: int
    posts_per_day: float
    tags_per_post: float
    sound_reuse: float = Field(description="Share of posts whose sound the same creator had used before")
    own_sound: float = Field(description="Share of posts without a named sound")
    median_seconds: float | None
    median_followers: float | None
    hours_utc: tuple[int, ...]
    tags: tuple[str, ...]


class ArtistEntry(Message):
    """One burst of one artist, sound or creator."""

    artist_id: str
    kind: Literal["artist", "sound", "creator"]
    name: str
    measured_by: Literal["uses", "followers", "lift"]
    region: str
    tags: tuple[str, ...]
    starts_at: datetime
    ends_at: datetime
    burst: float = Field(description="Standard deviations above what came before")
    value: float = Field(description="Creators in the week; growth of log followers; or mean log-lift")
    before_value: float = Field(description="The same of the week before")
    creators: int
    size: float | None = Field(description="Median log(1 + followers) of who took part")
    sounds: tuple[str, ...]
    before: BeforeBurst
    nearness: float | None = Field(
        description="Cosine of tastes − 0.1 per factor of ten in followers + 0.1 in the same region"
    )


class Artists(Message):
    """Answer of `GET /v1/library/artists`."""

    as_of: datetime
    creator_id: str | None
    artists: tuple[ArtistEntry, ...]
