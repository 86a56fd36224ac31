"""Job: compute the features as of an instant from the lake, and put them into the feature store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final, Literal

import numpy as np

from configs import Settings
from features.creators import creator_features, creator_histories
from features.errors import EmptyLake
from features.history import KNOWN_FROM, History, load_history, nothing_known
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


DENSE: Final = 0.005
STRAYS: Final = 3
SILENCE: Final = timedelta(days=30)
"""After so long without a post no trend lives."""


def latest_instant(lake: Lake, posts_known: Literal["created", "observed"] = "created") -> datetime:
    """The default of every `--as-of`: when the latest post was created, or known, where posts are known later.

    Counts of a back-fill are often learned long after its last post; a week without posts would look like the end of
    every trend. So would a few stray posts so long after all others that no trend lives any more: they do not count.

    Raises:
        EmptyLake: no post has been ingested.
    """
    known = KNOWN_FROM[posts_known]
    rows = lake.connect().execute(f"SELECT {known} AS known FROM posts ORDER BY known DESC LIMIT ?", [STRAYS + 1])
    latest: list[datetime] = [row[0].astimezone(UTC) for row in rows.fetchall()]
    if not latest:
        raise EmptyLake(
            "the lake has no posts: load files that hold some, e.g. «harmonic ingest PATH», or «harmonic up»"
        )
    after_silence = [before for after, before in pairwise(latest) if after - before > SILENCE]
    return after_silence[-1] if len(latest) > STRAYS and after_silence else latest[0]


def dense_from(lake: Lake, as_of: datetime, settings: Settings) -> datetime:
    """The instant from which data are dense (UTC): half a percent of the posts known by `as_of` was known before it.

    Raises:
        EmptyLake: no post was known by `as_of`.
    """
    known = KNOWN_FROM[settings.lake.posts_known]
    rows = lake.connect().execute(f"SELECT epoch_us({known}) AS known FROM posts WHERE {known} <= ?", [as_of])
    instants = rows.fetchnumpy()["known"]
    if not len(instants):
        raise nothing_known(as_of)
    return datetime.fromtimestamp(float(np.quantile(instants, DENSE)) / 1e6, tz=UTC)


def counts_until(lake: Lake, as_of: datetime, settings: Settings) -> datetime:
    """Up to when counts of posts may be used beside a market of `as_of`: the lake's latest instant for the present.

    Counts are often learned long after the latest post, and a lift needs them; of the past nothing later is used.
    """
    latest = lake.latest_at()
    return as_of if latest is None or as_of < latest_instant(lake, settings.lake.posts_known) else max(as_of, latest)


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
