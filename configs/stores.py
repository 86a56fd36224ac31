"""Settings of where things are kept and told: lake, Feast, MLflow, logs, and the world that stands in for metrics."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from configs.section import Section


class LakeSettings(Section):
    """The lake: which clock makes a post known, and how much memory a job may take."""

    posts_known: Literal["created", "observed"]
    memory_limit: str
    batch_rows: int = Field(gt=0)


class SimulatorSettings(Section):
    """`simulator.yaml`: the size of the world that stands in while there are no metrics."""

    creators: int = Field(ge=10)
    trends: int = Field(ge=10)
    days: int = Field(ge=30)
    seed: int = Field(ge=0)


class FeastSettings(Section):
    """Where Feast keeps its registry, offline and online stores: the YAML of the profile."""

    config: str


class MlflowSettings(Section):
    """Where runs and registered models live; relative addresses are below `HARMONIC_HOME`."""

    tracking_uri: str
    artifact_root: str
    experiment: str
    model_name: str


class LogSettings(Section):
    """Log level and rendering."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"]
    json_lines: bool
