"""From rows of the market to what a person reads: titles, evidence with its times, and reasons."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

import numpy as np

from features.creators import PROFILE
from features.trends import NUMERIC
from models.creator import CREATOR_COLUMNS, Creator
from models.explain import fit_and_heat, reasons
from models.market import Market
from models.ranker import creator_terms
from serving.schemas import CreatorMetrics, Evidence, Growth, Item, Scored, Trend
from serving.score import Model
from serving.snapshot import TrendSnapshot

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

UNITS: Final = {spec.name: spec.unit for spec in (*NUMERIC, *PROFILE)}


def items(
    scored: Scored, creator: Creator, snapshot: TrendSnapshot, model: Model, most_reasons: int
) -> tuple[Item, ...]:
    """The scored rows as items, ranked in the order given."""
    market = snapshot.market
    contributions = model.explainer.contributions(scored.features, scored.usual)
    fit, heat = fit_and_heat(contributions)
    probability = model.ranker.calibration.probability(scored.raw, creator_terms(creator))
    return tuple(
        Item.model_construct(
            rank=place + 1,
            kind=market.types[row],
            id=market.ids[row],
            title=market.names[row],
            author=market.authors[row] or None,
            score=round(float(probability[place]), 6),
            fit=round(float(fit[place]), 4),
            heat=round(float(heat[place]), 4),
            stage=market.stages[row],
            stage_hit_rate=model.ranker.stage_hit_rates.get(market.stages[row]),
            forecast=_growth(snapshot, row),
            evidence=trend_evidence(market, int(row), ITEM_EVIDENCE),
            reasons=tuple(reasons(scored.features[place], contributions[place], most_reasons)),
        )
        for place, row in enumerate(scored.rows)
    )


def trend_evidence(market: Market, row: int, names: Iterable[str]) -> tuple[Evidence, ...]:
    """The named features of one trend that are known."""
    values = ((name, float(market.column(name)[row])) for name in names)
    return tuple(_evidence(name, value, market.as_of) for name, value in values if not np.isnan(value))


def trend(snapshot: TrendSnapshot, row: int, model: Model) -> Trend:
    """One trend in full."""
    market = snapshot.market
    start = market.as_of - timedelta(days=market.daily_uses.shape[1])
    daily = tuple((start + timedelta(days=i), float(n)) for i, n in enumerate(market.daily_uses[row]))
    return Trend(
        kind=market.types[row],
        id=market.ids[row],
        title=market.names[row],
        author=market.authors[row] or None,
        stage=market.stages[row],
        stage_hit_rate=model.ranker.stage_hit_rates.get(market.stages[row]),
        generic=not bool(market.recommendable[row]),
        evidence=trend_evidence(market, row, [spec.name for spec in NUMERIC if spec.name != "is_sound"]),
        daily_uses=daily,
        forecast=_growth(snapshot, row),
    )


def _growth(snapshot: TrendSnapshot, row: int) -> dict[str, Growth] | None:
    known = snapshot.forecasts.get(snapshot.market.keys[row])
    return {days: Growth.model_construct(None, **values) for days, values in known.items()} if known else None


def creator_metrics(creator: Creator, as_of: datetime) -> CreatorMetrics:
    """What is known of a creator; counts that are kept as logarithms are given as counts."""
    known = ((name, float(value)) for name, value in zip(CREATOR_COLUMNS, creator.profile, strict=True))
    return CreatorMetrics(
        creator_id=creator.creator_id,
        as_of=as_of,
        region=creator.region or None,
        metrics=tuple(_evidence(name, value, as_of) for name, value in known if not np.isnan(value)),
        hours_utc=tuple(creator.hour_profile.tolist()),
        weekdays=tuple(creator.weekday_profile.tolist()),
    )


def _evidence(name: str, value: float, as_of: datetime) -> Evidence:
    unit = UNITS[name]
    if unit.startswith("log1p "):
        value, unit = round(float(np.expm1(value)), 1), unit.removeprefix("log1p ")
    days = name.rpartition("_")[2]
    since = as_of - timedelta(days=int(days[:-1])) if days.endswith("d") and days[:-1].isdigit() else None
    return Evidence.model_construct(name=name, value=round(value, 6), unit=unit, since=since, as_of=as_of)
