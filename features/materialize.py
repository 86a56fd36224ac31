"""Job: compute the features as of an instant from the lake, and put them into the feature store."""

from __future__ import annotations

from datetime import UTC, datetime

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
    """The default of every `--as-of`: when the latest post was created.

    Counts of a back-fill are often learned long after its last post; a week without posts would look like the end of
    every trend.

    Raises:
        EmptyLake: no post has been ingested.
    """
    latest: datetime | None = lake.connect().sql("SELECT max(create_time) FROM posts").fetchall()[0][0]
    if latest is None:
        raise EmptyLake("the lake has no posts: ingest metrics first, e.g. «harmonic ingest PATH», or «harmonic up»")
    return latest.astimezone(UTC)


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
