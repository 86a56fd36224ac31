"""A particle filter over the hidden log count and growth rate of one trend, seen through TikTok's rounding.

A bootstrap filter (Gordon, Salmond and Smith, 1993) with systematic resampling (Kitagawa, 1996). The state is the log
count l and its rate r per day:

    r' = r exp(−(decay + self_decay max(r, 0)) dt + volatility √dt z₁) + noise √dt z₂
    l' = l + (r + r') dt ÷ 2

A count says only that the true one lies inside a rounding cell, or that of one of two replicas where it flips. What
runs is `filter_kernels`, the same step by step as compiled loops; `follow` is what it is held to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from configs import GrowthFilterSettings, GrowthPriorSettings
from models.growth.public_counts import Flags, Floats, PublicCounts
from models.growth.replicas import NO_ANCHOR, Anchor, Anchors

LONGEST_STEP_DAYS: Final = 30.0
LONGEST_STRIDE_DAYS: Final = 2.0
STEP_SLACK_DAYS: Final = 1e-6


class Cloud(NamedTuple):
    """Equally weighted particles: log counts and rates per day, each shape (particles,)."""

    level: Floats
    rate: Floats


@dataclass(frozen=True)
class Seen:
    """One count, the width of its rounding cell, and the days since the filter's previous one."""

    count: float
    cell: float
    elapsed: float


@dataclass(frozen=True)
class RatePrior:
    """The distribution of a trend's rate given its size.

    Attributes:
        settings: `forecast.yaml`, prior.
        log10_reference: the size up to which rates do not fall.
    """

    settings: GrowthPriorSettings
    log10_reference: float

    @classmethod
    def of_type(cls, trend_type: str, settings: GrowthPriorSettings) -> RatePrior:
        """The prior of a trend type; one that the settings do not name starts to slow down at the least size."""
        known = settings.log10_reference
        return cls(settings, known.get(trend_type, min(known.values(), default=0.0)))

    def median(self, count: Floats | float) -> Floats:
        """Median rate per day of a growing trend of this size."""
        above = np.maximum(np.log10(count) - self.log10_reference, 0.0)
        return np.asarray(self.settings.rate * 10.0 ** (-self.settings.slope * above))

    def rates(self, count: Floats | float, grows: Floats, normal: Floats) -> Floats:
        """Rates for uniform draws `grows` and standard normal draws `normal`; all shapes broadcast together."""
        median, prior = self.median(count), self.settings
        return np.where(grows < prior.growing, median * np.exp(prior.spread * normal), prior.flat * median * normal)

    def draw(self, count: float, size: int, rng: np.random.Generator) -> Floats:
        """Rates of shape (size,)."""
        return self.rates(count, rng.random(size), rng.standard_normal(size))


def next_rates(
    rate: Floats, dt: Floats | float, volatile: Floats, noise: Floats, settings: GrowthFilterSettings
) -> Floats:
    """Rates after `dt` days for standard normal draws `volatile` and `noise` of the same shape."""
    root = np.sqrt(dt)
    drift = (settings.decay + settings.self_decay * np.maximum(rate, 0.0)) * -dt
    return np.asarray(
        rate * np.exp(drift + settings.rate_volatility * root * volatile) + settings.rate_noise * root * noise
    )


class ParticleFilter:
    """The filter of one trend; its particles start from the first count and the prior."""

    def __init__(
        self, first: Seen, prior: RatePrior, settings: GrowthFilterSettings, size: int, rng: np.random.Generator
    ) -> None:
        self.prior, self.settings, self.size, self.rng = prior, settings, size, rng
        self.level = self._inside(first, size)
        self.rate = prior.draw(first.count, size, rng)
        self.weight = np.full(size, 1.0 / size)
        self.pace_days = 0.0

    def see(self, seen: Seen, anchor: Anchor, at_days: float, replica: Anchor) -> None:
        """Move to a new count and weigh the particles by it.

        Args:
            anchor: the latest line from before the count; particles may restart there.
            at_days: when the count was seen, days since 1970.
            replica: the latest line that may know of the count; its offset and share tell where the count may be.
        """
        after_gap = seen.elapsed > max(self.settings.gap_days, 2 * self.pace_days)
        self.pace_days = seen.elapsed
        if after_gap:
            self._renew(seen)
        self._move(seen)
        if anchor.scale > 0 and not after_gap:
            self._restart(seen.elapsed, anchor, at_days)
        self.weight *= self.settings.outlier + self._likelihood(seen, replica)
        self.weight /= self.weight.sum()
        if 1.0 / (self.weight @ self.weight) < 0.5 * self.size:
            self.level, self.rate = self.cloud()
            self.weight = np.full(self.size, 1.0 / self.size)

    def cloud(self) -> Cloud:
        """An equally weighted draw by systematic resampling."""
        edges = np.ceil(np.cumsum(self.weight) * self.size - self.rng.random()).astype(np.int64)
        edges[-1] = self.size
        kept = np.repeat(np.arange(self.size), np.diff(np.minimum(edges, self.size), prepend=0))
        return Cloud(self.level[kept], self.rate[kept])

    def _renew(self, seen: Seen) -> None:
        """Draw half of the rates anew: after a gap the trend may be another one."""
        fresh = self._some(0.5)
        self.rate = np.where(fresh, self.prior.draw(seen.count, self.size, self.rng), self.rate)

    def _move(self, seen: Seen) -> None:
        """Let the hidden count grow until the new count is seen."""
        dt = min(seen.elapsed, LONGEST_STEP_DAYS)
        steps = int(np.ceil(dt / LONGEST_STRIDE_DAYS)) or 1
        for _ in range(steps):
            self._stride(dt / steps, seen.elapsed / steps)
        self.level = np.where(self._some(self.settings.recount * dt), self._inside(seen, self.size), self.level)

    def _stride(self, dt: float, elapsed: float) -> None:
        """One step of the rates over `dt` days, and of the log counts over `elapsed` days."""
        before = self.rate
        changed, shock = self._some(self.settings.regime_change * dt), self.rng.standard_normal(self.size)
        rate = np.where(changed, before * np.exp(shock), before)
        volatile, noise = self.rng.standard_normal((2, self.size))
        self.rate = next_rates(rate, dt, volatile, noise, self.settings)
        self.level = self.level + 0.5 * (before + self.rate) * elapsed

    def _restart(self, dt: float, anchor: Anchor, at_days: float) -> None:
        """Put some particles on the latest line, so that no trend stays lost."""
        moved = self._some(self.settings.restart * dt)
        level, speed, turn = self.rng.standard_normal((3, self.size))
        here = anchor.level + anchor.slope * (at_days - anchor.at_days)
        self.level = np.where(moved, here + 0.7 * anchor.scale * level, self.level)
        wander = 0.5 * anchor.scale / self.settings.line_days
        self.rate = np.where(moved, anchor.slope * np.exp(0.3 * speed) + wander * turn, self.rate)

    def _likelihood(self, seen: Seen, replica: Anchor) -> Floats:
        """How likely the count is for each particle: the cell's indicator with soft edges."""
        half = 0.5 * seen.cell
        low, high = np.log(max(seen.count - half, 0.5)), np.log(seen.count + half)
        soft = self.settings.jitter_units * seen.cell / seen.count + self.settings.jitter_rate * np.abs(self.rate)
        own = _inside_softly(self.level, low, high, soft)
        if replica.offset <= 0:
            return own
        other = _inside_softly(self.level + replica.offset, low, high, soft)
        return (1 - replica.share) * own + replica.share * other

    def _inside(self, seen: Seen, size: int) -> Floats:
        """Log counts drawn evenly from a rounding cell, shape (size,)."""
        return np.log(np.maximum(seen.count + (self.rng.random(size) - 0.5) * seen.cell, 0.5))

    def _some(self, chance: float) -> Flags:
        """Particles that an event of this chance hits, each by itself, shape (size,)."""
        return np.asarray(self.rng.random(self.size) < chance)


def _inside_softly(level: Floats, low: float, high: float, soft: Floats) -> Floats:
    """σ((high − level) ÷ soft) × σ((level − low) ÷ soft), with σ the logistic function."""
    below = 1.0 + np.exp(np.clip((level - high) / soft, -30.0, 30.0))
    above = 1.0 + np.exp(np.clip((low - level) / soft, -30.0, 30.0))
    return np.asarray(1.0 / (below * above))


def follow(
    counts: PublicCounts,
    trend: int,
    anchors: Anchors,
    first_row: int,
    settings: GrowthFilterSettings,
    prior: RatePrior,
    size: int,
    rng: np.random.Generator,
) -> Iterator[tuple[int, Cloud]]:
    """Run the filter over one trend, observation by observation; what comes later has no say in what was yielded.

    Args:
        trend: number of the trend in `counts`.
        anchors: of `counts.day_ends`.
        first_row: row of the trend's first day end.

    Yields:
        (row, cloud) at each day end.
    """
    start, stop = counts.starts[trend], counts.starts[trend + 1]
    days, row, last = counts.days, first_row, start
    particles = ParticleFilter(Seen(counts.counts[start], counts.cell[start], 0.0), prior, settings, size, rng)
    latest = NO_ANCHOR
    for k in range(start, stop):
        is_end = k + 1 == stop or counts.day[k + 1] > counts.day[k]
        current = anchors[row] if is_end else latest
        if k > start and (is_end or days[k] - days[last] >= settings.step_days - STEP_SLACK_DAYS):
            seen = Seen(counts.counts[k], counts.cell[k], days[k] - days[last])
            particles.see(seen, latest, days[k], current)
            last = k
        if is_end:
            yield row, particles.cloud()
            row, latest = row + 1, current
