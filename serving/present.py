"""From rows of the market to what a person reads: titles, evidence with its times, and reasons."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np

from features.creators import PROFILE
from features.trends import NUMERIC
from models.creator import CREATOR_COLUMNS, Creator
from models.explain import fit_and_heat, reasons
from models.interactions import Floats, Ints
from models.market import TREND_COLUMNS, Market
from models.ranker import creator_terms
from serving.pipeline import Pipeline
from serving.schemas import Scored

ITEM_EVIDENCE: Final = (
    "uses_7d",
    "creators_7d",
    "adopters_7d",
    "velocity_7d",
    "burst",
    "saturation",
    "median_lift",
)
"""What stands beside a recommended item, where it is known."""

Json = dict[str, Any]

LOGARITHM: Final = "log1p "
"""Units of counts that are kept as logarithms begin with this."""

UNITS: Final = {spec.name: spec.unit for spec in (*NUMERIC, *PROFILE)}


def items(scored: Scored, creator: Creator, pipeline: Pipeline, most_reasons: int) -> list[Json]:
    """The scored rows as `schemas.Item`s in the form that JSON has, ranked in the order given."""
    snapshot, model, market = pipeline.snapshot, pipeline.model, pipeline.snapshot.market
    features = pipeline.prepared.features(creator, scored.rows, scored.cross)
    contributions = model.explainer.contributions(features, scored.usual)
    fit, heat = (np.round(side, 4).tolist() for side in fit_and_heat(contributions))
    scores = probabilities(pipeline, creator, scored).tolist()
    why = reasons(features, contributions, most_reasons)
    evidence = trend_evidence(market, scored.rows, ITEM_EVIDENCE)
    hit_rates = model.ranker.stage_hit_rates
    return [
        {
            "rank": place + 1,
            "kind": market.types[row],
            "id": market.ids[row],
            "title": market.names[row],
            "author": market.authors[row] or None,
            "score": scores[place],
            "fit": fit[place],
            "heat": heat[place],
            "stage": market.stages[row],
            "stage_hit_rate": hit_rates.get(market.stages[row]),
            "forecast": snapshot.forecasts.get(market.keys[row]),
            "evidence": evidence[place],
            "reasons": why[place],
        }
        for place, row in enumerate(scored.rows.tolist())
    ]


def probabilities(pipeline: Pipeline, creator: Creator, scored: Scored) -> Floats:
    """Chance that the creator adopts each within the horizon, rounded as it is told, shape (m,)."""
    calibration = pipeline.model.ranker.calibration
    return np.round(calibration.probability(scored.raw, creator_terms(creator)), 6)


def trend_evidence(market: Market, rows: Ints, names: Sequence[str]) -> list[list[Json]]:
    """The named features of some trends, those that are known, row by row."""
    told = [_told(name, market.as_of) for name in names]
    values = market.numeric[rows[:, None], np.array([TREND_COLUMNS.index(name) for name in names])]
    for at, name in enumerate(names):
        if UNITS[name].startswith(LOGARITHM):
            values[:, at] = np.round(np.expm1(values[:, at]), 1)
    rounded, known = np.round(values, 6).tolist(), (~np.isnan(values)).tolist()
    return [
        [{**about, "value": value} for about, value, is_known in zip(told, row, here, strict=True) if is_known]
        for row, here in zip(rounded, known, strict=True)
    ]


def trend(pipeline: Pipeline, row: int) -> Json:
    """One trend in full, as `schemas.Trend`."""
    snapshot, market = pipeline.snapshot, pipeline.snapshot.market
    start = market.as_of - timedelta(days=market.daily_uses.shape[1])
    names = [spec.name for spec in NUMERIC if spec.name != "is_sound"]
    return {
        "kind": market.types[row],
        "id": market.ids[row],
        "title": market.names[row],
        "author": market.authors[row] or None,
        "stage": market.stages[row],
        "stage_hit_rate": pipeline.model.ranker.stage_hit_rates.get(market.stages[row]),
        "generic": not bool(market.recommendable[row]),
        "evidence": trend_evidence(market, np.array([row]), names)[0],
        "daily_uses": [(start + timedelta(days=i), n) for i, n in enumerate(market.daily_uses[row].tolist())],
        "forecast": snapshot.forecasts.get(market.keys[row]),
    }


def creator_metrics(creator: Creator, as_of: datetime) -> Json:
    """What is known of a creator, as `schemas.CreatorMetrics`; counts kept as logarithms are given as counts."""
    known = ((name, value) for name, value in zip(CREATOR_COLUMNS, creator.profile.tolist(), strict=True))
    return {
        "creator_id": creator.creator_id,
        "as_of": as_of,
        "region": creator.region or None,
        "metrics": [
            {**_told(name, as_of), "value": _value(value, UNITS[name].startswith(LOGARITHM))}
            for name, value in known
            if not math.isnan(value)
        ],
        "hours_utc": creator.hour_profile.tolist(),
        "weekdays": creator.weekday_profile.tolist(),
    }


def _told(name: str, as_of: datetime) -> Json:
    """Everything about a number but its value."""
    days = name.rpartition("_")[2]
    since = as_of - timedelta(days=int(days[:-1])) if days.endswith("d") and days[:-1].isdigit() else None
    return {"name": name, "unit": UNITS[name].removeprefix(LOGARITHM), "since": since, "as_of": as_of}


def _value(value: float, is_logarithm: bool) -> float:
    return round(math.expm1(value), 1) if is_logarithm else round(value, 6)
