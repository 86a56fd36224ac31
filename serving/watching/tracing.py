"""OpenTelemetry traces: a span a request and one a stage, of a sample; nothing at all where no collector is named."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from serving.watching.telemetry import Stopwatch

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
SAMPLED: Final = 1


def tracer(share: float, version: str) -> Tracer | None:
    """The tracer of this process, None where the environment names no collector.

    Args:
        share: of requests that are traced, unless the caller has decided.
        version: of the service.
    """
    if not any(os.environ.get(name) for name in ENDPOINTS):
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    name = os.environ.get("OTEL_SERVICE_NAME", "harmonic")
    provider = TracerProvider(resource=Resource.create({"service.name": name, "service.version": version}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracer(provider, share)


class Tracer:
    """Makes the spans of a request once it is answered, so that stages pay for a clock and nothing else.

    Args:
        provider: where spans go.
        share: of requests that are traced, unless the caller has decided.
        seed: of that choice.
    """

    def __init__(self, provider: TracerProvider, share: float, seed: int = 0) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("harmonic.serving")
        self._share = share
        self._chance = random.Random(seed).random

    def wants(self, traceparent: str) -> bool:
        """Whether a request is traced: as its caller says (W3C Trace Context), else by chance."""
        flags = traceparent.rpartition("-")[2] if traceparent.count("-") >= 3 else ""
        if len(flags) == 2 and all(c in "0123456789abcdef" for c in flags):
            return bool(int(flags, 16) & SAMPLED)
        return self._chance() < self._share

    def emit(
        self, route: str, watch: Stopwatch, traceparent: str, attributes: Mapping[str, Any], ended_at: float
    ) -> None:
        """The spans of a request that has been answered.

        Args:
            route: name of the span.
            watch: of the request.
            traceparent: as the caller sent it.
            attributes: of the request's span; never personal data.
            ended_at: seconds since 1970 UTC.
        """
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        epoch = time.time_ns() - int(time.perf_counter() * 1e9)
        parent = TraceContextTextMapPropagator().extract({"traceparent": traceparent})
        began = epoch + int(watch.began * 1e9)
        span = self._tracer.start_span(route, parent, trace.SpanKind.SERVER, dict(attributes), start_time=began)
        inside = trace.set_span_in_context(span)
        for name, mark in watch.marks:
            ended = epoch + int(mark * 1e9)
            self._tracer.start_span(name, inside, start_time=began).end(ended)
            began = ended
        span.end(max(int(ended_at * 1e9), began))

    def close(self, seconds: float) -> None:
        """Send what waits, for so long at the most."""
        self._provider.force_flush(int(seconds * 1000))
        self._provider.shutdown()
