"""Job: what each family of features is worth, by training without it and comparing on a validation period."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import numpy as np

from configs import Settings
from features.lake import Lake
from features.store import FeatureRepository
from models.metrics import Interval
from models.pairs import INPUTS
from models.panel import Panel
from models.ranker import Ranker, fit_ranker
from models.registry import Registry
from training.evaluate import Figures, difference, figures, score_panels
from training.panels import Progress
from training.tune import selection_panels

FAMILIES: Final[dict[str, tuple[str, ...]]] = {
    "walks": ("walk", "recent_walk", "long_walk", "walk_by_history"),
    "neighbours": ("neighbours",),
    "coadoption": ("coadoption",),
    "same_post": ("same_post",),
    "text": ("text",),
    "region": ("region_match",),
    "adopters": ("adopters", "adopters_trend", "adopters_past", "adopters_by_history"),
    "recent_use": ("repeat_use", "creators_1d_excess", "creators_3d_excess"),
    "reach": ("reach", "intensity", "busy_users"),
    "sounds": ("sound", "sound_habit"),
}
"""Family → inputs of the linear stage that are taken away together, from both stages."""

TREES: Final = "trees"
"""The ablation that leaves the linear stage alone."""


@dataclass(frozen=True)
class Ablation:
    """What is lost without a family: NDCG@20 of everything − NDCG@20 without it, with its interval."""

    family: str
    loss: Interval


def ablate(
    lake: Lake,
    features: FeatureRepository,
    registry: Registry,
    as_of: datetime,
    settings: Settings,
    progress: Progress = lambda *_: None,
) -> list[Ablation]:
    """Train once with everything and once without each family, log all of it as one run; largest loss first."""
    learn, judge = selection_panels(lake, features, as_of, settings, lambda text, share: progress(text, 0.3 * share))
    options, whole = settings.promotion, fit_ranker(learn, settings.ranker)
    complete, found = _figures(whole, judge), []
    for number, family in enumerate((*FAMILIES, TREES)):
        progress(f"without {family}", 0.3 + 0.7 * number / (len(FAMILIES) + 1))
        reduced = _without(family, whole, learn, judge, settings)
        gap = difference(complete, reduced, "ndcg", options.resamples, settings.ranker.seed, options.confidence)
        found.append(Ablation(family, gap))
    found.sort(key=lambda ablation: -ablation.loss.mean)
    registry.log_figures(
        f"ablation {as_of:%Y-%m-%d}",
        {
            "validation.ndcg": complete.mean("ndcg"),
            **{f"ablation.{a.family}.ndcg_loss": a.loss.mean for a in found},
            **{f"ablation.{a.family}.ndcg_loss.low": a.loss.low for a in found},
        },
    )
    return found


def _without(family: str, whole: Ranker, learn: Sequence[Panel], judge: Sequence[Panel], settings: Settings) -> Figures:
    if family == TREES:
        return _figures(replace(whole, boosters=()), judge)
    masked = [_masked(panel, family) for panel in learn]
    return _figures(fit_ranker(masked, settings.ranker), [_masked(panel, family) for panel in judge])


def _masked(panel: Panel, family: str) -> Panel:
    inputs = panel.inputs.copy()
    inputs[:, :, [INPUTS.index(name) for name in FAMILIES[family]]] = 0
    return replace(panel, inputs=np.ascontiguousarray(inputs))


def _figures(ranker: Ranker, panels: Sequence[Panel]) -> Figures:
    return figures(score_panels(ranker.rank_panel, panels), panels)
