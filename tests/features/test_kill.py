from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.lake import LAKE_TABLES, Lake

ROOT = Path(__file__).parents[2]
ROWS = 50_000
KILLS = 10

SCRIPT = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from features.ingest import ingest
from features.lake import Lake

print("ready", flush=True)
ingest([Path(sys.argv[2])], Lake(Path(sys.argv[1])), datetime(2026, 6, 1, tzinfo=UTC), 2_000)
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough rows that an ingest has a middle; every hundredth is bad."""
    path = tmp_path_factory.mktemp("killed") / "videos.parquet"
    seen = datetime(2026, 5, 1, tzinfo=UTC)
    rows = {
        "id": [str(n) for n in range(ROWS)],
        "create_time": [1_767_225_600 + n for n in range(ROWS)],
        "observed_at": [seen] * ROWS,
        "username": [f"creator_{n % 500}" for n in range(ROWS)],
        "view_count": [-1 if n % 100 == 0 else n for n in range(ROWS)],
        "follower_count": [n % 500 for n in range(ROWS)],
        "music_id": [f"sound_{n % 50}" for n in range(ROWS)],
        "music_use_count": [n % 50 for n in range(ROWS)],
    }
    pq.write_table(pa.table(rows), path)
    return path


def start(root: Path, file: Path) -> subprocess.Popen[bytes]:
    """An ingest in a process of its own, from the instant its imports are done."""
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(root), str(file)], cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def content(root: Path) -> dict[str, pa.Table]:
    connection = Lake(root).connect()
    return {
        name: connection.sql(
            f'SELECT * FROM "{name}" ORDER BY {", ".join(f"{k!r}" for k in table.key)}'.replace("'", '"')
        ).to_arrow_table()
        for name, table in LAKE_TABLES.items()
    }


def moments(seconds: float) -> Iterator[float]:
    """Instants spread over the ingest, one at random in each tenth of it."""
    chance = random.Random(7)
    for tenth in range(KILLS):
        yield seconds * (tenth + chance.random()) / KILLS


def test_an_ingest_killed_at_any_moment_leaves_the_old_lake_or_the_new_one(file: Path, tmp_path: Path) -> None:
    process = start(tmp_path / "calm", file)
    begun = time.monotonic()
    assert process.wait() == 0
    took = time.monotonic() - begun
    undisturbed = content(tmp_path / "calm")
    assert undisturbed["quarantine"].num_rows == ROWS // 100

    killed = tmp_path / "killed"
    deaths = 0
    for moment in moments(took):
        process = start(killed, file)
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        deaths += process.wait() == -signal.SIGKILL
        assert Lake(killed).counts()["videos"] in (0, undisturbed["videos"].num_rows)
    assert deaths > 0

    assert start(killed, file).wait() == 0
    again = content(killed)
    assert all(again[name].equals(undisturbed[name]) for name in LAKE_TABLES)
    assert not (killed / ".staging").exists()
