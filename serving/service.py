"""The BentoML edge: lifecycle, workers, health and metrics around the mounted API."""

from __future__ import annotations

import bentoml
from starlette.types import Receive, Scope, Send

import configs
from serving.answers import Answers
from serving.api import create_api
from serving.assemble import PipelineHolder

_holder = PipelineHolder(configs.current)
_api = create_api(Answers(_holder.get))


async def _everything_else(scope: Scope, receive: Receive, send: Send) -> None:
    """The API as a function: of a FastAPI, BentoML passes on only known routes, and answers others in plain text."""
    await _api(scope, receive, send)


@bentoml.service(
    name="harmonic",
    workers=1,
    traffic={"timeout": 10},
    logging={"access": {"enabled": False}},
    endpoints={"readyz": "/readyz", "livez": "/livez"},
)
@bentoml.asgi_app(_everything_else, path="/")
class Recommender:
    """Serves what has been published; `/livez`, `/readyz` and `/metrics` are BentoML's own."""

    def __init__(self) -> None:
        _holder.keep_fresh(configs.current().serving.refresh_seconds)

    def __is_ready__(self) -> bool:
        return _holder.is_ready
