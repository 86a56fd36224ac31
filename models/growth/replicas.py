"""What the filter is told about a trend by its latest robust line: where the count is, and whether it flips."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np

from models.growth.public_counts import Floats, Ints, PublicCounts
from models.growth.robust_line import Lines, trailing_lines

LEAST_POINTS: Final = 13
LEAST_SPAN_DAYS: Final = 0.5
LEAST_SWITCHES: Final = 5
LEAST_SHARE: Final = 0.08
SPARSE_SPAN_DAYS: Final = 2.0
SPARSE_WINDOW_DAYS: Final = 56
LARGEST_SCALE: Final = 0.2
LARGEST_SLOPE: Final = 1.0


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
        return Anchor(*self.table[row].tolist())

    @cached_property
    def table(self) -> Floats:
        """All attributes side by side, columns as the fields of `Anchor`, shape (rows, 6)."""
        return np.column_stack([self.at_days, self.level, self.slope, self.scale, self.offset, self.share])


def find_anchors(counts: PublicCounts, ends: Ints, lines: Lines) -> Anchors:
    """The anchors that the lines at `ends` give; where they hold too few counts, as in daily lists, wider lines do.

    A line that counts scatter around by `LARGEST_SCALE`, or that is steeper than `LARGEST_SLOPE` per day, is none:
    such counts belong to several things of one name.

    Some counts are served by two replicas that differ by a percent or two, and flip between them within hours. A
    trend counts as such where the residuals fall into two groups, further apart than three half rounding steps and
    five times their own width, that take turns at least `LEAST_SWITCHES` times.
    """
    half = 0.5 * counts.cell[ends] / counts.counts[ends]
    usable = (lines.points >= LEAST_POINTS) & (lines.span_days > LEAST_SPAN_DAYS) & ~np.isnan(lines.level)
    apart = lines.high - lines.low
    flips = usable & (apart > np.maximum(3 * half, 5 * lines.within)) & (lines.switches >= LEAST_SWITCHES)
    flips &= (lines.share > LEAST_SHARE) & (lines.share < 1 - LEAST_SHARE)
    level, slope = lines.level + np.where(flips, lines.low, 0.0), lines.slope.copy()
    scale, told = np.where(flips, lines.within, lines.scale), usable.copy()
    sparse = np.flatnonzero(~usable)
    wide = trailing_lines(counts, ends[sparse], SPARSE_WINDOW_DAYS)
    level[sparse], slope[sparse], scale[sparse] = wide.level, wide.slope, wide.scale
    told[sparse] = (wide.span_days > SPARSE_SPAN_DAYS) & ~np.isnan(wide.level)
    told &= (scale <= LARGEST_SCALE) & (np.abs(slope) <= LARGEST_SLOPE)
    return Anchors(
        at_days=counts.days[ends],
        level=level,
        slope=slope,
        scale=np.where(told, np.maximum(scale, half), 0.0),
        offset=np.where(flips, apart, 0.0),
        share=np.where(flips, lines.share, 0.0),
    )
