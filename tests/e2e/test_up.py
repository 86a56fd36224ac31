"""From nothing to a served recommendation, and the service as an orchestrator sees it."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from features.lake import Lake
from features.store import FeatureRepository
from serving.publish import materialize_and_publish
from tests.e2e.conftest import Shell
from tests.servers import free_port
from tests.worlds import small_environment, small_settings

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    folder = tmp_path_factory.mktemp("up")
    environment = small_environment(folder / "a home")
    return Shell(environment | {"HARMONIC_SERVING__PORT": str(free_port())}, folder)


@pytest.fixture(scope="module")
def home(shell: Shell) -> Path:
    return Path(shell.environment["HARMONIC_HOME"])


@pytest.fixture(scope="module")
def first_seconds(shell: Shell) -> float:
    """Everything from nothing, once; how long it took."""
    began = time.monotonic()
    done = shell.run("up", "--once")
    assert done.returncode == 0, done.stderr
    assert "simulating a world" in done.stdout and "version 1 is champion" in done.stdout
    ends_with_a_slate_and_the_curl(done.stdout, shell)
    return time.monotonic() - began


def ends_with_a_slate_and_the_curl(said: str, shell: Shell) -> None:
    assert "as of 2025" in said and "hashtag" in said
    curl = said.strip().splitlines()[-1]
    assert curl.startswith(f"curl -s http://127.0.0.1:{shell.environment['HARMONIC_SERVING__PORT']}/v1/recommendations")
    assert json.loads(curl.split("-d '")[1].removesuffix("'"))["creator_id"]


def versions(home: Path) -> int:
    """Registered versions of the model."""
    with sqlite3.connect(home / "mlflow" / "mlflow.db") as registry:
        return int(registry.execute("SELECT count(*) FROM model_versions").fetchone()[0])


def served(home: Path) -> list[Path]:
    """What is kept for serving; without what SQLite keeps beside a file, and without counts of requests.

    Both come and go with how soon a process was stopped.
    """
    left_out = ("-wal", "-shm", "limits.sqlite")
    return sorted(path for path in (home / "serving").rglob("*") if not path.name.endswith(left_out))


def test_up_again_is_much_faster_and_adds_nothing(shell: Shell, home: Path, first_seconds: float) -> None:
    lake = Lake(home / "lake")
    before = lake.counts(), lake.fingerprint(), versions(home), served(home)
    began = time.monotonic()
    done = shell.run("up", "--once")
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 0.6 * first_seconds
    assert "simulating" not in done.stdout and "champion" not in done.stdout
    ends_with_a_slate_and_the_curl(done.stdout, shell)
    after = lake.counts(), lake.fingerprint(), versions(home), served(home)
    assert after == before


@pytest.mark.usefixtures("first_seconds")
def test_a_mistyped_path_leaves_the_simulated_world_where_it_is(shell: Shell, home: Path) -> None:
    done = shell.run("up", "--data", "nowhere", "--once")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "nowhere" in done.stderr
    assert Lake(home / "lake").latest_at() is not None


@pytest.mark.usefixtures("first_seconds")
def test_the_service_is_what_an_orchestrator_and_a_frontend_expect(shell: Shell) -> None:
    with shell.serving() as (process, client):
        assert client.get("/livez").status_code == 200
        assert client.get("/readyz").status_code == 200
        assert "harmonic_snapshot_age_seconds" in client.get("/metrics").text
        document = client.get("/docs.json").json()
        assert "/v1/recommendations" in document["paths"]
        example = document["components"]["schemas"]["RecommendationRequest"]["examples"][0]

        response = client.post("/v1/recommendations", json=example, headers={"X-Request-Id": "from-outside"})
        assert response.status_code == 200, response.text
        assert response.headers["x-request-id"] == "from-outside"
        assert len(response.json()["items"]) == example["k"]

        for refused in (client.post("/v1/recommendations", json={}), client.get("/nowhere"), client.put("/v1/trends")):
            assert refused.headers["content-type"] == "application/problem+json"
            assert refused.json()["request_id"] == refused.headers["x-request-id"]

        port = client.base_url.port
        second = shell.run("serve", "--port", port)
        assert second.returncode == 1
        assert second.stderr.startswith(f"harmonic: cannot listen on 127.0.0.1:{port}")
        assert len(second.stderr.splitlines()) == 1
        assert client.get("/readyz").status_code == 200

        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.usefixtures("first_seconds")
def test_a_running_service_takes_up_what_is_published_meanwhile(shell: Shell, home: Path) -> None:
    settings = small_settings(home)
    with shell.serving() as (_, client):
        before = client.get("/v1/trends").json()["as_of"]
        earlier = datetime(2025, 3, 1, tzinfo=UTC)
        materialize_and_publish(Lake(home / "lake"), FeatureRepository.open(settings), earlier, settings)
        deadline = time.monotonic() + 30
        while client.get("/v1/trends").json()["as_of"] == before and time.monotonic() < deadline:
            time.sleep(0.2)
        assert datetime.fromisoformat(client.get("/v1/trends").json()["as_of"]) == earlier


def test_one_creators_own_posts_hold_no_market_to_rank(tmp_path: Path) -> None:
    rows = ["id,create_time,username,hashtag_names"]
    rows += [f"{n},2026-01-{n:02}T12:00:00Z,anna,\"['tag{n % 3}', 'dance']\"" for n in range(1, 29)]
    (tmp_path / "mine.csv").write_text("\n".join(rows))
    done = Shell(small_environment(tmp_path / "home"), tmp_path).run("up", "--data", "mine.csv", "--once")
    assert done.returncode == 1
    (told,) = (line for line in done.stderr.splitlines() if line.startswith("harmonic: "))
    assert "no trend was used by" in told and "Traceback" not in done.stderr
    assert not (tmp_path / "home" / "mlflow").exists()  # nothing was trained
    done = Shell(small_environment(tmp_path / "home"), tmp_path).run("score", "--out", "slates.parquet")
    assert done.returncode == 1 and "no trend was used by" in done.stderr
    assert not (tmp_path / "slates.parquet").exists()


def test_up_tells_what_of_the_data_was_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.csv").write_text("id,create_time,username\n1,2031-01-01T00:00:00Z,anna\n")
    (tmp_path / "data" / "notes.txt").write_text("to do")
    for verb in (("up", "--once", "--data"), ("ingest",)):
        done = Shell(small_environment(tmp_path / "home"), tmp_path).run(*verb, "data")
        assert done.returncode == 1
        assert "create_time is in the future" in done.stdout and "notes.txt" in done.stdout
        assert "nothing was loaded: every row was refused" in done.stderr
    (tmp_path / "data" / "mine.csv").unlink()
    done = Shell(small_environment(tmp_path / "home"), tmp_path).run("ingest", "data")
    assert done.returncode == 1 and "no file is one of metrics" in done.stderr


def test_a_service_without_anything_to_serve_lives_but_is_not_ready(tmp_path: Path) -> None:
    with Shell(small_environment(tmp_path / "home"), tmp_path).serving(until="/livez") as (_, client):
        assert client.get("/readyz").status_code == 503
        refused = client.post("/v1/recommendations", json={"creator_id": "anna"})
        assert (refused.status_code, refused.headers["content-type"]) == (503, "application/problem+json")
        assert "harmonic up" in refused.json()["detail"]
