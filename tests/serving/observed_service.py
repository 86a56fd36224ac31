"""A small BentoML service around `Operations`, for tests that need real workers, signals and files of metrics."""

from __future__ import annotations

import asyncio
import os
import uuid

import bentoml
import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

import configs
from serving.schemas import RankQuery
from serving.watching.operations import SEEN, ObservedApp, Operations

operations = Operations(configs.current)


async def slate(request: Request) -> Response:
    seen, creator_id = request.scope[SEEN], request.query_params["creator"]
    turn = operations.turn(creator_id)
    query = RankQuery(creator_id, 5)
    _, scored = turn.pipeline.recommend(query)
    seen.watch.stage("score")
    seen.route, seen.model, seen.arm, seen.creator_id = "/slate", turn.pipeline.model.version, turn.arm, creator_id
    operations.record(turn, query, uuid.uuid4().hex, scored.rows, scored.raw)
    return Response(orjson.dumps({"rows": scored.rows.tolist(), "process": os.getpid()}))


async def slow(request: Request) -> Response:
    await asyncio.sleep(float(request.query_params["seconds"]))
    return Response("done")


async def metrics(request: Request) -> Response:
    return Response(await asyncio.to_thread(operations.telemetry.exposition), media_type="text/plain")


async def ready(request: Request) -> Response:
    return Response(orjson.dumps(operations.holder.report()), 200 if operations.is_ready else 503)


app = ObservedApp(Starlette(routes=[Route(f"/{f.__name__}", f) for f in (slate, slow, metrics, ready)]), operations)


async def everything(scope: Scope, receive: Receive, send: Send) -> None:
    await app(scope, receive, send)


@bentoml.service(name="observed", workers=2, metrics={"enabled": False}, logging={"access": {"enabled": False}})
@bentoml.asgi_app(everything, path="/")
class Observed:
    def __init__(self) -> None:
        operations.start()

    def __is_ready__(self) -> bool:
        return operations.is_ready

    @bentoml.on_shutdown
    def stop(self) -> None:
        operations.close()
