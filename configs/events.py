"""Settings of `events.yaml` and `stream.yaml`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from configs.section import Section


class EventSettings(Section):
    """`events.yaml`: where events become durable, and how many may wait for it."""

    store: Literal["sqlite", "redis"]
    path: Path
    redis: SecretStr | None
    shards: int = Field(gt=0, le=1024)
    trust_server: bool
    timeout_seconds: float = Field(gt=0)
    max_waiting: int = Field(gt=0)
    group: int = Field(gt=0)
    ack_seconds: float = Field(gt=0)
    retention_days: float = Field(gt=0)

    @model_validator(mode="after")
    def _redis_has_an_address(self) -> Self:
        if self.store == "redis" and self.redis is None:
            raise ValueError("events in Redis need its address: HARMONIC_EVENTS__REDIS=redis://host:6379/0")
        return self


class StreamSettings(Section):
    """`stream.yaml`: how the consumer of events keeps features, the lake and the market current."""

    clock: Literal["data", "wall"]
    stride_days: float = Field(gt=0)
    batch_events: int = Field(gt=0)
    flush_seconds: float = Field(gt=0)
    push_seconds: float = Field(gt=0)
    refresh_seconds: float = Field(gt=0)
    publish_minutes: float = Field(gt=0)
