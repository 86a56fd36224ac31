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
from models.creator import CREATOR_COLUMNS
from models.market import FORECAST_COLUMNS, TREND_COLUMNS
from models.metrics import Interval
from models.pairs import FEATURES, INPUTS
from models.panel import Panel
from models.ranker import Ranker, fit_ranker
from models.registry import Registry
from training import drawings, report
from training.evaluate import Figures, difference, figures, score_panels
from training.panels import Progress
from training.tune import selection_panels

_FAMILIES: Final[dict[str, tuple[str, ...]]] = {
    "walks": ("walk", "recent_walk", "long_walk", "walk_by_history"),
    "neighbours": ("neighbours",),
    "coadoption": ("coadoption",),
    "same_post": ("same_post",),
    "text": ("text",),
    "captions": ("captions",),
    "taste_clusters": ("cluster_trends",),
    "region": ("region_trends", "region_match", "region_share", "top_region_share"),
    "adopters": (
        *("adopters", "adopters_trend", "adopters_past", "adopters_by_history", "sound_adopters"),
        *("adopters_1d", "adopters_3d", "adopters_7d", "adopters_28d"),
        *("recent_adopters_2d", "recent_adopters_5d", "recent_adopters_14d"),
    ),
    "recent_use": (
        *("repeat_use", "creators_1d_excess", "creators_3d_excess", "recent_creators_7d"),
        *("uses_1d", "uses_3d", "creators_1d", "creators_3d"),
    ),
    "reach": (
        *("reach", "intensity", "busy_users", "uses_7d", "uses_28d", "creators_7d", "creators_28d", "creators_ever"),
        *("posts_per_creator_28d", "users_posts", "users_trends_per_post", "saturation", "concentration"),
        *("creator_share_28d", "repeat_share", "sound_reach"),
    ),
    "sounds": ("sound", "sound_habit", "is_sound", "creator_sound_share", "sound_uses"),
    "dynamics": (
        *("velocity_1d", "velocity_3d", "velocity_7d", "velocity_28d", "burst", "age_days", "hours_since_last_use"),
        *("acceleration_1d", "acceleration_3d", "acceleration_7d", "acceleration_28d"),
    ),
    "response": (
        *("views_gained_1d", "views_gained_3d", "views_gained_7d", "views_gained_28d"),
        *("median_lift", "engagement_per_view", "median_views", "median_engagement"),
    ),
    "audience": ("followers", "median_followers", "follower_gap"),
    "public_counts": (
        *("market_count", "market_growth_1d", "market_growth_3d", "market_growth_7d"),
        *("market_growth_7d_lo", "market_growth_7d_hi", "market_position"),
    ),
    "creator_habits": (
        *("posts_known", "posts_7d", "posts_28d", "cadence", "days_since_post", "trends_per_post", "adoption_rate"),
        *("distinct_trends", "adoptions_28d", "uses_per_post", "mainstream"),
    ),
    "forecast": FORECAST_COLUMNS,
}

MADE_OF_ALL: Final = ("stage_one", "stage_one_place")
"""What the linear stage tells the trees: it has lost a family when the linear stage has."""


def _families() -> dict[str, tuple[str, ...]]:
    known = {name: tuple(n for n in names if n in FEATURES) for name, names in _FAMILIES.items()}
    named = {name for names in known.values() for name in names}
    other = tuple(name for name in FEATURES if name not in named and name not in MADE_OF_ALL)
    return {name: names for name, names in {**known, "other": other}.items() if names}


FAMILIES: Final = _families()
"""Family → features that are taken away together, from both stages; «other» is what no family names."""

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
    _log(registry, as_of, complete, found)
    return found


def taken_away(ranker: Ranker, panels: Sequence[Panel], settings: Settings) -> list[Ablation]:
    """What a trained ranker loses when a family tells it nothing any more; it is not trained again. Largest first."""
    options, complete = settings.promotion, _figures(ranker, panels)
    found = []
    for family in (*FAMILIES, TREES):
        reduced = replace(ranker, boosters=()) if family == TREES else ranker
        seen = panels if family == TREES else [without_family(panel, family) for panel in panels]
        found.append(
            Ablation(
                family,
                difference(
                    complete,
                    _figures(reduced, seen),
                    "ndcg",
                    options.resamples,
                    settings.ranker.seed,
                    options.confidence,
                ),
            )
        )
    return sorted(found, key=lambda ablation: -ablation.loss.mean)


def ablation_section(found: Sequence[Ablation], text: str, drawing: str) -> report.Section:
    """What each family is worth, as a table and a drawing."""
    rows = [[a.family, report.with_interval(a.loss), ", ".join(FAMILIES.get(a.family, ()))] for a in found]
    head = ["without", "NDCG@20 lost", "features"]
    return report.Section("What each family of features is worth", text, [head, *rows], drawing)


def _log(registry: Registry, as_of: datetime, complete: Figures, found: Sequence[Ablation]) -> None:
    drawn = {"ablation.png": drawings.losses_figure({a.family: a.loss for a in found}, "Trained again without it")}
    text = (
        f"NDCG@20 on the validation period is {complete.mean('ndcg'):.4f} with everything, on "
        f"{len(complete.per_query['ndcg']):,} queries. Below is how much of it is lost when the model is trained again "
        "without a family; an interval that holds 0 proves nothing. «trees»: the linear stage stands alone."
    )
    title, sections = f"Ablation as of {as_of:%Y-%m-%d}", [ablation_section(found, text, "ablation.png")]
    ends = {"": "mean", ".low": "low", ".high": "high"}
    registry.log_evaluation(
        title.lower(),
        {
            "validation.ndcg": complete.mean("ndcg"),
            **{f"ablation.{a.family}.ndcg_loss{e}": getattr(a.loss, name) for a in found for e, name in ends.items()},
        },
        parameters={"as_of": as_of.isoformat()} | {f"family.{name}": " ".join(of) for name, of in FAMILIES.items()},
        figures=drawn,
        reports={
            "report.md": report.markdown_report(title, sections),
            "report.html": report.html_report(title, sections, drawn),
        },
    )


def _without(family: str, whole: Ranker, learn: Sequence[Panel], judge: Sequence[Panel], settings: Settings) -> Figures:
    if family == TREES:
        return _figures(replace(whole, boosters=()), judge)
    masked = [without_family(panel, family) for panel in learn]
    return _figures(fit_ranker(masked, settings.ranker), [without_family(panel, family) for panel in judge])


def without_family(panel: Panel, family: str) -> Panel:
    """The panel with a family's inputs 0 and its other features unknown, for every trend alike."""
    names, market = FAMILIES[family], panel.market
    inputs, numeric = panel.inputs.copy(), market.numeric.copy()
    inputs[:, :, [INPUTS.index(name) for name in names if name in INPUTS]] = 0
    numeric[:, [TREND_COLUMNS.index(name) for name in names if name in TREND_COLUMNS]] = np.nan
    codes = () if "region_share" in names else market.region_codes
    creators = panel.creators
    if unknown := [CREATOR_COLUMNS.index(name) for name in names if name in CREATOR_COLUMNS]:
        profiles = [creator.profile.copy() for creator in creators]
        for profile in profiles:
            profile[unknown] = np.nan
        creators = tuple(replace(c, profile=p) for c, p in zip(creators, profiles, strict=True))
    market = replace(market, numeric=numeric, region_codes=codes)
    return replace(panel, inputs=inputs, market=market, creators=creators)


def _figures(ranker: Ranker, panels: Sequence[Panel]) -> Figures:
    return figures(score_panels(ranker.rank_panel, panels), panels)
