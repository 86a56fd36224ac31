"""Job: compute the features as of an instant from the lake, and put them into the feature store."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from configs import Settings
from features.creators import creator_features, creator_histories
from features.errors import EmptyLake
from features.history import History, load_history
from features.lake import Lake
from features.store import FeatureRepository
from features.trends import trend_features
from features.views import CREATOR_HISTORY, CREATOR_PROFILE, TREND_ACTIVITY


def known_by(lake: Lake, as_of: datetime, settings: Settings) -> History:
    """The lake's history as of an instant, by the rules of the settings."""
    return load_history(
        lake.connect(),
        as_of,
        settings.lake.posts_known,
        settings.trends.pool.original_titles,
        settings.trends.windows_days,
    )


def latest_instant(lake: Lake) -> datetime:
    """The default of every `--as-of`: the latest instant the lake speaks of.

    Raises:
        EmptyLake: nothing has been ingested.
    """
    latest = lake.latest_at()
    if latest is None:
        raise EmptyLake("the lake is empty: ingest metrics first, e.g. «harmonic ingest PATH», or «harmonic up»")
    return latest


def write_features(history: History, features: FeatureRepository, settings: Settings) -> dict[str, int]:
    """Compute every view's rows as of the history's instant and store them offline; returns rows per view."""
    frames = {
        TREND_ACTIVITY: trend_features(history, settings.trends),
        CREATOR_PROFILE: creator_features(history),
        CREATOR_HISTORY: creator_histories(history),
    }
    for view, frame in frames.items():
        features.write(view, frame, history.as_of)
    return {view: len(frame) for view, frame in frames.items()}


def materialize(
    lake: Lake, features: FeatureRepository, instants: Iterable[datetime], settings: Settings
) -> dict[str, Any]:
    """Features as of each instant offline, and the latest of them online; returns rows per view of the latest."""
    rows: dict[str, int] = {}
    latest: datetime | None = None
    for as_of in sorted(instants):
        rows, latest = write_features(known_by(lake, as_of, settings), features, settings), as_of
    if latest is not None:
        features.materialize(latest)
    return {"as_of": latest, "rows": rows}
