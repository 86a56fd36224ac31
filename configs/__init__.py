"""Settings: one YAML file → one frozen model that forbids unknown keys; the environment overrides any of them.

`HARMONIC_HOME` says where state lives, `HARMONIC_PROFILE` which profile runs; any other value is reached by its
path with double underscores, e.g. `HARMONIC_RANKER__HORIZON_DAYS=14`.
"""

from __future__ import annotations

from configs.auth import AuthSettings, LimitSettings, RateSettings, TokenSettings
from configs.benchmark import BenchmarkContentSettings, BenchmarkSettings, BenchmarkWalkSettings
from configs.events import EventSettings, StreamSettings
from configs.forecast import (
    ForecastSettings,
    GrowthCorrectionSettings,
    GrowthFilterSettings,
    GrowthIntervalSettings,
    GrowthPriorSettings,
    MarketForecastSettings,
)
from configs.ranking import (
    CandidateSettings,
    LinearSettings,
    PromotionSettings,
    RankerSettings,
    StageSettings,
    TreeSettings,
    TrendingSettings,
)
from configs.section import Section, SettingsError
from configs.serving import ServingSettings, TrafficSettings
from configs.stores import FeastSettings, LakeSettings, LogSettings, MlflowSettings, SimulatorSettings
from configs.strategy import BatchSettings, StrategyRankerSettings, StrategySettings, VertexSettings
from configs.tree import CONFIG_DIR, SECTIONS, Settings, current, faults_of, load
from configs.trends import LifecycleSettings, PoolSettings, TrendSettings

__all__ = [
    "CONFIG_DIR",
    "SECTIONS",
    "AuthSettings",
    "BatchSettings",
    "BenchmarkContentSettings",
    "BenchmarkSettings",
    "BenchmarkWalkSettings",
    "CandidateSettings",
    "EventSettings",
    "FeastSettings",
    "ForecastSettings",
    "GrowthCorrectionSettings",
    "GrowthFilterSettings",
    "GrowthIntervalSettings",
    "GrowthPriorSettings",
    "LakeSettings",
    "LifecycleSettings",
    "LimitSettings",
    "LinearSettings",
    "LogSettings",
    "MarketForecastSettings",
    "MlflowSettings",
    "PoolSettings",
    "PromotionSettings",
    "RankerSettings",
    "RateSettings",
    "Section",
    "ServingSettings",
    "Settings",
    "SettingsError",
    "SimulatorSettings",
    "StageSettings",
    "StrategyRankerSettings",
    "StrategySettings",
    "StreamSettings",
    "TokenSettings",
    "TrafficSettings",
    "TreeSettings",
    "TrendSettings",
    "TrendingSettings",
    "VertexSettings",
    "current",
    "faults_of",
    "load",
]
