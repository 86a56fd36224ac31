"""Settings of `trends.yaml`."""

from __future__ import annotations

from pydantic import Field

from configs.section import Section


class PoolSettings(Section):
    """Which trends are live and worth recommending as of an instant."""

    window_days: int = Field(gt=0)
    min_creators: int = Field(gt=0)
    generic_share: float = Field(gt=0, le=1)
    original_titles: tuple[str, ...]


class LifecycleSettings(Section):
    """The published lifecycle rule: thresholds in the units of the features of the same names."""

    emerging_age_days: float
    rising_velocity: float
    peaking_saturation: float
    declining_velocity: float
    evergreen_age_days: float
    evergreen_velocity: float


class TrendSettings(Section):
    """`trends.yaml`: windows, the pool, lifecycle stages, and what counts as a version of another sound."""

    windows_days: tuple[int, ...]
    pool: PoolSettings
    lifecycle: LifecycleSettings
    variant_words: tuple[str, ...]
