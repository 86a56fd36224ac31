"""The interval of a forecast: as much of the filter's own distribution as would have covered the recent past.

A conformal calibration whose score is the smallest central level that covers what happened, weighted towards recent
and similar forecasts (after Barber, Candès, Ramdas and Tibshirani, 2023, without their finite-sample term).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from configs import GrowthIntervalSettings
from models.growth.projection import LEVELS, MEDIAN
from models.growth.public_counts import Flags, Floats

EDGE = 1e-9
"""How far an interval reaches past its quantiles, so that a count that lands on one is inside."""

AT_ONCE = 64
"""Forecasts that are compared with all resolved ones together."""

STEP = 0.05
"""Between the central levels that two quantiles can give."""


def needed_levels(quantiles: Floats, growth: Floats) -> Floats:
    """The smallest central level at which a distribution covers what happened; NaN where that is unknown.

    Args:
        quantiles: at `LEVELS`, shape (rows, levels).
        growth: shape (rows,).
    """
    needed = np.where(np.isnan(growth), np.nan, 1.0)
    for k in range(MEDIAN + 1):
        inside = (quantiles[:, k] - EDGE <= growth) & (growth <= quantiles[:, -1 - k] + EDGE)
        needed = np.where(inside, 1 - 2 * LEVELS[k] if k < MEDIAN else 0.0, needed)
    return needed


def own_levels(quantiles: Floats, coverage: float) -> Floats:
    """The smallest central level whose closed interval holds `coverage` of the distribution itself, shape (rows,).

    Growth of a rounded count takes few values, so an interval that ends on one holds more than its level says.

    Args:
        quantiles: at `LEVELS`, shape (rows, levels).
    """
    found = np.ones(len(quantiles))
    for k in range(MEDIAN + 1):
        below = (quantiles < quantiles[:, k, None] - EDGE).sum(axis=1)
        within = (quantiles <= quantiles[:, -1 - k, None] + EDGE).sum(axis=1) - 1
        enough = LEVELS[within] - LEVELS[below] >= coverage - EDGE
        found = np.where(enough, 1 - 2 * LEVELS[k] if k < MEDIAN else 0.0, found)
    return found


@dataclass(frozen=True)
class Resolved:
    """Forecasts of which time has shown what they were worth, each attribute of shape (n,).

    Attributes:
        needed: the level that would have covered what happened.
        log_scale: log of the forecast's uncertainty.
        age_days: how long ago it was made.
        same_type: whether it was of the trend type in question.
        is_settled: whether its trend was listed three days before.
    """

    needed: Floats
    log_scale: Floats
    age_days: Floats
    same_type: Flags
    is_settled: Flags


def calibrated_levels(
    resolved: Resolved, own: Floats, log_scale: Floats, is_settled: Flags, settings: GrowthIntervalSettings
) -> Floats:
    """Per forecast, the central level that would have covered the wanted share of the resolved ones like it.

    Args:
        own: the level by the forecasts' own distributions, shape (m,); with more and more resolved forecasts the
            settings' prior level takes its place.
        log_scale: log uncertainty of the forecasts, shape (m,).
        is_settled: whether their trends were listed three days before, shape (m,).
    """
    base = 0.5 ** (resolved.age_days / settings.half_life_days)
    base = base * np.where(resolved.same_type, 1.0, settings.other_type)
    experience = base.sum() / (base.sum() + settings.prior_weight)
    prior = np.round((own + experience * (settings.prior_level - own)) / STEP) * STEP
    values, place = np.unique(np.concatenate([resolved.needed, prior]), return_inverse=True)
    seen, assumed = place[: len(base)], place[len(base) :]
    order = np.argsort(seen, kind="stable")
    held, firsts = np.unique(seen[order], return_index=True)
    base, was, their = base[order], resolved.log_scale[order], resolved.is_settled[order]
    levels = np.empty(len(log_scale))
    for some in (slice(first, first + AT_ONCE) for first in range(0, len(levels), AT_ONCE)):
        near = np.exp(-0.5 * ((was - log_scale[some, None]) / settings.bandwidth) ** 2)
        alike = np.where(their == is_settled[some, None], 1.0, settings.other_age)
        weight = np.zeros((len(near), len(values)))
        if len(held):
            weight[:, held] = np.add.reduceat(base * near * alike, firsts, axis=1)
        weight[np.arange(len(near)), assumed[some]] += settings.prior_weight
        levels[some] = nearest_quantiles(values, weight, settings.coverage)
    return levels


def nearest_quantiles(values: Floats, weight: Floats, share: float) -> Floats:
    """Per row the value up to which the weight comes nearest to `share` of all, shape (m,).

    Args:
        values: ascending and distinct, shape (v,).
        weight: of each value, 0 where a row does not know it, shape (m, v).
    """
    reached = np.cumsum(weight, axis=1)
    return np.asarray(values[np.abs(reached / reached[:, -1:] - share).argmin(axis=1)])


def central_interval(quantiles: Floats, levels: Floats) -> tuple[Floats, Floats]:
    """Low and high end of the central part of each distribution, interpolated between its quantiles.

    Args:
        quantiles: at `LEVELS`, shape (rows, levels).
        levels: the central part, 0 to 1, shape (rows,).
    """
    low = np.array([np.interp(0.5 - c / 2, LEVELS, q) for c, q in zip(levels, quantiles, strict=True)])
    high = np.array([np.interp(0.5 + c / 2, LEVELS, q) for c, q in zip(levels, quantiles, strict=True)])
    return low - EDGE, high + EDGE
