"""How old a trend is, and how long ago it was used, at the instant of a request."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from features.spec import FeatureSpec

Seconds = npt.NDArray[np.float64]

FIRST_USED_AT: Final = "first_used_at"
LAST_USED_AT: Final = "last_used_at"
REQUESTED_AT: Final = "requested_at"

AGE_DAYS: Final = FeatureSpec("age_days_at_request", "float", "from the first known use to the request", "days")
HOURS_SINCE: Final = FeatureSpec(
    "hours_since_last_use_at_request", "float", "from the latest known use to the request", "hours"
)
RECENCY_FEATURES: Final = (AGE_DAYS, HOURS_SINCE)
"""The features whose value depends on when it is asked for."""


def age_days(first_used_at: Seconds, requested_at: Seconds | float) -> Seconds:
    """Days from the first use to the request; both in seconds since 1970 (UTC), NaN where unknown."""
    return (requested_at - first_used_at) / 86_400


def hours_since(used_at: Seconds, requested_at: Seconds | float) -> Seconds:
    """Hours from a use to the request; both in seconds since 1970 (UTC), NaN where unknown."""
    return (requested_at - used_at) / 3_600


def at_request(first_used_at: Seconds, last_used_at: Seconds, requested_at: Seconds) -> dict[str, Seconds]:
    """Every feature of `RECENCY_FEATURES` by name; arguments of shape (n,), in seconds since 1970 (UTC)."""
    return {
        AGE_DAYS.name: age_days(first_used_at, requested_at),
        HOURS_SINCE.name: hours_since(last_used_at, requested_at),
    }


def epoch_seconds(instants: Any) -> Seconds:
    """Instants (a series of datetimes; naive ones are UTC) as seconds since 1970; NaN where missing.

    Only whole microseconds count, so that a nanosecond clock and a microsecond clock give the same float.
    """
    import pandas as pd

    micros = pd.to_datetime(pd.Series(instants), utc=True).astype("datetime64[us, UTC]")
    values = micros.to_numpy(dtype="datetime64[us]")
    return np.where(np.isnat(values), np.nan, values.astype(np.int64) / 1e6)
