"""Job: bring the features of an instant online and publish them to serving as one snapshot."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from configs import Settings
from features.lake import Lake
from features.materialize import known_by, latest_instant
from features.store import FeatureRepository
from features.stream import Consumed, consumed_path
from models.market import Market
from models.moment import moment, online, write_moment
from serving.assemble import creator_states, market_folder
from serving.errors import NotReady
from serving.snapshot import FORMAT, TrendSnapshot, forecasts_of, is_current, publish

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
    pinned: bool | None = None,
) -> Published:
    """Compute the features of an instant, offline and online, and publish them, unless that has been done already.

    Args:
        lake, features, as_of, settings: what to compute, and where it is kept.
        progress: told now and then.
        pinned: whether events leave the published market as it is; so it is, where not given, of an instant before
            the latest post.
    """
    version = f"{as_of:%Y%m%dT%H%M%S}-{_digest(lake.fingerprint(), settings)}"
    if is_current(market_folder(settings), version):
        return Published(version, as_of, None)
    progress("features", 0.1)
    latest = latest_instant(lake, settings.lake.posts_known)
    consumed = Consumed.read(consumed_path(settings.home))
    history = known_by(lake, as_of, settings)
    write_moment(lake, history, features, settings)
    features.materialize(as_of, lambda view, done, rows: progress(f"online: {view}", 0.2 + 0.6 * done / max(rows, 1)))
    now = moment(history, online(features, as_of), settings)
    refuse_empty(now.market, as_of, settings)
    creator_states(settings).replace(now.creators.values(), as_of, _place(consumed, as_of))
    is_pinned = as_of < latest if pinned is None else pinned
    made = TrendSnapshot(version, now.market, forecasts_of(now.trends), pinned=is_pinned)
    publish(market_folder(settings), made)
    return Published(version, as_of, len(now.market))


def refuse_empty(market: Market, as_of: datetime, settings: Settings) -> None:
    """Raise `NotReady` where no trend was live at an instant."""
    if not len(market):
        pool = settings.trends.pool
        raise NotReady(
            f"no trend was used by {pool.min_creators} creators in the {pool.window_days} days before "
            f"{as_of:%Y-%m-%d %H:%M} UTC: ingest posts of more creators, or of those days; or speak of another instant"
        )


def _place(consumed: Consumed, as_of: datetime) -> int:
    """Up to which place of the event log the creators of an instant hold everything: none, of an earlier one."""
    is_past = consumed.as_of is None or as_of < consumed.as_of
    return 0 if is_past else min(consumed.places.values(), default=0)


def _digest(fingerprint: str, settings: Settings) -> str:
    """A hash of everything that a published market depends on, beside its instant."""
    parts = [fingerprint, str(FORMAT), settings.lake.posts_known]
    parts += [section.model_dump_json() for section in (settings.trends, settings.candidates, settings.forecast)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
