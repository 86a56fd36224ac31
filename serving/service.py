"""The BentoML edge: lifecycle, workers and health around the service's own application."""

from __future__ import annotations

import bentoml
from starlette.types import Receive, Scope, Send

import configs
from serving import bentoml_timeout, parent
from serving.application import Application
from serving.readiness import Readiness

_application = Application(configs.current)


async def _everything(scope: Scope, receive: Receive, send: Send) -> None:
    """The application as a function: of another object BentoML would pass on only the routes that it knows."""
    await _application(scope, receive, send)


@bentoml.service(
    name="harmonic",
    workers=1,
    traffic={"timeout": 10},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": ".*"},  # the application traces itself: four spans of BentoML's cost each request 0.1 ms
    endpoints={"readyz": "/readyz", "livez": "/livez"},
)
@bentoml.asgi_app(_everything, path="/")
class Recommender:
    """Serves what has been published; `/livez` is BentoML's own."""

    def __init__(self) -> None:
        bentoml_timeout.mend()
        parent.follow()
        _application.start()

    def __is_ready__(self) -> bool:
        return _application.is_ready

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def stop(self) -> None:
        """Write and send what waits."""
        _application.close()


Recommender.add_asgi_middleware(Readiness, process=_application)  # type: ignore[attr-defined]  # it is a service now
