"""Forecasts as features of a trend: how far ahead they look, and what each column says."""

from __future__ import annotations

from typing import Final

from features.spec import FeatureSpec

HORIZONS_DAYS: Final = (1, 3, 7)

_PARTS: Final = {
    "growth": "log growth of the public count to expect over the next",
    "low": "the low end of the 80 % interval of log growth over the next",
    "high": "the high end of the 80 % interval of log growth over the next",
}

FORECAST_FEATURES: Final[tuple[FeatureSpec, ...]] = tuple(
    FeatureSpec(f"forecast_{part}_{days}d", "float", f"{meaning} {days} days", "log ratio")
    for days in HORIZONS_DAYS
    for part, meaning in _PARTS.items()
)
"""Three columns a horizon, NaN for a trend without a public count."""
