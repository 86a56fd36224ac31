"""Back-test of the lifecycle rule: how often what a stage promises comes true over the following week."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from features.history import DAY, History, micros
from features.trends import STAGES
from models.interactions import Floats, places
from models.panel import Panel

OUTCOME_DAYS: Final = 7
STEADY: Final = 1.5
"""Uses of two weeks within this factor of each other are steady."""


@dataclass(frozen=True)
class HitRate:
    """How often a stage's promise came true, and over how many trends."""

    share: float
    trends: int


def stage_hit_rates(panels: Sequence[Panel], known: History) -> dict[str, HitRate]:
    """Hit rate per stage over every live trend of every panel whose following week is known.

    Args:
        panels: markets at cut-offs.
        known: history that reaches beyond them.
    """
    hits: dict[str, list[npt.NDArray[np.bool_]]] = {stage: [] for stage in STAGES}
    for panel in panels:
        if micros(panel.cutoff) + OUTCOME_DAYS * DAY > known.now:
            continue
        came_true = _promises(panel.market.column("uses_7d"), _uses_after(panel, known))
        for stage in STAGES:
            hits[stage].append(came_true[stage][panel.market.stages == stage])
    joined = {stage: np.concatenate(parts) if parts else np.zeros(0, bool) for stage, parts in hits.items()}
    return {stage: HitRate(float(found.mean()), len(found)) for stage, found in joined.items() if len(found)}


def stage_metrics(rates: Mapping[str, HitRate]) -> dict[str, float]:
    """The hit rates as metrics of a run."""
    shares = {f"stage.{stage}.hit_rate": rate.share for stage, rate in rates.items()}
    return shares | {f"stage.{stage}.trends": float(rate.trends) for stage, rate in rates.items()}


def _promises(before: Floats, after: Floats) -> dict[str, npt.NDArray[np.bool_]]:
    """Stage → whether the uses of the week after, against those of the week before, are what the stage promises."""
    ratio = (after + 1) / (before + 1)
    return {
        "emerging": ratio >= 1,
        "rising": ratio >= 1,
        "peaking": ratio <= STEADY,
        "declining": ratio <= 1,
        "evergreen": (ratio <= STEADY) & (ratio >= 1 / STEADY),
    }


def _uses_after(panel: Panel, known: History) -> Floats:
    start = micros(panel.cutoff)
    created = known.use_created
    week = (created > start) & (created <= start + OUTCOME_DAYS * DAY)
    row = places(known.trends["key"], panel.market.keys)[known.use_trend[week]]
    return np.bincount(row[row >= 0], minlength=len(panel.market)).astype(float)
