"""The composition root: from settings and what has been published to a pipeline."""

from __future__ import annotations

from pathlib import Path

from configs import Settings
from features.eventlog.log import EventLog
from features.eventlog.stores import open_event_log
from features.patches.log import PatchLog, SqlitePatchLog
from models.registry import CHAMPION
from models.releases import Release, load_checked, released
from serving.errors import NotReady
from serving.hydrate import CreatorStore, PackedStates, RedisStates
from serving.live import IDLE_SECONDS, LiveMarket
from serving.pipeline import Pipeline
from serving.process.remote import redis_client
from serving.score import Model
from serving.snapshot import load


def serving_home(settings: Settings) -> Path:
    """Where published markets, models and creator states live."""
    return settings.home / "serving"


def market_folder(settings: Settings) -> Path:
    """Where snapshots are published."""
    return serving_home(settings) / "market"


def event_log(settings: Settings) -> EventLog:
    """The log of events, and of what creators did lately.

    Raises:
        LogUnavailable: its file cannot be used.
    """
    return open_event_log(settings.home, settings.events, settings.trends.pool.original_titles)


def creator_states(settings: Settings) -> CreatorStore:
    """The packed creator states, with what creators did since."""
    log = event_log(settings)
    if settings.events.store == "redis":
        from features.eventlog.redis import RedisEventLog

        assert isinstance(log, RedisEventLog)
        return RedisStates(log)
    from features.eventlog.sqlite import SqliteEventLog

    assert isinstance(log, SqliteEventLog)
    return PackedStates(serving_home(settings) / "creators.sqlite", log.overlay, log.path)


def patch_log(settings: Settings) -> PatchLog:
    """The log of the market's changes."""
    if settings.events.store == "redis":
        from features.patches.redis import RedisPatchLog

        assert settings.events.redis is not None
        patience = settings.events.timeout_seconds + IDLE_SECONDS  # Redis answers a reader once there is something
        return RedisPatchLog(redis_client(settings.events.redis.get_secret_value(), patience))
    return SqlitePatchLog(serving_home(settings) / "live.sqlite")


def live_market(settings: Settings) -> LiveMarket:
    """What keeps a worker's market current: its `caught_up` for what was just loaded, its `follow` from then on."""
    return LiveMarket(patch_log(settings), settings.trends)


def released_champion(settings: Settings) -> Release:
    """The champion that was last released to serving, where it lies.

    Raises:
        NotReady: none has been released.
    """
    release = released(settings.released_models, CHAMPION)
    if release is None:
        raise NotReady("no champion has been released: run «harmonic train», or «harmonic up»")
    return release


def has_model(settings: Settings) -> bool:
    """Whether a champion has been released to serving."""
    return released(settings.released_models, CHAMPION) is not None


def released_model(settings: Settings) -> Model:
    """The champion, ready to score.

    Raises:
        NotReady: none has been released.
        IncompatibleModel: it is not what was logged, see `models.releases.load_checked`.
    """
    release = released_champion(settings)
    return Model.of(release.version, load_checked(release.folder))


def pipeline(settings: Settings) -> Pipeline:
    """The pipeline over what is published now.

    Raises:
        NotReady: no market or no model is published.
    """
    snapshot = load(market_folder(settings))
    return Pipeline.of(
        snapshot=snapshot,
        model=released_model(settings),
        states=creator_states(settings),
        settings=settings.serving,
    )
