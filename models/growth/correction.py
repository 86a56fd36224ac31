"""What past forecasts teach: trees that learn the error of the filter's median in units of its own uncertainty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from configs import GrowthCorrectionSettings
from models.growth.projection import LEVELS, MEDIAN
from models.growth.public_counts import Floats

if TYPE_CHECKING:
    import pandas as pd

LOW: Final = int(np.flatnonzero(LEVELS == 0.1)[0])
HIGH: Final = int(np.flatnonzero(LEVELS == 0.9)[0])
NORMAL_80: Final = 2.56
"""Width of the central 80 % of a normal distribution, in standard deviations."""

LARGEST_ERROR: Final = 4.0
BENDS: Final = ((1, 3), (2, 7), (3, 14), (7, 28))
LEAST_SLOPE: Final = 2e-4


def uncertainty(quantiles: Floats, half: Floats) -> Floats:
    """The unit in which errors are learned and forecasts are alike, shape (rows,).

    Args:
        quantiles: of log growth at `LEVELS`, shape (rows, levels).
        half: half a rounding cell ÷ count, shape (rows,).
    """
    return np.asarray((quantiles[:, HIGH] - quantiles[:, LOW]) / NORMAL_80 + 0.3 * half + 1e-4)


def correction_features(rows: pd.DataFrame, quantiles: Floats, horizon: int) -> Floats:
    """Scale-free features, shape (rows, features); NaN where a window is too short.

    Args:
        rows: of a `GrowthPanel`.
        quantiles: at `LEVELS`, shape (rows, levels).
    """
    half, rate = rows["half"].to_numpy(), rows["rate"].to_numpy()
    scale, median = uncertainty(quantiles, half), quantiles[:, MEDIAN]
    slopes = {int(name[6:]): rows[name].to_numpy() for name in rows.columns if name.startswith("slope_")}
    state = [
        median / scale,
        np.log(scale),
        rate * horizon / scale,
        np.log(np.abs(rate) + 1e-5),
        np.sign(rate),
        rows["rate_sd"].to_numpy() * horizon / scale,
        rows["level"].to_numpy() / scale,
        half / scale,
        np.log(rows["count"].to_numpy()),
        np.log1p(rows["age_days"].to_numpy()),
        (quantiles[:, HIGH] + quantiles[:, LOW] - 2 * median) / scale,
        np.clip(rows["line"].to_numpy() / scale, -5, 5),
        (rows["trend_type"] == "sound").to_numpy(dtype=np.float64),
    ]
    paces = [np.clip((slope * horizon - median) / scale, -10, 10) for slope in slopes.values()]
    bends = [
        np.clip(slopes[short] / (np.abs(slopes[long]) + LEAST_SLOPE), -5, 5)
        for short, long in BENDS
        if short in slopes and long in slopes
    ]
    return np.column_stack([*state, *paces, *bends])


@dataclass(frozen=True)
class Correction:
    """What the errors of resolved forecasts have taught.

    Attributes:
        booster: a `lightgbm.Booster`; none while there is too little to learn from.
        strength: how much of what it says counts.
    """

    booster: Any
    strength: float

    @classmethod
    def learn(
        cls, features: Floats, error: Floats, scale: Floats, age_days: Floats, settings: GrowthCorrectionSettings
    ) -> Correction:
        """Learn from resolved forecasts.

        Args:
            features: shape (n, features); fewer than `least_examples` teach nothing.
            error: what happened − their median, shape (n,).
            scale: their uncertainty, shape (n,).
            age_days: how long ago they were made, shape (n,).
        """
        if len(error) < settings.least_examples:
            return cls(None, settings.strength)
        import lightgbm

        parameters: dict[str, Any] = {"objective": "l1", "verbosity": -1, "num_threads": 1, "deterministic": True}
        parameters |= {"force_col_wise": True, "seed": 0} | settings.lightgbm
        rounds = int(parameters.pop("n_estimators"))
        weight = np.sqrt(scale) * 0.5 ** (age_days / settings.half_life_days)
        data = lightgbm.Dataset(features, np.clip(error / scale, -LARGEST_ERROR, LARGEST_ERROR), weight=weight)
        return cls(lightgbm.train(parameters, data, rounds), settings.strength)

    def shifts(self, features: Floats) -> Floats:
        """How to shift the median of each forecast, in units of its own scale, shape (m,)."""
        if self.booster is None or len(features) == 0:
            return np.zeros(len(features))
        return np.asarray(self.strength * self.booster.predict(features, num_threads=1))
