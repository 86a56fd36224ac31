"""What the service says of itself in numbers: Prometheus metrics, one set a process, added up over all workers.

Under `bentoml serve`, PROMETHEUS_MULTIPROC_DIR is set before a worker starts: each keeps its values in files there, and
whichever worker is asked adds up all of them. Elsewhere the values are this process's own.
"""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from features.scratch import is_alive
from serving.process.queues import BatchQueue

if TYPE_CHECKING:
    from prometheus_client import Counter, Gauge, Histogram

STAGES: Final = ("hydrate", "source", "filter", "score", "rerank", "present", "serialise")

REQUEST_BUCKETS: Final = (2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
STAGE_BUCKETS: Final = (1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.5)
COUNT_BUCKETS: Final = (0, 1, 10, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 50_000)
SHARE_BUCKETS: Final = tuple(n / 10 for n in range(11))
CORRELATION_BUCKETS: Final = tuple(n / 5 for n in range(-5, 6))

MULTIPROCESS: Final = "PROMETHEUS_MULTIPROC_DIR"


class Stopwatch:
    """When each stage of one request ended.

    Attributes:
        began: `time.perf_counter` at the start.
        marks: (stage, `time.perf_counter` at its end), in their order.
        counts: (source, candidates).
    """

    __slots__ = ("began", "counts", "marks")

    def __init__(self) -> None:
        self.began = perf_counter()
        self.marks: list[tuple[str, float]] = []
        self.counts: list[tuple[str, int]] = []

    def stage(self, name: str) -> None:
        """A stage has just ended."""
        self.marks.append((name, perf_counter()))

    def candidates(self, source: str, count: int) -> None:
        """A source has proposed so many."""
        self.counts.append((source, count))


class StoppedWatch(Stopwatch):
    """Of a request that is not timed: costs nothing but the call."""

    __slots__ = ()

    def stage(self, name: str) -> None:
        """See `Stopwatch.stage`."""

    def candidates(self, source: str, count: int) -> None:
        """See `Stopwatch.candidates`."""


STOPPED: Final = StoppedWatch()


class Telemetry:
    """The metrics of one process. Its names are the contract with dashboards.

    Args:
        stage_share: of requests whose stages are timed.
        seed: of that choice.
    """

    def __init__(self, stage_share: float = 1.0, seed: int = 0) -> None:
        from prometheus_client import CollectorRegistry

        self.registry = CollectorRegistry()
        self._stage_share = stage_share
        self._chance = random.Random(seed).random
        self._routes: dict[tuple[str, int], tuple[Any, Any]] = {}
        self._models: dict[str, str] = {}
        self._told: dict[str, tuple[int, int]] = {}
        self._define_requests()
        self._define_state()
        self._define_experiments()
        self._stages: dict[str, Any] = {name: self.stage_seconds.labels(name) for name in STAGES}

    def _define_requests(self) -> None:
        self.request_seconds = self._histogram("request_seconds", "Whole request", ("route",), REQUEST_BUCKETS)
        self.requests = self._counter("requests", "Requests answered", ("route", "status"))
        self.stage_seconds = self._histogram(
            "stage_seconds", "One stage of a request, of a sample", ("stage",), STAGE_BUCKETS
        )
        self.candidates = self._histogram("candidates", "Candidates by source, of a sample", ("source",), COUNT_BUCKETS)
        self.degraded = self._counter("degraded", "Answers that had to do without something", ("reason",))
        self.events = self._counter("events", "Events received", ("kind", "outcome"))

    def _define_state(self) -> None:
        self.snapshot_age = self._gauge("snapshot_age_seconds", "Since this market was taken in", "livemax")
        self.feature_age = self._gauge("feature_age_seconds", "Since the instant that the features speak of", "livemax")
        self.trends = self._gauge("snapshot_trends", "Live trends of the market", "livemax")
        self.model_workers = self._gauge("model_workers", "Workers serving a model", "livesum", ("alias", "version"))
        self.swaps = self._counter("model_swaps", "Models and markets taken in", ("what",))
        self.refused = self._counter("models_refused", "Releases that failed their check", ("alias",))
        self.queue_depth = self._gauge("queue_depth", "What waits off the request path", "livesum", ("queue",))
        self.queue_dropped = self._counter("queue_dropped", "Dropped because too many waited", ("queue",))
        self.queue_failed = self._counter("queue_failed", "Lost by an error off the request path", ("queue",))
        self.draining = self._gauge("draining", "Workers that are stopping", "livesum")

    def _define_experiments(self) -> None:
        self.arms = self._counter("slates", "Slates served", ("arm",))
        self.shadow_overlap = self._histogram("shadow_overlap", "Share of the slate in common", (), SHARE_BUCKETS)
        self.shadow_correlation = self._histogram(
            "shadow_rank_correlation", "Spearman's rho of what is in common", (), CORRELATION_BUCKETS
        )
        self.shadow_seconds = self._histogram("shadow_seconds", "Scoring a slate unseen", (), REQUEST_BUCKETS)

    def _histogram(self, name: str, text: str, labels: tuple[str, ...], buckets: tuple[float, ...]) -> Histogram:
        from prometheus_client import Histogram

        return Histogram(f"harmonic_{name}", text, labels, buckets=buckets, registry=self.registry)

    def _counter(self, name: str, text: str, labels: tuple[str, ...]) -> Counter:
        from prometheus_client import Counter

        return Counter(f"harmonic_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, over_workers: Any, labels: tuple[str, ...] = ()) -> Gauge:
        from prometheus_client import Gauge

        return Gauge(f"harmonic_{name}", text, labels, registry=self.registry, multiprocess_mode=over_workers)

    def stopwatch(self) -> Stopwatch:
        """For one request: it runs for a sample of them."""
        return Stopwatch() if self._chance() < self._stage_share else STOPPED

    def served(self, route: str, status: int, seconds: float, watch: Stopwatch = STOPPED) -> None:
        """One request was answered.

        Args:
            route: its template, never an address with names in it.
            status: of HTTP.
            seconds: it took in all.
            watch: its stages.
        """
        bound = self._routes.get((route, status))
        if bound is None:
            bound = self.request_seconds.labels(route), self.requests.labels(route, str(status))
            self._routes[route, status] = bound
        bound[0].observe(seconds)
        bound[1].inc()
        if watch.marks:
            self._observe_stages(watch)

    def _observe_stages(self, watch: Stopwatch) -> None:
        before = watch.began
        for name, ended in watch.marks:
            stage = self._stages.get(name) or self._stages.setdefault(name, self.stage_seconds.labels(name))
            stage.observe(ended - before)
            before = ended
        for source, count in watch.counts:
            self.candidates.labels(source).observe(count)

    def serving(self, models: Mapping[str, str]) -> None:
        """This worker now serves these models: alias → version."""
        for alias, version in self._models.items():
            self.model_workers.labels(alias, version).set(0)
        for alias, version in models.items():
            self.model_workers.labels(alias, version).set(1)
        self._models = dict(models)

    def queued(self, queue: BatchQueue[Any]) -> None:
        """How a queue stands now."""
        self.queue_depth.labels(queue.name).set(len(queue))
        dropped, failed = queue.dropped, queue.failed
        before = self._told.get(queue.name, (0, 0))
        self.queue_dropped.labels(queue.name).inc(dropped - before[0])
        self.queue_failed.labels(queue.name).inc(failed - before[1])
        self._told[queue.name] = dropped, failed

    def shadowed(self, overlap: float, correlation: float | None, seconds: float) -> None:
        """One slate was scored by the challenger too."""
        self.shadow_overlap.observe(overlap)
        self.shadow_seconds.observe(seconds)
        if correlation is not None:
            self.shadow_correlation.observe(correlation)

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format, other workers' added; it reads files, so not on the event loop."""
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.multiprocess import MultiProcessCollector

        folder = os.environ.get(MULTIPROCESS)
        if not folder:
            return generate_latest(self.registry)
        _forget_the_dead(Path(folder))
        together = CollectorRegistry()
        MultiProcessCollector(together, folder)  # type: ignore[no-untyped-call]
        return generate_latest(together)

    def leave(self) -> None:
        """This process ends: what only the living count is no longer counted."""
        from prometheus_client.multiprocess import mark_process_dead

        if folder := os.environ.get(MULTIPROCESS):
            mark_process_dead(os.getpid(), folder)  # type: ignore[no-untyped-call]


def _forget_the_dead(folder: Path) -> None:
    """Workers that were killed could not take leave."""
    from prometheus_client.multiprocess import mark_process_dead

    for process in {int(path.stem.rpartition("_")[2]) for path in folder.glob("gauge_live*_*.db")}:
        if not is_alive(process):
            mark_process_dead(process, str(folder))  # type: ignore[no-untyped-call]
