"""The BentoML edge: lifecycle, workers, health and metrics around the mounted API."""

from __future__ import annotations

import bentoml

import configs
from serving.answers import Answers
from serving.api import create_api
from serving.assemble import PipelineHolder

_holder = PipelineHolder(configs.current)


@bentoml.service(
    name="harmonic",
    workers=1,
    traffic={"timeout": 10},
    logging={"access": {"enabled": False}},
    endpoints={"readyz": "/readyz", "livez": "/livez"},
)
@bentoml.asgi_app(create_api(Answers(_holder.get)), path="/")
class Recommender:
    """Serves what has been published; `/livez`, `/readyz` and `/metrics` are BentoML's own."""

    def __init__(self) -> None:
        _holder.refresh()

    def __is_ready__(self) -> bool:
        return _holder.is_ready
