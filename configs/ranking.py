"""Settings of `candidates.yaml`, `ranker.yaml` and `promotion.yaml`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from configs.section import Section


class TrendingSettings(Section):
    """What is taken up now in a creator's region and in its cluster of taste."""

    half_life_days: float = Field(gt=0)
    prior_adoptions: float = Field(gt=0)
    creators_per_cluster: int = Field(gt=0)
    most_clusters: int = Field(gt=0)


class CandidateSettings(Section):
    """`candidates.yaml`: the generators, how much each keeps, and what they learn from."""

    least_creators: int = Field(gt=0)
    vocabulary: int = Field(gt=0)
    top_n: int = Field(gt=0)
    middle_n: int = Field(gt=0)
    walk_half_life_days: float = Field(gt=0)
    least_cosine: float = Field(ge=0, le=1)
    coadoption_ridge: float = Field(gt=0)
    coadoption_half_life_days: float = Field(gt=0)
    coadoption_trends: int = Field(gt=0)
    dimensions: int = Field(gt=0)
    neighbour_half_life_days: float = Field(gt=0)
    caption_half_life_days: float = Field(gt=0)
    trending: TrendingSettings


class LinearSettings(Section):
    """The linear stage: where its weights start and how strongly they are held there."""

    prior: dict[str, float]
    ridge: float = Field(ge=0)
    trust_queries: float = Field(ge=0)


class TreeSettings(Section):
    """The trees that correct the linear stage on its best candidates."""

    shortlist: int = Field(gt=0)
    learned: int | None = Field(default=None, gt=0)
    least_queries: int = Field(ge=0)
    least_span_days: float = Field(ge=0)
    trust_queries: float = Field(ge=0)
    seeds: tuple[int, ...] = Field(min_length=1)
    lightgbm: dict[str, Any]


class StageSettings(Section):
    """The two stages of a ranker."""

    linear: LinearSettings
    trees: TreeSettings


class RankerSettings(StageSettings):
    """`ranker.yaml`: the label, the cut-offs and the two stages."""

    horizon_days: int = Field(gt=0)
    cutoff_step_days: int = Field(gt=0)
    max_cutoffs: int = Field(gt=0)
    test_cutoffs: int = Field(gt=0)
    validation_cutoffs: int = Field(gt=0)
    min_history_days: int = Field(gt=0)
    half_life_days: float = Field(gt=0)
    max_cells: int = Field(gt=0)
    established_posts: int = Field(gt=0)
    seed: int


class PromotionSettings(Section):
    """`promotion.yaml`: when the champion alias moves."""

    metric: Literal["ndcg", "recall", "mrr"]
    confidence: float = Field(gt=0, lt=1)
    resamples: int = Field(gt=0)
