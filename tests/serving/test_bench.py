"""The benchmarks run as commands: their figures are there and positive; no test looks at how large they are."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import configs
from serving.bench.bars import BARS, Bar, judged, table
from serving.bench.load import COMPILERS, LoadClient, write_bodies
from serving.bench.rankers import REFERENCE_FEATURES
from serving.bench.world import World
from serving.errors import BenchmarkFault
from tests.worlds import small_settings

HARMONIC = str(Path(sys.executable).with_name("harmonic"))
needs_a_compiler = pytest.mark.skipif(not any(map(shutil.which, COMPILERS)), reason="there is no C compiler")


def numbers(tree: Any) -> Iterator[float]:
    if isinstance(tree, dict):
        for value in tree.values():
            yield from numbers(value)
    elif isinstance(tree, int | float) and not isinstance(tree, bool):
        yield float(tree)


@pytest.mark.e2e
@needs_a_compiler
def test_the_serving_benchmark_tells_every_figure_of_the_three_servers(tmp_path: Path) -> None:
    arguments = ["--trends", "200", "--candidates", "50", "--seconds", "0.5", "--quick", "--json"]
    home = tmp_path / "home"
    done = subprocess.run(
        [HARMONIC, "bench", "serving", *arguments],
        env={**os.environ, "HARMONIC_HOME": str(home)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["candidates"], told["model"]) == (50, {"trees": 300, "leaves": 31, "features": 40})
    assert told["machine"]["cores"] == os.cpu_count()
    assert {"p50_ms", "p99_ms", "rps_8"} <= told["tutorial"].keys()
    assert {"p50_ms", "p99_ms", "rps_8", "rss_mb", "p99_at_70_ms"} <= told["service"].keys()
    assert {"p50_ms", "p99_ms", "lightgbm_predict_ms", "scorer_ms"} <= told["champion"].keys()
    figures = [told[name] for name in ("tutorial", "service", "champion", "ratios", "lightgbm_predict_ms", "scorer_ms")]
    assert all(number > 0 for figure in figures for number in numbers({"": figure}))
    assert {bar["met"] for bar in told["bars"]} <= {"aim", "must", "no", ""}
    assert [path.name for path in home.iterdir()] == ["cache"]  # nothing of the benchmark's own state stays


def test_the_drawn_world_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    settings = configs.load(home=tmp_path)
    one, same, other = (World.of(100, 5, seed, settings.trends) for seed in (0, 0, 1))
    assert one.frame.equals(same.frame)
    assert np.array_equal(one.market.numeric, same.market.numeric, equal_nan=True)
    assert not one.frame.equals(other.frame)


def test_the_drawn_world_has_every_column_that_serving_needs_and_few_generic_trends(tmp_path: Path) -> None:
    world = World.of(300, 20, 0, small_settings(tmp_path).trends)
    assert len(world.market) == 300
    assert world.market.recommendable.mean() > 0.9
    for creator in world.creators:
        assert 20 <= len(creator.trend_keys) <= 60
        assert len(creator.words) == 30
        assert creator.column("sound_uses") <= creator.column("uses_per_post") * creator.column("posts_known")


def test_the_reference_takes_forty_features() -> None:
    assert len(set(REFERENCE_FEATURES)) == 40


@pytest.mark.parametrize(("figure", "met"), [(0.05, "aim"), (0.07, "aim"), (0.2, "must"), (0.25, "must"), (0.3, "no")])
def test_a_bar_says_whether_it_is_met(figure: float, met: str) -> None:
    assert Bar("", "", 0.25, 0.07).met(figure) == met
    assert Bar("", "", -0.25, -0.07, at_most=False).met(-figure) == met


def test_only_figures_that_were_taken_are_judged() -> None:
    figures = {"ratios": {"request_to_predict": 0.2}, "service": {"rss_mb": 500}}
    assert [(bar["figure"], bar["met"]) for bar in judged(figures)] == [(0.2, "must"), (500, "no")]
    assert table(figures).row_count == 2 < len(BARS)


@needs_a_compiler
def test_the_load_client_counts_answers_and_failures(tmp_path: Path) -> None:
    client = LoadClient.compiled(tmp_path)
    bodies = write_bodies(tmp_path / "bodies", [{"n": number} for number in range(3)])
    with pytest.raises(BenchmarkFault, match="connect"):
        client.run(1, "/", bodies, 1, 0.1)
    with answering(tmp_path) as port:
        closed = client.run(port, "/good", bodies, 2, 0.3)
        assert closed.failed == 0
        assert len(closed.milliseconds) > 2
        assert (closed.milliseconds > 0).all()
        paced = client.run(port, "/good", bodies, 2, 0.5, rate=40)
        assert (len(paced.milliseconds), paced.failed) == (20, 0)
        refused = client.run(port, "/bad", bodies, 1, 0.5, rate=10)
        assert (len(refused.milliseconds), refused.failed) == (0, 5)


def answering(folder: Path) -> Any:
    """A server of the standard library that keeps connections alive; `/bad` is answered with 500."""
    import threading
    from contextlib import contextmanager
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            json.loads(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(500 if self.path == "/bad" else 200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    @contextmanager
    def running() -> Iterator[int]:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            server.server_close()

    return running()
