"""What the filter is told about a trend by its latest robust line: where the count is, and whether it flips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from models.public_counts import Floats, Ints, PublicCounts
from models.robust_line import Lines

LEAST_POINTS: Final = 13
LEAST_SPAN_DAYS: Final = 0.5
LEAST_SWITCHES: Final = 5
LEAST_SHARE: Final = 0.08


class Anchor(NamedTuple):
    """One robust line as the filter uses it.

    Attributes:
        at_days: the instant to which `level` belongs, days since 1970.
        level: log count there, of the lower replica.
        slope: per day.
        scale: standard deviation around the line; 0 where there is no line.
        offset: log distance of the higher replica; 0 where counts do not flip.
        share: share of observations of the higher replica.
    """

    at_days: float
    level: float
    slope: float
    scale: float
    offset: float
    share: float


NO_ANCHOR: Final = Anchor(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Anchors:
    """The anchors of all day ends, each attribute of shape (rows,)."""

    at_days: Floats
    level: Floats
    slope: Floats
    scale: Floats
    offset: Floats
    share: Floats

    def __getitem__(self, row: int) -> Anchor:
        fields = (self.at_days, self.level, self.slope, self.scale, self.offset, self.share)
        return Anchor(*(float(field[row]) for field in fields))


def find_anchors(counts: PublicCounts, ends: Ints, lines: Lines) -> Anchors:
    """The anchors that the lines at `ends` give.

    Some counts are served by two replicas that differ by a percent or two, and flip between them within hours. A
    trend counts as such where the residuals fall into two groups, further apart than three half rounding steps and
    five times their own width, that take turns at least `LEAST_SWITCHES` times.
    """
    half = 0.5 * counts.cell[ends] / counts.counts[ends]
    usable = (lines.points >= LEAST_POINTS) & (lines.span_days > LEAST_SPAN_DAYS) & ~np.isnan(lines.level)
    apart = lines.high - lines.low
    flips = usable & (apart > np.maximum(3 * half, 5 * lines.within)) & (lines.switches >= LEAST_SWITCHES)
    flips &= (lines.share > LEAST_SHARE) & (lines.share < 1 - LEAST_SHARE)
    scale = np.maximum(np.where(flips, lines.within, lines.scale), half)
    return Anchors(
        at_days=counts.days[ends],
        level=lines.level + np.where(flips, lines.low, 0.0),
        slope=lines.slope,
        scale=np.where(usable, scale, 0.0),
        offset=np.where(flips, apart, 0.0),
        share=np.where(flips, lines.share, 0.0),
    )
