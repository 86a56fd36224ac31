"""Public counts of trends from the lake: one series per trend, and the steps in which its counts are shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from features.trends import rounding_unit

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

DAY_US: Final = 86_400_000_000
EXACT_CELL: Final = 0.002
"""An exact count is taken to this relative precision, the finest that rounded ones have above 10,000."""


@dataclass(frozen=True)
class PublicCounts:
    """The counts of many trends, trend after trend, each in time order.

    Attributes:
        trend_types, trend_ids: text, one per trend.
        starts: where each trend's observations start, and the end of the last, shape (trends + 1,).
        at_us: µs since 1970, UTC, shape (n,).
        counts: above 0, shape (n,).
    """

    trend_types: tuple[str, ...]
    trend_ids: tuple[str, ...]
    starts: Ints
    at_us: Ints
    counts: Floats

    def __len__(self) -> int:
        return len(self.trend_ids)

    @cached_property
    def trend(self) -> Ints:
        """Number of the trend of each observation, shape (n,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts))

    @cached_property
    def day(self) -> Ints:
        """Calendar day (UTC) of each observation since 1970, shape (n,)."""
        return self.at_us // DAY_US

    @cached_property
    def days(self) -> Floats:
        """Days since 1970 with their fraction, shape (n,)."""
        return self.at_us / DAY_US

    @cached_property
    def day_ends(self) -> Ints:
        """Indices of every trend's last observation of each day, ascending."""
        last = np.ones(len(self.counts), dtype=np.bool_)
        last[:-1] = (self.trend[1:] != self.trend[:-1]) | (self.day[1:] != self.day[:-1])
        return np.flatnonzero(last)

    @cached_property
    def is_exact(self) -> Flags:
        """Whether a trend has by then shown a count that TikTok's rounding cannot produce, shape (n,)."""
        odd = np.concatenate([[0], np.cumsum(self.counts % rounding_unit(self.counts) != 0)])
        return np.asarray(odd[1:] > odd[self.starts[self.trend]])

    @cached_property
    def unit(self) -> Floats:
        """The step in which each count is shown, shape (n,)."""
        return np.where(self.is_exact, 1.0, rounding_unit(self.counts))

    @cached_property
    def cell(self) -> Floats:
        """How wide the range of true counts behind each count is taken to be, shape (n,)."""
        return np.where(self.is_exact, np.maximum(EXACT_CELL * self.counts, 1.0), self.unit)


def load_counts(
    connection: Any,
    trend_types: Sequence[str],
    as_of: datetime,
    since: datetime | None = None,
    keys: Sequence[str] | None = None,
) -> PublicCounts:
    """Counts observed in (since, as_of], both UTC; without `since` all up to `as_of`.

    A trend has one count an instant: the worldwide one, else that of the region where it is largest; once a
    worldwide count has been seen, a regional one is no longer taken. Of several metrics the one with the most
    observations so far speaks. Each of these choices looks back only, so a later row changes no earlier count.

    Args:
        connection: of `Lake.connect()`.
        keys: only these trends; all where not given.
    """
    given = {"types": list(trend_types), "as_of": as_of, "since": since or datetime.min.replace(year=1900)}
    if keys is not None:
        given["keys"] = list(keys)
    columns = connection.execute(_QUERY.format(wanted=_ONLY if keys is not None else "true"), given).fetchnumpy()
    types, ids = (np.asarray(columns[name]).astype(str) for name in ("trend_type", "trend_id"))
    changed = np.ones(len(ids), dtype=np.bool_)
    changed[1:] = (types[1:] != types[:-1]) | (ids[1:] != ids[:-1])
    first = np.flatnonzero(changed)
    return PublicCounts(
        trend_types=tuple(types[first].tolist()),
        trend_ids=tuple(ids[first].tolist()),
        starts=np.append(first, len(ids)).astype(np.int64),
        at_us=np.asarray(columns["at_us"], dtype=np.int64),
        counts=np.asarray(columns["count"], dtype=np.float64),
    )


_ONLY: Final = "trend_type || ':' || trend_id IN (SELECT unnest($keys::VARCHAR[]))"
_QUERY: Final = """
    WITH one_region AS (
        SELECT trend_type, trend_id, coalesce(metric, '') AS metric, observed_at, value, region = '' AS worldwide
        FROM trend_snapshots
        WHERE list_contains($types, trend_type) AND value > 0 AND observed_at <= $as_of AND observed_at > $since
          AND {wanted}
        QUALIFY row_number() OVER (
            PARTITION BY trend_type, trend_id, observed_at ORDER BY region = '' DESC, value DESC, region
        ) = 1
    ),
    told AS (
        SELECT *, row_number() OVER (PARTITION BY trend_type, trend_id, metric ORDER BY observed_at) AS times
        FROM one_region
        QUALIFY worldwide OR NOT bool_or(worldwide) OVER (
            PARTITION BY trend_type, trend_id ORDER BY observed_at
        )
    )
    SELECT trend_type, trend_id, epoch_us(observed_at) AS at_us, value::DOUBLE AS count
    FROM told
    QUALIFY times > coalesce(max(times) OVER (
        PARTITION BY trend_type, trend_id ORDER BY observed_at ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ), 0)
    ORDER BY trend_type, trend_id, observed_at
"""
