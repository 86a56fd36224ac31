"""From rows of the market to what a person reads: titles, evidence with its times, and reasons."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import orjson

from features.trends import NUMERIC
from models.creator import CREATOR_COLUMNS, Creator
from models.explain import explain
from models.interactions import Floats
from models.market import Market
from models.pairs import creator_terms
from serving.item_texts import LOGARITHM, UNITS, about, encoded_items, known_values
from serving.pipeline import Pipeline
from serving.schemas import Scored

Json = dict[str, Any]


class Items(NamedTuple):
    """The items of an answer.

    Attributes:
        pieces: of the inside of a list in JSON, to be joined.
        scores: chance of adoption as it is told, shape (m,).
    """

    pieces: list[bytes]
    scores: Floats


def items(scored: Scored, creator: Creator, pipeline: Pipeline, most_reasons: int) -> Items:
    """The scored rows as `schemas.Item`s, ranked in the order given.

    What is the same for every creator was encoded before; only scores and the choice of reasons are made here.
    """
    picked = scored.rows, scored.cross, scored.usual, scored.raw
    why = explain(pipeline.prepared, pipeline.model.explainer, creator, *picked, most_reasons)
    texts, numbers = pipeline.texts.of(scored.rows.tolist()), _triples(why.numbers)
    told = texts, pipeline.texts.dates, numbers, why.phrases.tolist(), why.values.tolist()
    return Items(encoded_items(*told), why.numbers[:, 0])


def probabilities(pipeline: Pipeline, creator: Creator, scored: Scored) -> Floats:
    """Chance that the creator adopts each within the horizon, rounded as it is told, shape (m,)."""
    calibration = pipeline.model.ranker.calibration
    return np.round(calibration.probability(scored.raw, creator_terms(creator)), 6)


def trend_evidence(market: Market, row: int, names: Sequence[str]) -> list[Json]:
    """The named features of a trend, those that are known."""
    values = known_values(market, np.array([row]), names)[0]
    return [
        {**about(name, market.as_of), "value": value}
        for name, value in zip(names, values, strict=True)
        if value is not None
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
        "evidence": trend_evidence(market, row, names),
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
            {
                **about(name, as_of),
                "value": _value(value, UNITS[name].startswith(LOGARITHM)),
            }
            for name, value in known
            if not math.isnan(value)
        ],
        "hours_utc": creator.hour_profile.tolist(),
        "weekdays": creator.weekday_profile.tolist(),
    }


def _value(value: float, is_logarithm: bool) -> float:
    return round(math.expm1(value), 1) if is_logarithm else round(value, 6)


def _triples(numbers: Floats) -> Iterable[tuple[bytes, bytes, bytes]]:
    """Each row of numbers as JSON, of shape (m, 3)."""
    each = iter(orjson.dumps(numbers.ravel(), option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b","))
    return zip(each, each, each, strict=False)
