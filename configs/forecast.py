"""Settings of `forecast.yaml`."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from configs.section import Section


class GrowthFilterSettings(Section):
    """The dynamics and the noise of a trend's hidden growth; rates are per day."""

    decay: float = Field(ge=0)
    self_decay: float = Field(ge=0)
    rate_volatility: float = Field(ge=0)
    rate_noise: float = Field(ge=0)
    regime_change: float = Field(ge=0, le=1)
    jitter_units: float = Field(gt=0)
    jitter_rate: float = Field(ge=0)
    outlier: float = Field(gt=0, lt=1)
    recount: float = Field(ge=0, le=1)
    restart: float = Field(ge=0, le=1)
    line_days: float = Field(gt=0)
    step_days: float = Field(gt=0)
    gap_days: float = Field(gt=0)


class GrowthPriorSettings(Section):
    """How fast a trend of a given size grows before its own counts tell."""

    rate: float = Field(gt=0)
    log10_reference: dict[str, float]
    slope: float = Field(ge=0)
    spread: float = Field(ge=0)
    growing: float = Field(ge=0, le=1)
    flat: float = Field(ge=0)


class GrowthCorrectionSettings(Section):
    """The trees that learn the error of past forecasts."""

    strength: float = Field(ge=0, le=1)
    least_examples: int = Field(gt=0)
    half_life_days: float = Field(gt=0)
    lightgbm: dict[str, Any]


class GrowthIntervalSettings(Section):
    """How the forecast's interval is calibrated on past forecasts."""

    coverage: float = Field(gt=0, lt=1)
    prior_level: float = Field(ge=0, lt=1)
    prior_weight: float = Field(gt=0)
    half_life_days: float = Field(gt=0)
    bandwidth: float = Field(gt=0)
    other_type: float = Field(ge=0, le=1)
    other_age: float = Field(ge=0, le=1)


class MarketForecastSettings(Section):
    """Forecasts of the whole market at one instant."""

    history_days: int = Field(gt=0)
    particles: int = Field(ge=100)
    lightgbm: dict[str, Any]


class ForecastSettings(Section):
    """`forecast.yaml`: the growth of public counts."""

    particles: int = Field(ge=100)
    seed: int = Field(ge=0)
    pool: tuple[str, ...]
    slope_windows_days: tuple[int, ...]
    market: MarketForecastSettings
    filter: GrowthFilterSettings
    prior: GrowthPriorSettings
    correction: GrowthCorrectionSettings
    interval: GrowthIntervalSettings
