"""Job: bring the features of an instant online and publish them to serving as one snapshot."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from configs import Settings
from features.lake import Lake
from features.materialize import known_by, write_features
from features.store import FeatureRepository
from models.forecaster import forecast_market
from models.moment import moment, online
from serving.assemble import creator_states, market_folder
from serving.snapshot import FORMAT, Forecasts, is_current, publish

Progress = Callable[[str, float], None]
"""Called with what is being done and the share of the whole job that is done."""


@dataclass(frozen=True)
class Published:
    """What serving sees now.

    Attributes:
        market: the snapshot's version.
        as_of: the instant it speaks of, UTC.
        trends: how many are live; None where this very snapshot was published already.
    """

    market: str
    as_of: datetime
    trends: int | None


def materialize_and_publish(
    lake: Lake,
    features: FeatureRepository,
    as_of: datetime,
    settings: Settings,
    progress: Progress = lambda *_: None,
) -> Published:
    """Compute the features of an instant, offline and online, and publish them, unless that has been done already."""
    version = f"{as_of:%Y%m%dT%H%M%S}-{_digest(lake.fingerprint(), settings)}"
    if is_current(market_folder(settings), version):
        return Published(version, as_of, None)
    progress("features", 0.1)
    history = known_by(lake, as_of, settings)
    write_features(history, features, settings)
    features.materialize(as_of, lambda view, done, rows: progress(f"online: {view}", 0.2 + 0.6 * done / max(rows, 1)))
    now = moment(history, online(features, as_of), settings)
    progress("forecast", 0.85)
    growth = forecast_market(lake, as_of, settings.forecast, keys=now.market.keys.tolist())
    creator_states(settings).replace(now.creators.values(), as_of)
    publish(market_folder(settings), version, now.trends, now.market, _by_text(growth))
    return Published(version, as_of, len(now.market))


def _by_text(growth: Mapping[str, Mapping[int, Mapping[str, float]]]) -> Forecasts:
    """Days ahead as text, as JSON has them."""
    return {key: {str(days): values for days, values in by_days.items()} for key, by_days in growth.items()}


def _digest(fingerprint: str, settings: Settings) -> str:
    """A hash of everything that a published market depends on, beside its instant."""
    parts = [fingerprint, str(FORMAT), settings.lake.posts_known]
    parts += [section.model_dump_json() for section in (settings.trends, settings.candidates, settings.forecast)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
