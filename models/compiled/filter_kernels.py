"""The particle filter of `models.growth.particle_filter` as compiled loops; importing this module imports numba.

Each loop draws its random numbers in the order in which the reference does, so both follow the same particles.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from configs import GrowthFilterSettings
from models.compiled.lines import compiled
from models.growth.particle_filter import LONGEST_STEP_DAYS, LONGEST_STRIDE_DAYS, STEP_SLACK_DAYS, RatePrior
from models.growth.public_counts import Flags, Floats


class Sights(NamedTuple):
    """What the filter sees of one trend, in time order, each of shape (n,).

    Attributes:
        days: since 1970, with their fraction.
        counts, cells: the counts, and the widths of their rounding cells.
        is_end: whether it is the last count of its day.
    """

    days: Floats
    counts: Floats
    cells: Floats
    is_end: Flags


class Dynamics(NamedTuple):
    """`GrowthFilterSettings`, the bounds of a step, and the prior of rates."""

    decay: float
    self_decay: float
    rate_volatility: float
    rate_noise: float
    regime_change: float
    jitter_units: float
    jitter_rate: float
    outlier: float
    recount: float
    restart: float
    line_days: float
    least_step_days: float
    gap_days: float
    longest_step_days: float
    longest_stride_days: float
    prior_rate: float
    prior_slope: float
    prior_spread: float
    prior_growing: float
    prior_flat: float
    log10_reference: float

    @classmethod
    def of(cls, settings: GrowthFilterSettings, prior: RatePrior) -> Dynamics:
        """As the reference is told them."""
        return cls(
            decay=settings.decay,
            self_decay=settings.self_decay,
            rate_volatility=settings.rate_volatility,
            rate_noise=settings.rate_noise,
            regime_change=settings.regime_change,
            jitter_units=settings.jitter_units,
            jitter_rate=settings.jitter_rate,
            outlier=settings.outlier,
            recount=settings.recount,
            restart=settings.restart,
            line_days=float(settings.line_days),
            least_step_days=settings.step_days - STEP_SLACK_DAYS,
            gap_days=float(settings.gap_days),
            longest_step_days=LONGEST_STEP_DAYS,
            longest_stride_days=LONGEST_STRIDE_DAYS,
            prior_rate=prior.settings.rate,
            prior_slope=prior.settings.slope,
            prior_spread=prior.settings.spread,
            prior_growing=prior.settings.growing,
            prior_flat=prior.settings.flat,
            log10_reference=prior.log10_reference,
        )


@compiled
def _some(rng: np.random.Generator, size: int, chance: float) -> Flags:
    """Particles that an event of this chance hits, each by itself, shape (particles,)."""
    throws, hit = rng.random(size), np.empty(size, np.bool_)
    for i in range(size):
        hit[i] = throws[i] < chance
    return hit


@compiled
def _spread(rng: np.random.Generator, count: float, cell: float, level: Floats, hit: Flags) -> None:
    """Put the particles that are hit evenly into a rounding cell."""
    where = rng.random(len(level))
    for i in range(len(level)):
        if hit[i]:
            level[i] = np.log(max(count + (where[i] - 0.5) * cell, 0.5))


@compiled
def _draw_rates(rng: np.random.Generator, count: float, size: int, d: Dynamics) -> Floats:
    """Rates of the prior for a trend of this size."""
    median = d.prior_rate * 10.0 ** (-d.prior_slope * max(np.log10(count) - d.log10_reference, 0.0))
    grows, normal = rng.random(size), rng.standard_normal(size)
    rates = np.empty(size)
    for i in range(size):
        grown = median * np.exp(d.prior_spread * normal[i])
        rates[i] = grown if grows[i] < d.prior_growing else d.prior_flat * median * normal[i]
    return rates


@compiled
def _stride(rng: np.random.Generator, level: Floats, rate: Floats, dt: float, elapsed: float, d: Dynamics) -> None:
    """One step of the rates over `dt` days, and of the log counts over `elapsed` days, in place."""
    size, root = len(rate), np.sqrt(dt)
    changed, shock = _some(rng, size, d.regime_change * dt), rng.standard_normal(size)
    volatile, noise = rng.standard_normal(size), rng.standard_normal(size)
    for i in range(size):
        start = rate[i] * np.exp(shock[i]) if changed[i] else rate[i]
        drift = (d.decay + d.self_decay * max(start, 0.0)) * -dt
        after = start * np.exp(drift + d.rate_volatility * root * volatile[i]) + d.rate_noise * root * noise[i]
        level[i] += 0.5 * (rate[i] + after) * elapsed
        rate[i] = after


@compiled
def _restart(
    rng: np.random.Generator, level: Floats, rate: Floats, dt: float, anchor: Floats, at_days: float, d: Dynamics
) -> None:
    """Put some particles on the latest line."""
    size = len(rate)
    moved, here = _some(rng, size, d.restart * dt), anchor[1] + anchor[2] * (at_days - anchor[0])
    put, speed, turn = rng.standard_normal(size), rng.standard_normal(size), rng.standard_normal(size)
    wander = 0.5 * anchor[3] / d.line_days
    for i in range(size):
        if moved[i]:
            level[i] = here + 0.7 * anchor[3] * put[i]
            rate[i] = anchor[2] * np.exp(0.3 * speed[i]) + wander * turn[i]


@compiled
def _softly(level: float, low: float, high: float, soft: float) -> float:
    """σ((high − level) ÷ soft) × σ((level − low) ÷ soft)."""
    below = 1.0 + np.exp(min(max((level - high) / soft, -30.0), 30.0))
    above = 1.0 + np.exp(min(max((low - level) / soft, -30.0), 30.0))
    return float(1.0 / (below * above))


@compiled
def _weigh(
    level: Floats, rate: Floats, weight: Floats, count: float, cell: float, replica: Floats, d: Dynamics
) -> float:
    """Weigh the particles by a count, in place; returns how many they are worth."""
    low, high = np.log(max(count - 0.5 * cell, 0.5)), np.log(count + 0.5 * cell)
    offset, share, total = replica[4], replica[5], 0.0
    for i in range(len(rate)):
        soft = d.jitter_units * cell / count + d.jitter_rate * abs(rate[i])
        likely = _softly(level[i], low, high, soft)
        if offset > 0:
            likely = (1 - share) * likely + share * _softly(level[i] + offset, low, high, soft)
        weight[i] *= d.outlier + likely
        total += weight[i]
    squares = 0.0
    for i in range(len(weight)):
        weight[i] /= total
        squares += weight[i] * weight[i]
    return float(1.0 / squares)


@compiled
def _resample(rng: np.random.Generator, weight: Floats, level: Floats, rate: Floats, to: Floats) -> None:
    """An equally weighted draw by systematic resampling, into `to` of shape (2, particles)."""
    size, reached, kept = len(weight), 0.0, 0
    start = rng.random()
    for i in range(size):
        reached += weight[i]
        edge = size if i == size - 1 else min(int(np.ceil(reached * size - start)), size)
        for place in range(kept, edge):
            to[0, place], to[1, place] = level[i], rate[i]
        kept = max(kept, edge)


@compiled
def follow_counts(
    rng: np.random.Generator, sights: Sights, anchors: Floats, d: Dynamics, size: int, clouds: Floats
) -> None:
    """Run the filter over one trend.

    Args:
        rng: the trend's own.
        anchors: of the trend's day ends, columns as the fields of `Anchor`, shape (day ends, 6).
        clouds: filled with the levels and rates at each day end, shape (day ends, 2, particles).
    """
    days, counts, cells = sights.days, sights.counts, sights.cells
    level, weight, drawn = np.empty(size), np.full(size, 1.0 / size), np.empty((2, size))
    _spread(rng, counts[0], cells[0], level, np.ones(size, np.bool_))
    rate = _draw_rates(rng, counts[0], size, d)
    none, row, last, pace = np.zeros(6), 0, 0, 0.0
    latest = none
    for k in range(len(counts)):
        current = anchors[row] if sights.is_end[k] else latest
        elapsed = days[k] - days[last]
        if k > 0 and (sights.is_end[k] or elapsed >= d.least_step_days):
            after_gap, pace, last = elapsed > max(d.gap_days, 2 * pace), elapsed, k
            if after_gap:
                fresh, other = _some(rng, size, 0.5), _draw_rates(rng, counts[k], size, d)
                for i in range(size):
                    rate[i] = other[i] if fresh[i] else rate[i]
            dt = min(elapsed, d.longest_step_days)
            steps = max(int(np.ceil(dt / d.longest_stride_days)), 1)
            for _ in range(steps):
                _stride(rng, level, rate, dt / steps, elapsed / steps, d)
            _spread(rng, counts[k], cells[k], level, _some(rng, size, d.recount * dt))
            if latest[3] > 0 and not after_gap:
                _restart(rng, level, rate, elapsed, latest, days[k], d)
            if _weigh(level, rate, weight, counts[k], cells[k], current, d) < 0.5 * size:
                _resample(rng, weight, level, rate, drawn)
                for i in range(size):
                    level[i], rate[i], weight[i] = drawn[0, i], drawn[1, i], 1.0 / size
        if sights.is_end[k]:
            _resample(rng, weight, level, rate, clouds[row])
            row, latest = row + 1, current
