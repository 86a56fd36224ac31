"""Robust straight lines through trailing windows of log counts, and counts that flip between two replicas."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.growth.public_counts import DAY_US, Flags, Floats, Ints, PublicCounts

HUBER: Final = 1.345
MAD_TO_SD: Final = 1.4826
ITERATIONS: Final = 25
CONVERGED: Final = 1e-9
CHUNK_CELLS: Final = 1 << 17
LEAST_POINTS: Final = 3
LEAST_SPAN_DAYS: Final = 0.3


@dataclass(frozen=True)
class Lines:
    """Lines log count = level + slope × (days since the row's instant), one per row, each shape (rows,).

    Attributes:
        level, slope: NaN where the window is too short.
        points, span_days: how many observations the window holds, and over how long.
        scale: 1.4826 × the median absolute residual.
        low, high: centres of the two groups of residuals.
        share: share of residuals in the higher group.
        within: standard deviation inside the groups.
        switches: how often consecutive observations change group.
    """

    level: Floats
    slope: Floats
    points: Ints
    span_days: Floats
    scale: Floats
    low: Floats
    high: Floats
    share: Floats
    within: Floats
    switches: Floats


def trailing_lines(counts: PublicCounts, ends: Ints, window_days: float) -> Lines:
    """Huber lines through the observations of the window that ends at each of `ends`, same trend only.

    Args:
        ends: indices of observations, ascending.
    """
    starts = _window_starts(counts, ends, window_days)
    points, span = ends - starts + 1, counts.days[ends] - counts.days[starts]
    floor = 0.15 * counts.cell[ends] / counts.counts[ends]
    table = np.full((8, len(ends)), np.nan)
    wide = np.flatnonzero((points >= LEAST_POINTS) & (span >= LEAST_SPAN_DAYS))
    y = np.log(counts.counts)
    for rows, width in _chunks(wide, points):
        index = starts[rows, None] + np.arange(width)
        valid = index <= ends[rows, None]
        index = np.minimum(index, ends[rows, None])
        times = np.where(valid, counts.days[index] - counts.days[ends[rows], None], 0.0)
        values = np.where(valid, y[index], 0.0)
        level, slope = huber_lines(times, values, valid, floor[rows])
        residual = values - level[:, None] - slope[:, None] * times
        scale = MAD_TO_SD * _masked_median(np.abs(residual), valid)
        table[:, rows] = np.stack([level, slope, scale, *_two_groups(residual, valid)])
    return Lines(table[0], table[1], points, span, *table[2:])


def huber_lines(times: Floats, values: Floats, valid: Flags, floor: Floats) -> tuple[Floats, Floats]:
    """Huber regression by reweighting (Huber, 1964), one line per row.

    Args:
        times, values: shape (rows, width), 0 where not `valid`.
        floor: least residual scale, shape (rows,).

    Returns:
        Level at time 0 and slope, each shape (rows,). A row's result does not depend on the other rows.
    """
    level, slope = np.zeros(len(times)), np.zeros(len(times))
    weights, active = valid.astype(np.float64), np.arange(len(times))
    for _ in range(ITERATIONS):
        t, y, w = times[active], values[active], weights[active]
        level[active], slope[active] = a, b = _weighted_lines(t, y, w)
        size = np.abs(y - a[:, None] - b[:, None] * t)
        limit = HUBER * np.maximum(MAD_TO_SD * _masked_median(size, valid[active]), floor[active])
        after = valid[active] * np.minimum(1.0, limit[:, None] / np.maximum(size, 1e-12))
        weights[active] = after
        active = active[np.abs(after - w).max(axis=1) > CONVERGED]
        if len(active) == 0:
            break
    return level, slope


def _weighted_lines(t: Floats, y: Floats, w: Floats) -> tuple[Floats, Floats]:
    total = w.sum(axis=1)
    centre_t, centre_y = (w * t).sum(axis=1) / total, (w * y).sum(axis=1) / total
    apart = w * (t - centre_t[:, None])
    spread = (apart * (t - centre_t[:, None])).sum(axis=1)
    slope = (apart * (y - centre_y[:, None])).sum(axis=1) / np.maximum(spread, 1e-9)
    slope = np.where(spread > 1e-9, slope, 0.0)
    return centre_y - slope * centre_t, slope


def _masked_median(values: Floats, valid: Flags) -> Floats:
    ordered = np.sort(np.where(valid, values, np.inf), axis=1)
    number, rows = valid.sum(axis=1), np.arange(len(values))
    return np.asarray(0.5 * (ordered[rows, (number - 1) // 2] + ordered[rows, number // 2]))


def _two_groups(residual: Floats, valid: Flags) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Two-means split: low and high centre, share high, standard deviation within, number of switches."""
    number = valid.sum(axis=1)
    low = np.where(valid, residual, np.inf).min(axis=1)
    high = np.where(valid, residual, -np.inf).max(axis=1)
    total = np.where(valid, residual, 0.0).sum(axis=1)
    up = np.zeros_like(valid)
    for _ in range(30):
        before, up = up, valid & (residual > 0.5 * (low + high)[:, None])
        if np.array_equal(before, up):
            break
        ups, above = up.sum(axis=1), np.where(up, residual, 0.0).sum(axis=1)
        both = (ups > 0) & (ups < number)
        high = np.where(both, above / np.maximum(ups, 1), high)
        low = np.where(both, (total - above) / np.maximum(number - ups, 1), low)
    off = np.where(valid, residual - np.where(up, high[:, None], low[:, None]), 0.0)
    within = np.sqrt((off**2).sum(axis=1) / number)
    switches = ((up[:, 1:] != up[:, :-1]) & valid[:, 1:]).sum(axis=1)
    return low, high, up.sum(axis=1) / number, within, switches.astype(np.float64)


def _window_starts(counts: PublicCounts, ends: Ints, window_days: float) -> Ints:
    """First observation of the same trend not more than `window_days` before each of `ends`."""
    window, found = round(window_days * DAY_US), np.empty(len(ends), dtype=np.int64)
    edges = np.searchsorted(ends, counts.starts)
    for start, stop, first, last in zip(counts.starts, counts.starts[1:], edges, edges[1:], strict=False):
        at = counts.at_us[start:stop]
        found[first:last] = start + np.searchsorted(at, counts.at_us[ends[first:last]] - window)
    return found


def _chunks(rows: Ints, points: Ints) -> Iterator[tuple[Ints, int]]:
    """Rows in groups of one padded width each, which depends on nothing but the row's own number of points."""
    if len(rows) == 0:
        return
    power = np.exp2(np.ceil(np.log2(points[rows])))
    width = np.where(points[rows] <= 0.75 * power, 0.75 * power, power).astype(np.int64)
    for size in np.unique(width):
        group, step = rows[width == size], max(CHUNK_CELLS // int(size), 1)
        for first in range(0, len(group), step):
            yield group[first : first + step], int(size)
