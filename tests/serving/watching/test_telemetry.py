from __future__ import annotations

import gzip
import io
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar

import httpx
import pytest

import configs
from configs import LogSettings
from serving.process.lifecycle import Drain
from serving.process.queues import BatchQueue
from serving.watching.logs import AccessLog, configure, creator_tag
from serving.watching.telemetry import STOPPED, Stopwatch, Telemetry
from serving.watching.tracing import tracer
from tests.servers import free_port
from tests.serving.releases import home_to_change, release_variant
from tests.worlds import small_environment

ROOT = Path(__file__).parents[3]
JSON = LogSettings(level="INFO", json_lines=True)
FRESH = httpx.Client(headers={"connection": "close"}, timeout=10)
"""Every request over a connection of its own, so that either worker may answer."""


def value(telemetry: Telemetry, name: str, **labels: str) -> float:
    return telemetry.registry.get_sample_value(f"harmonic_{name}", labels) or 0.0


# Figures


def test_a_request_is_counted_by_route_and_status_and_its_stages_are_timed() -> None:
    telemetry, watch = Telemetry(), Stopwatch()
    for name in ("hydrate", "score", "serialise"):
        watch.stage(name)
    watch.candidates("walk", 120)
    telemetry.served("/v1/recommendations", 200, 0.002, watch)
    telemetry.served("/v1/recommendations", 503, 0.001)
    assert value(telemetry, "requests_total", route="/v1/recommendations", status="200") == 1
    assert value(telemetry, "requests_total", route="/v1/recommendations", status="503") == 1
    assert value(telemetry, "request_seconds_count", route="/v1/recommendations") == 2
    assert value(telemetry, "stage_seconds_count", stage="score") == 1
    assert value(telemetry, "stage_seconds_count", stage="filter") == 0
    assert value(telemetry, "candidates_sum", source="walk") == 120
    total = sum(value(telemetry, "stage_seconds_sum", stage=s) for s in ("hydrate", "score", "serialise"))
    assert total == pytest.approx(watch.marks[-1][1] - watch.began)


def test_only_a_sample_of_requests_is_timed_by_stage() -> None:
    telemetry = Telemetry(stage_share=0.1)
    running = sum(telemetry.stopwatch() is not STOPPED for _ in range(5000))
    assert 400 < running < 600
    STOPPED.stage("score")
    assert STOPPED.marks == []


def test_two_sets_of_figures_in_one_process_do_not_disturb_each_other() -> None:
    one, other = Telemetry(), Telemetry()
    one.degraded.labels("redis").inc()
    assert value(one, "degraded_total", reason="redis") == 1 and value(other, "degraded_total", reason="redis") == 0
    assert b'harmonic_degraded_total{reason="redis"} 1.0' in one.exposition()


def test_what_waits_and_what_was_dropped_is_told() -> None:
    telemetry = Telemetry()
    queue: BatchQueue[int] = BatchQueue("impressions", lambda batch: None, most=2, every_seconds=30)
    for number in range(5):
        queue.put(number)
    telemetry.queued(queue)
    telemetry.queued(queue)
    assert value(telemetry, "queue_depth", queue="impressions") == 2
    assert value(telemetry, "queue_dropped_total", queue="impressions") == 3
    queue.close(1)


def test_a_swap_moves_the_worker_from_one_version_to_the_other() -> None:
    telemetry = Telemetry()
    telemetry.serving({"champion": "1"})
    telemetry.serving({"champion": "2", "challenger": "3"})
    found = {v: value(telemetry, "model_workers", alias=a, version=v) for a, v in
             (("champion", "1"), ("champion", "2"), ("challenger", "3"))}  # fmt: skip
    assert found == {"1": 0, "2": 1, "3": 1}


# Logs


def test_a_line_of_the_access_log_holds_no_names_and_no_secrets() -> None:
    stream = io.StringIO()
    access = AccessLog(JSON, "a key", stream)
    event = {"time": 1.0, "request_id": "r1", "route": "/v1/recommendations", "status": 200, "ms": 1.25, "model": "7"}
    access.write([event | {"arm": "champion", "creator_id": "anna_sings"}])
    line = json.loads(stream.getvalue())
    assert line == {
        "timestamp": "1970-01-01T00:00:01.000+00:00", "level": "info", "event": "request", "request_id": "r1",
        "route": "/v1/recommendations", "status": 200, "ms": 1.25, "model": "7", "arm": "champion",
        "creator": creator_tag("anna_sings", b"a key"),
    }  # fmt: skip
    assert "anna" not in stream.getvalue()
    assert creator_tag("anna_sings", b"another") != line["creator"]


def test_without_a_key_creators_are_left_out() -> None:
    stream = io.StringIO()
    access = AccessLog(JSON, "", stream)
    access.write([{"time": 1.0, "status": 500, "creator_id": "anna_sings"}])
    assert json.loads(stream.getvalue()) == {
        "timestamp": "1970-01-01T00:00:01.000+00:00", "level": "error", "event": "request", "status": 500,
    }  # fmt: skip


@pytest.fixture
def untouched_logging() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before, level


@pytest.mark.usefixtures("untouched_logging")
def test_every_record_of_the_process_is_one_object_and_an_exception_keeps_its_words(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure(JSON)
    logging.getLogger("serving.holder").warning("market %s is late", "m1", extra={"token": "s3cret"})
    try:
        raise ValueError("anna_sings posted 3 videos")
    except ValueError:
        logging.getLogger("serving.api").exception("request %s failed", "r1")
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert (first["event"], first["level"], first["logger"]) == ("market m1 is late", "warning", "serving.holder")
    assert (second["event"], second["error"]) == ("request r1 failed", "ValueError")
    assert "test_telemetry.py" in second["at"][-1]
    assert "anna" not in json.dumps(second) and "s3cret" not in json.dumps(first)


# Traces


class Collector(BaseHTTPRequestHandler):
    bodies: ClassVar[list[bytes]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.bodies.append(gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


def test_without_a_collector_there_is_no_tracer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    assert tracer(1.0, "1") is None


def test_a_request_and_its_stages_reach_the_collector_under_the_callers_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    server = HTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    made = tracer(0.0, "1")
    assert made is not None
    caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert (
        made.wants(caller) and not made.wants(caller[:-1] + "0") and not made.wants("") and not made.wants("nonsense")
    )
    watch = Stopwatch()
    for name in ("hydrate", "score"):
        time.sleep(0.002)
        watch.stage(name)
    made.emit("/v1/recommendations", watch, caller, {"model": "7"}, time.time())
    made.close(5)
    server.shutdown()
    received = ExportTraceServiceRequest.FromString(Collector.bodies[-1])
    spans = {s.name: s for r in received.resource_spans for scope in r.scope_spans for s in scope.spans}
    root = spans["/v1/recommendations"]
    assert {*spans} == {"/v1/recommendations", "hydrate", "score"}
    assert root.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c" and root.parent_span_id.hex() == "b7ad6b7169203331"
    assert spans["score"].parent_span_id == root.span_id
    assert spans["score"].start_time_unix_nano == spans["hydrate"].end_time_unix_nano
    assert abs(root.start_time_unix_nano / 1e9 - time.time()) < 10


# Coming and going


def test_the_servers_own_handler_runs_after_the_grace_and_at_once_the_second_time() -> None:
    calls: list[float] = []
    before = signal.signal(signal.SIGTERM, lambda *_: calls.append(perf_counter()))
    try:
        drain = Drain(0.3)
        drain.listen()
        assert not drain.begun
        began = perf_counter()
        os.kill(os.getpid(), signal.SIGTERM)
        assert drain.begun and not calls
        time.sleep(0.4)
        assert len(calls) == 1 and calls[0] - began >= 0.3
        os.kill(os.getpid(), signal.SIGTERM)
        assert len(calls) == 2
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def observed(
    settings: configs.Settings, log: Path, **environment: str
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Two real workers of `tests.serving.observed_service`."""
    port = free_port()
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "bentoml", "serve", "tests.serving.observed_service:Observed", "--port", str(port)],
            env={**os.environ, **small_environment(settings.home), "BENTOML_HOME": str(settings.home / "bentoml"),
                 "OMP_NUM_THREADS": "1", "BENTOML_DO_NOT_TRACK": "true", "HARMONIC_LOG__JSON_LINES": "true",
                 "HARMONIC_TRAFFIC__ACCESS_LOG_SHARE": "1",
                 **environment},
            cwd=ROOT, stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def processes(base: str, least: int) -> set[int]:
    """The workers that answer, asked over fresh connections."""
    found: set[int] = set()
    deadline = time.monotonic() + 30
    while len(found) < least and time.monotonic() < deadline:
        try:
            answer = FRESH.get(f"{base}/slate?creator=creator_0007", timeout=5)
            if answer.status_code == 200:
                found.add(answer.json()["process"])
        except httpx.TransportError:
            time.sleep(0.1)
    return found


def figure(base: str, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", FRESH.get(f"{base}/metrics").text, re.M)
    return float(found[1]) if found else 0.0


def test_two_workers_tell_one_story_and_leave_nothing_behind(trained_home: Path, tmp_path: Path) -> None:
    settings = home_to_change(trained_home, tmp_path / "home")
    log = tmp_path / "serve.log"
    with observed(settings, log, HARMONIC_TRAFFIC__DRAIN_SECONDS="1.5",
                  HARMONIC_TRAFFIC__WARM_UP_MILLISECONDS="5000") as (process, base):  # fmt: skip
        workers = processes(base, 2)
        assert len(workers) == 2, log.read_text()
        time.sleep(0.6)  # figures follow a little later
        before = figure(base, 'harmonic_requests_total{route="/slate",status="200"}')
        for _ in range(50):
            assert FRESH.get(f"{base}/slate?creator=anna_sings", headers={"x-request-id": "r-77"}).status_code == 200
        time.sleep(0.6)
        assert figure(base, 'harmonic_requests_total{route="/slate",status="200"}') == before + 50
        assert figure(base, 'harmonic_model_workers{alias="champion",version="1"}') == 2

        release_variant(settings, "2", 0.4)
        deadline = time.monotonic() + 15
        while figure(base, 'harmonic_model_workers{alias="champion",version="2"}') < 2 and time.monotonic() < deadline:
            time.sleep(0.2)
        assert figure(base, 'harmonic_model_workers{alias="champion",version="2"}') == 2
        assert figure(base, 'harmonic_model_workers{alias="champion",version="1"}') == 0

        slow: list[int] = []
        asking = threading.Thread(target=lambda: slow.append(FRESH.get(f"{base}/slow?seconds=2.5").status_code))
        asking.start()
        time.sleep(0.3)
        assert FRESH.get(f"{base}/ready").status_code == FRESH.get(f"{base}/readyz").status_code == 200
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert {FRESH.get(f"{base}{path}").status_code for path in ("/ready", "/readyz") for _ in range(4)} == {503}
        assert FRESH.get(f"{base}/slate?creator=late").status_code == 200
        assert process.wait(15) is not None
        asking.join()
        assert slow == [200]

    written = [json.loads(line) for path in (settings.home / "impressions").iterdir() for line in path.open()]
    assert {path.suffix for path in (settings.home / "impressions").iterdir()} == {".jsonl"}
    assert len(written) == before + 51 and sum(one["creator_id"] == "anna_sings" for one in written) == 50
    said = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    assert sum(line.get("request_id") == "r-77" for line in said) == 50
    assert "anna_sings" not in log.read_text()
