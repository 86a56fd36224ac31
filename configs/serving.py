"""Settings of `serving.yaml` and `traffic.yaml`."""

from __future__ import annotations

from pydantic import Field, SecretStr

from configs.section import Section


class ServingSettings(Section):
    """`serving.yaml`: the address, the slate's rules and the limits of a request."""

    host: str
    port: int = Field(gt=0, lt=65536)
    workers: int = Field(gt=0)
    default_k: int = Field(gt=0)
    max_k: int = Field(gt=0)
    max_candidates: int = Field(gt=0)
    max_share_of_kind: float = Field(gt=0, le=1)
    reasons: int = Field(ge=0)
    refresh_seconds: float = Field(gt=0)


class TrafficSettings(Section):
    """`traffic.yaml`: who gets which model, what is recorded of it, and how a worker comes and goes."""

    salt: str = Field(min_length=1, max_length=64)
    challenger_share: float = Field(ge=0, le=1)
    shadow_share: float = Field(ge=0, le=1)
    shadow_queue: int = Field(gt=0)
    exploration: float = Field(ge=0, lt=1)
    exploration_candidates: int = Field(gt=0)
    exploration_temperature: float = Field(gt=0)
    warm_up_creators: int = Field(gt=0)
    warm_up_milliseconds: float = Field(gt=0)
    impressions_queue: int = Field(gt=0)
    impressions_flush_seconds: float = Field(gt=0)
    segment_bytes: int = Field(gt=0)
    segment_seconds: float = Field(gt=0)
    stage_share: float = Field(ge=0, le=1)
    access_log_share: float = Field(ge=0, le=1)
    log_key: SecretStr
    trace_share: float = Field(ge=0, le=1)
    drain_seconds: float = Field(ge=0)
    flush_seconds: float = Field(ge=0)

    @property
    def wants_challenger(self) -> bool:
        """Whether anything is asked of a challenger."""
        return self.challenger_share > 0 or self.shadow_share > 0
