"""Settings of `benchmark.yaml`."""

from __future__ import annotations

from pydantic import Field

from configs.ranking import StageSettings
from configs.section import Section


class BenchmarkWalkSettings(Section):
    """The damped walk of several lengths: its degree exponents and lengths."""

    steps: int = Field(gt=0)
    damping: float = Field(gt=0, le=1)
    trend_exponent: float = Field(ge=0)
    creator_exponent: float = Field(ge=0)


class BenchmarkContentSettings(Section):
    """How image and audio vectors are joined, and how much their neighbours count."""

    weights: dict[str, float]
    power: float = Field(gt=0)
    share: float = Field(ge=0)
    neighbours: int = Field(gt=0)


class BenchmarkSettings(StageSettings):
    """`benchmark.yaml`: the recipe of the public micro-video benchmark."""

    seed: int = Field(ge=0)
    folds: int = Field(gt=1)
    draws: int = Field(gt=0)
    label_exponent: float = Field(ge=0)
    top_n: int = Field(gt=0)
    candidates: int = Field(gt=0)
    walk: BenchmarkWalkSettings
    content: BenchmarkContentSettings
