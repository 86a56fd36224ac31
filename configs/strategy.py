"""Settings of `strategy.yaml`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from configs.ranking import StageSettings
from configs.section import Section


class BatchSettings(Section):
    """Strategies of many creators in one job of Vertex AI: where its files lie, what it costs, how long it may take."""

    folder: str | None = Field(pattern=r"^gs://[^/]+(/[^/]+)*$")
    price_share: float = Field(gt=0, le=1)
    budget_usd: float = Field(ge=0)
    poll_seconds: float = Field(gt=0)
    wait_hours: float = Field(gt=0)
    counts_at_once: int = Field(gt=0)


class VertexSettings(Section):
    """The model that writes strategies: where it is, how long it may take and what it may cost."""

    project: str | None = Field(min_length=1)
    location: str = Field(min_length=1)
    model: str = Field(min_length=1)
    base_url: str | None = Field(pattern=r"^https://|^http://(127\.0\.0\.1|localhost)(:\d+)?(/|$)")
    labels: dict[str, Annotated[str, Field(pattern=r"^[a-z0-9_-]{0,63}$")]]
    temperature: float = Field(ge=0, le=2)
    max_input_tokens: int = Field(gt=0)
    max_output_tokens: int = Field(gt=0)
    timeout_seconds: float = Field(gt=0)
    deadline_seconds: float = Field(gt=0)
    attempts: int = Field(gt=0)
    wait_seconds: float = Field(ge=0)
    usd_per_million_input: float = Field(ge=0)
    usd_per_million_output: float = Field(ge=0)
    budget_usd_per_request: float = Field(ge=0)
    budget_usd_per_day: float = Field(ge=0)
    breaker_failures: int = Field(gt=0)
    breaker_seconds: float = Field(gt=0)
    cache_days: float = Field(ge=0)
    cache_entries: int = Field(gt=0)
    path: Path
    cache_path: Path
    batch: BatchSettings


class StrategyRankerSettings(StageSettings):
    """The ranker of strategies: its cut-offs and its two stages."""

    model_name: str = Field(min_length=1)
    horizon_days: int = Field(gt=0)
    cutoff_step_days: int = Field(gt=0)
    max_cutoffs: int = Field(gt=0)
    test_cutoffs: int = Field(gt=0)
    min_history_days: int = Field(gt=0)
    half_life_days: float = Field(gt=0)


class StrategySettings(Section):
    """`strategy.yaml`: who writes strategies, and in what order they are proposed."""

    vertex: VertexSettings
    ranker: StrategyRankerSettings
