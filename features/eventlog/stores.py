"""The event log of the settings."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from configs import EventSettings
from features.eventlog.log import EventLog


def open_event_log(home: Path, settings: EventSettings, original_titles: tuple[str, ...]) -> EventLog:
    """The log that this machine appends to and reads.

    Args:
        home: the state folder.
        original_titles: titles of sounds that are no trends (`trends.pool.original_titles`).

    Raises:
        LogUnavailable: its file cannot be used. An absent Redis is told by the first append or read.
    """
    limits = (original_titles, settings.max_waiting, settings.group, settings.ack_seconds)
    if settings.store == "sqlite":
        from features.eventlog.sqlite import SqliteEventLog

        return SqliteEventLog(home / settings.path, *limits)
    from features.eventlog.redis import RedisEventLog

    assert settings.redis is not None
    return RedisEventLog(
        settings.redis.get_secret_value(),
        settings.shards,
        timedelta(days=settings.retention_days),
        settings.timeout_seconds,
        settings.trust_server,
        *limits,
    )
