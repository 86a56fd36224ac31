"""Structured logs: one JSON object (or one line of key=value) an event, without bodies, secrets or names of people."""

from __future__ import annotations

import logging
import logging.config
import sys
import traceback
from collections.abc import Iterable, MutableMapping
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Final, TextIO

import orjson

from configs import LogSettings

Event = MutableMapping[str, Any]

SECRET: Final = ("authorization", "api_key", "apikey", "cookie", "password", "secret", "token", "key")
PERSONAL: Final = ("body", "creator_id", "email", "username")


def configure(settings: LogSettings) -> None:
    """Send every log record of this process to standard error, as structured lines."""
    import structlog

    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        told_safely,
    ]
    formatter = {
        "()": structlog.stdlib.ProcessorFormatter,
        "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, _renderer(settings.json_lines)],
        "foreign_pre_chain": shared,
    }
    handler = {"class": "logging.StreamHandler", "formatter": "structured", "stream": "ext://sys.stderr"}
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"structured": formatter},
            "handlers": {"structured": handler},
            "root": {"level": settings.level, "handlers": ["structured"]},
            "loggers": {
                name: {"level": "WARNING", "handlers": [], "propagate": True}
                for name in ("bentoml", "circus", "uvicorn", "uvicorn.error", "uvicorn.access", "opentelemetry")
            },
        }
    )


def told_safely(_: Any, __: str, event: Event) -> Event:
    """Leave out secrets and personal data; of an exception, tell its type and its places, not its words."""
    for name in [name for name in event if name.lower() in SECRET or name.lower() in PERSONAL]:
        del event[name]
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()
    if isinstance(error, BaseException):
        error = (type(error), error, error.__traceback__)
    if isinstance(error, tuple) and error[0] is not None:
        event["error"] = error[0].__name__
        event["at"] = [f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(error[2])[-12:]]
    return event


def _renderer(json_lines: bool) -> Any:
    import structlog

    if json_lines:
        return structlog.processors.JSONRenderer(lambda event, **_: orjson.dumps(event, default=str).decode())
    return structlog.processors.LogfmtRenderer(
        key_order=("timestamp", "level", "event", "logger"), drop_missing=True, bool_as_flag=False
    )


class AccessLog:
    """One line a request; to be called off the request path.

    Args:
        settings: rendering.
        key: hashes creator ids; without one they are left out.
        stream: takes the lines.
    """

    def __init__(self, settings: LogSettings, key: str = "", stream: TextIO | None = None) -> None:
        self._render = _renderer(settings.json_lines)
        self._key = key.encode()[:64]
        self._stream = stream or sys.stderr

    def write(self, batch: Iterable[Event]) -> None:
        """Write lines of `time` (seconds since 1970 UTC), `status`, perhaps `creator_id`, and whatever else is told."""
        lines = [f"{self._render(None, '', self._line(event))}\n" for event in batch]
        if lines:
            self._stream.write("".join(lines))
            self._stream.flush()

    def _line(self, event: Event) -> Event:
        at = datetime.fromtimestamp(event.pop("time"), UTC).isoformat(timespec="milliseconds")
        creator = event.pop("creator_id", "")
        level = "error" if event["status"] >= 500 else "info"
        line = {"timestamp": at, "level": level, "event": "request", **{k: v for k, v in event.items() if v != ""}}
        if creator and self._key:
            line["creator"] = creator_tag(creator, self._key)
        return line


def creator_tag(creator_id: str, key: bytes) -> str:
    """A creator's pseudonym in logs: the same for the same key, and not to be guessed without it."""
    return blake2b(creator_id.encode("utf-8", "surrogatepass"), key=key, digest_size=8).hexdigest()
