"""The BentoML edge: lifecycle, workers and health around the service's own application."""

from __future__ import annotations

from typing import Final

import bentoml

import configs
from serving.application import Application
from serving.front import Front, TimeLimit
from serving.process import parent
from serving.watching.readiness import Readiness

TIMEOUT_SECONDS: Final = 10

_application = Application(configs.current)


@bentoml.service(
    name="harmonic",
    workers=1,
    traffic={"timeout": TIMEOUT_SECONDS},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": ".*"},  # the application traces itself
    endpoints={"readyz": "/readyz", "livez": "/livez"},
)
class Recommender:
    """Serves what has been published; BentoML itself answers what `serving.front` leaves to it."""

    def __init__(self) -> None:
        parent.follow()
        _application.start()

    def __is_ready__(self) -> bool:
        return _application.is_ready

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    async def stop(self) -> None:
        """Write and send what waits."""
        await _application.aclose()


Recommender.add_asgi_middleware(  # type: ignore[attr-defined]  # it is a service now
    Front, application=TimeLimit(Readiness(_application, _application), TIMEOUT_SECONDS)
)
