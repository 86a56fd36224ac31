"""What a serving process does besides answering: whose turn it is, records, figures, logs, coming and going."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic, perf_counter, time
from typing import Any, Final

import numpy as np
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from configs import Settings
from models.interactions import Floats, Ints
from serving.experiment import Arm, Experiment, Shadow, Shadowed
from serving.exploration import Exploration
from serving.holder import PipelineHolder, Traffic
from serving.impressions import Impression, Recorder
from serving.pipeline import Pipeline
from serving.process.lifecycle import Drain
from serving.process.queues import BatchQueue
from serving.schemas import RankQuery
from serving.snapshot import TrendSnapshot
from serving.watching import logs
from serving.watching.telemetry import STOPPED, Stopwatch, Telemetry
from serving.watching.tracing import Tracer, tracer

REQUEST_ID: Final = b"x-request-id"
TRACEPARENT: Final = b"traceparent"
MOST_ID: Final = 128
SEEN: Final = "harmonic.seen"
"""Where a request's `Seen` lies in its ASGI scope."""

TICK_SECONDS: Final = 1.0
WAITING: Final = 20_000
EVERY_SECONDS: Final = 0.25
"""How many answered requests may wait to be counted and logged, and how long one waits."""

OTHER: Final = "other"


class Seen:
    """What is noted of one request while it is answered; handlers fill in what they know.

    Attributes:
        request_id: the caller's, or a new one.
        watch: its stages.
        route: the template, never an address with names in it.
        model, arm: who made the slate.
        creator_id: only ever logged as a keyed hash.
        degraded: what the answer had to do without.
        status, at, seconds: of the answer: HTTP, seconds since 1970 UTC, and how long it took.
    """

    route = model = arm = creator_id = degraded = ""
    status = 500
    at = seconds = 0.0

    def __init__(self, request_id: str, watch: Stopwatch, traceparent: str, traced: bool) -> None:
        self.request_id, self.watch, self.traceparent, self.traced = request_id, watch, traceparent, traced


@dataclass(frozen=True, slots=True)
class Turn:
    """Whose turn it is for one creator: the arm, the share of creators who come to it, and its pipeline."""

    arm: Arm
    share: float
    pipeline: Pipeline
    traffic: Traffic


class Operations:
    """One process's; nothing is started before `start`.

    Args:
        settings: gives the settings.
        live: see `PipelineHolder`.
    """

    def __init__(
        self,
        settings: Callable[[], Settings],
        live: Callable[[TrendSnapshot], TrendSnapshot] = lambda snapshot: snapshot,
    ) -> None:
        self._settings = settings
        self.holder = PipelineHolder(settings, live)
        self._stopped = threading.Event()
        self._started = False

    def start(self) -> None:
        """Begin to follow what is published, and to record; returns when the first model is warm, if there is one."""
        settings = self._settings()
        chosen = settings.traffic
        logs.configure(settings.log)
        self.telemetry = Telemetry(chosen.stage_share)
        self.access = logs.AccessLog(settings.log, chosen.log_key.get_secret_value())
        self.recorder = Recorder(
            settings.home / "impressions", chosen.impressions_queue, chosen.impressions_flush_seconds,
            chosen.segment_bytes, chosen.segment_seconds,
        )  # fmt: skip
        self.shadow = Shadow(self.telemetry, chosen.shadow_queue)
        self.answered: BatchQueue[Seen] = BatchQueue("requests", self._account, WAITING, EVERY_SECONDS)
        self.queues: tuple[BatchQueue[Any], ...] = (self.answered, self.recorder.queue, self.shadow.queue)
        self.experiment = Experiment(chosen.salt, chosen.challenger_share, chosen.shadow_share)
        self.exploration = Exploration(
            chosen.exploration, chosen.exploration_candidates, chosen.exploration_temperature, chosen.salt
        )
        self.tracer: Tracer | None = tracer(chosen.trace_share, "1")
        self._log_share, self._chance = chosen.access_log_share, random.Random(0).random
        self.drain = Drain(chosen.drain_seconds)
        self.drain.listen()
        self.holder.telemetry = self.telemetry
        self.holder.keep_fresh(settings.serving.refresh_seconds)
        self._ticking = threading.Thread(target=self._tick, name="operations", daemon=True)
        self._ticking.start()
        self._started = True

    @property
    def is_ready(self) -> bool:
        """Whether requests should come here: a warm model serves, and the process is not about to stop."""
        return self._started and self.holder.is_ready and not self.drain.begun

    def close(self) -> None:
        """Write and send what waits, within the deadline of the settings."""
        deadline = monotonic() + self._settings().traffic.flush_seconds
        self.drain.begin()
        self._stopped.set()
        self.holder.stop()
        self.recorder.close(max(0.0, deadline - monotonic()))
        self.answered.close(max(0.0, deadline - monotonic()))
        self.shadow.queue.close(0.0)
        if self.tracer:
            self.tracer.close(max(0.1, deadline - monotonic()))
        self._tell()
        self.telemetry.leave()

    def _tick(self) -> None:
        while not self._stopped.wait(TICK_SECONDS):
            self._tell()
            self.recorder.seal_old()

    def _tell(self) -> None:
        self.holder.tell_ages(datetime.now(UTC))
        self.telemetry.draining.set(self.drain.begun)
        for queue in self.queues:
            self.telemetry.queued(queue)

    def turn(self, creator_id: str) -> Turn:
        """Whose turn it is; raises NotReady while nothing serves."""
        traffic = self.holder.traffic()
        arm = self.experiment.arm(creator_id)
        served, pipeline = traffic.of(arm)
        return Turn(served, self.experiment.share(served) if served == arm else 1.0, pipeline, traffic)

    def explored(
        self, turn: Turn, recommendation_id: str, slate: Ints, ranked: Ints, raw: Floats
    ) -> tuple[Ints, Floats]:
        """Places in `ranked` of what is shown, and propensities; see `Exploration.slate`."""
        if not self.exploration.chance:
            return slate, np.ones(len(slate))
        share = turn.pipeline.settings.max_share_of_kind
        return self.exploration.slate(
            recommendation_id, ranked[slate], ranked, raw, turn.pipeline.snapshot.market, share
        )

    def record(
        self, turn: Turn, query: RankQuery, recommendation_id: str, rows: Ints, scores: Floats,
        propensities: Floats | None = None, served_at: float | None = None,
    ) -> None:  # fmt: skip
        """A slate was served: record it, and perhaps have it scored by the challenger too.

        Args:
            rows: of the market, in the order of the slate, shape (k,).
            scores: as in the answer, shape (k,).
            propensities: of `explored`; 1 each where absent.
            served_at: seconds since 1970 UTC; now where absent.
        """
        pipeline = turn.pipeline
        self.recorder.record(
            Impression(
                recommendation_id, query.creator_id, time() if served_at is None else served_at,
                pipeline.model.version, pipeline.snapshot.version, turn.arm, turn.share, pipeline.snapshot.market,
                rows, scores, propensities,
            )
        )  # fmt: skip
        other = turn.traffic.challenger
        if other is not None and turn.arm == "champion" and self.experiment.is_shadowed(recommendation_id):
            self.shadow.queue.put(Shadowed(query, rows, lambda asked: other.recommend(asked)[1].rows))

    def begin(self, headers: list[tuple[bytes, bytes]]) -> Seen:
        """A request begins."""
        given = traceparent = ""
        for name, value in headers:
            if name == REQUEST_ID:
                given = value.decode("latin-1")
            elif name == TRACEPARENT:
                traceparent = value.decode("latin-1")
        valid = 0 < len(given) <= MOST_ID and given.isascii() and given.isprintable()
        traced = self.tracer is not None and self.tracer.wants(traceparent)
        watch = Stopwatch() if traced else self.telemetry.stopwatch()
        return Seen(given if valid else os.urandom(16).hex(), watch, traceparent, traced)

    def end(self, seen: Seen, seconds: float) -> None:
        """A request has been answered; everything else happens off the request path."""
        seen.at, seen.seconds = time(), seconds
        self.answered.put(seen)

    def _account(self, batch: list[Seen]) -> None:
        """Count, log and trace requests that have been answered."""
        for seen in batch:
            route = seen.route or OTHER
            self.telemetry.served(route, seen.status, seen.seconds, seen.watch)
            if seen.arm:
                self.telemetry.arms.labels(seen.arm).inc()
            if seen.degraded:
                self.telemetry.degraded.labels(seen.degraded).inc()
            if seen.traced and self.tracer is not None:
                facts = {"http.response.status_code": seen.status, "request_id": seen.request_id, "model": seen.model}
                self.tracer.emit(route, seen.watch, seen.traceparent, facts, seen.at)
        share = self._log_share
        self.access.write(_told(seen) for seen in batch if seen.status >= 400 or self._chance() < share)


def _told(seen: Seen) -> dict[str, Any]:
    return {
        "time": seen.at,
        "request_id": seen.request_id,
        "route": seen.route or OTHER,
        "status": seen.status,
        "ms": round(seen.seconds * 1e3, 3),
        "model": seen.model,
        "arm": seen.arm,
        "degraded": seen.degraded,
        "creator_id": seen.creator_id,
    }


class ObservedApp:
    """An ASGI application whose every request is timed, counted, logged and given its id; the outermost layer.

    Args:
        app: finds the request's `Seen` under `SEEN` in the scope, and its id under `state` as `request_id`.
        operations: started before the first request.
    """

    def __init__(self, app: ASGIApp, operations: Operations) -> None:
        self._app, self._operations = app, operations

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the lifespan, which passes through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        seen = scope[SEEN] = self._operations.begin(scope["headers"])
        scope.setdefault("state", {})["request_id"] = seen.request_id

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.status = message["status"]
                headers = message.setdefault("headers", [])
                if not any(name == REQUEST_ID for name, _ in headers):
                    headers = [*headers, (REQUEST_ID, seen.request_id.encode())]
                if self._operations.drain.begun:  # else the caller's next request may meet a closed connection
                    headers = [*headers, (b"connection", b"close")]
                message["headers"] = headers
            await send(message)

        try:
            await self._app(scope, receive, told)
        finally:
            seen.request_id = scope["state"].get("request_id", seen.request_id)  # a layer below may have its own rules
            if not seen.route:
                seen.route = getattr(scope.get("route"), "path", "")
            self._operations.end(seen, perf_counter() - began)


__all__ = ["OTHER", "SEEN", "STOPPED", "ObservedApp", "Operations", "Seen", "Turn"]
