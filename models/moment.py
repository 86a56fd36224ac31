"""One instant as a ranker sees it: the market and its creators, read from the feature store offline or online."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from configs import Settings
from features.background import live_trends
from features.creators import CREATOR_FEATURES
from features.forecasts import FORECAST_FEATURES
from features.history import History
from features.lake import Lake
from features.materialize import write_features
from features.store import FeatureRepository
from features.trends import TREND_FEATURES
from features.views import CREATOR_HISTORY, CREATOR_PROFILE, TREND_ACTIVITY, TREND_FORECAST
from models.candidates import fit_generators
from models.creator import Creator
from models.forecasts import write_forecasts
from models.interactions import Strings, from_history, vocabulary
from models.market import Market

if TYPE_CHECKING:
    import pandas as pd

Read = Callable[[str, str, Sequence[str], Sequence[str]], "pd.DataFrame"]
"""(view, key column, keys, feature names) → one row per key, in their order."""


@dataclass(frozen=True)
class Moment:
    """One instant: its market, every creator of whom a post was known, and the trend rows the market was made of."""

    market: Market
    creators: Mapping[str, Creator]
    trends: pd.DataFrame


def write_moment(lake: Lake, history: History, features: FeatureRepository, settings: Settings) -> None:
    """Keep offline all that `moment` reads: the features of the history, and the forecasts of its instant."""
    write_features(history, features, settings)
    write_forecasts(lake, features, _live_keys(history, settings).tolist(), history.as_of, settings.forecast)


def offline(features: FeatureRepository, as_of: datetime) -> Read:
    """Read what was known at `as_of` through the point-in-time join."""
    import pandas as pd

    def read(view: str, key: str, keys: Sequence[str], names: Sequence[str]) -> pd.DataFrame:
        labels = pd.DataFrame({key: list(keys), "event_timestamp": as_of})
        return features.historical(labels, [view], names)

    return read


def online(features: FeatureRepository, as_of: datetime) -> Read:
    """Read what the online store holds of `as_of`; where it holds another instant's rows, what was known then.

    The online store never goes back in time, so an earlier market than the last one can only be read offline.
    """

    def read(view: str, key: str, keys: Sequence[str], names: Sequence[str]) -> pd.DataFrame:
        held = features.online(view, keys, names, as_of)
        if (held["event_timestamp"] == as_of).all():
            return held
        return offline(features, as_of)(view, key, keys, names)

    return read


def moment(history: History, read: Read, settings: Settings) -> Moment:
    """The moment of a history whose features have been written to the store.

    Args:
        history: as of the instant; the candidate generators are fitted to it, and `write_moment` has kept it.
        read: where the features come from.
        settings: the pool and the generators.
    """
    keys, creators = _live_keys(history, settings), history.creators.tolist()
    frame = read(TREND_ACTIVITY, "trend_key", keys.tolist(), [spec.name for spec in TREND_FEATURES])
    ahead = [spec.name for spec in FORECAST_FEATURES]
    frame = frame.assign(**read(TREND_FORECAST, "trend_key", keys.tolist(), ahead)[ahead])
    profiles = read(CREATOR_PROFILE, "creator_id", creators, [spec.name for spec in CREATOR_FEATURES])
    pasts = read(CREATOR_HISTORY, "creator_id", creators, ["trend_keys", "words"])
    regions = profiles["region"].fillna("").to_numpy(object)
    words = vocabulary(history, keys, regions, settings.candidates.least_creators, settings.candidates.vocabulary)
    generators = fit_generators(from_history(history, words, keys, regions), settings.candidates)
    rows = profiles.assign(trend_keys=pasts["trend_keys"], words=pasts["words"]).to_dict("records")
    return Moment(
        market=Market.from_frame(frame, history.as_of, words, generators, settings.trends),
        creators={row["creator_id"]: Creator.from_row(row) for row in rows},
        trends=frame,
    )


def _live_keys(history: History, settings: Settings) -> Strings:
    pool = settings.trends.pool
    return np.asarray(history.trends["key"][live_trends(history, pool.window_days, pool.min_creators)])
