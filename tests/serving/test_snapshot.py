from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.market import Market
from serving.errors import NotReady
from serving.pipeline import Pipeline
from serving.snapshot import FORMAT, KEPT, TrendSnapshot, current_version, is_current, load, publish

ROOT = Path(__file__).parents[2]
Publish = Callable[[str], None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "market"


@pytest.fixture
def publish_as(folder: Path, served: Pipeline) -> Publish:
    return lambda version: publish(folder, replace(served.snapshot, version=version))


def named(version: str, snapshot: TrendSnapshot) -> TrendSnapshot:
    """The snapshot under this version, in which every trend is called so, too."""
    names = np.full(len(snapshot.market), version, object)
    return replace(snapshot, version=version, market=replace(snapshot.market, names=names))


def same_bits(a: Market, b: Market) -> bool:
    floats = all(getattr(a, n).tobytes() == getattr(b, n).tobytes() for n in ("numeric", "taste", "region_shares"))
    text = all((getattr(a, n) == getattr(b, n)).all() for n in ("keys", "types", "names", "authors", "stages"))
    return floats and text and a.as_of == b.as_of and list(a.word_of) == list(b.word_of)


def test_what_is_loaded_is_what_was_published_bit_for_bit(folder: Path, publish_as: Publish, served: Pipeline) -> None:
    publish_as("one")
    loaded = load(folder)
    assert loaded.version == "one"
    assert same_bits(loaded.market, served.snapshot.market)
    assert loaded.forecasts == served.snapshot.forecasts and 0 < len(loaded.forecasts) < len(loaded.market)
    for name, generator in served.snapshot.market.generators.items():
        for part, array in generator.arrays().items():
            assert loaded.market.generators[name].arrays()[part].tobytes() == array.tobytes()


def test_before_anything_is_published_the_error_says_what_to_run(folder: Path) -> None:
    with pytest.raises(NotReady, match="harmonic materialize"):
        current_version(folder)
    with pytest.raises(NotReady, match="harmonic up"):
        load(folder)
    assert not is_current(folder, "one")


def test_what_another_version_of_the_program_published_is_not_read(folder: Path, publish_as: Publish) -> None:
    publish_as("one")
    about = folder / "one" / "about.json"
    about.write_text(about.read_text().replace(f'"format":{FORMAT}', '"format":0'))
    with pytest.raises(NotReady, match="harmonic materialize"):
        load(folder)


def test_only_the_newest_snapshots_stay_on_disk(folder: Path, publish_as: Publish) -> None:
    for number in range(KEPT + 3):
        publish_as(f"v{number}")
        assert is_current(folder, f"v{number}")
    kept = sorted(path.name for path in folder.iterdir())
    assert kept == ["current", *(f"v{number}" for number in range(3, KEPT + 3))]


def test_publishing_the_present_version_again_leaves_one_whole_copy(folder: Path, publish_as: Publish) -> None:
    publish_as("one")
    publish_as("one")
    assert sorted(path.name for path in folder.iterdir()) == ["current", "one"]
    assert load(folder).version == "one"


def test_a_reader_always_gets_a_whole_version_while_a_writer_publishes_in_a_loop(
    folder: Path, publish_as: Publish, served: Pipeline
) -> None:
    publish_as("v0")
    done = threading.Event()

    def write() -> None:
        try:
            for number in range(1, 25):
                publish(folder, named(f"v{number % 3}", served.snapshot))
        finally:
            done.set()

    writer = threading.Thread(target=write)
    publish(folder, named("v0", served.snapshot))
    writer.start()
    loads = 0
    while not done.is_set() or loads == 0:
        loaded = load(folder)
        assert set(loaded.market.names) == {loaded.version}
        loads += 1
    writer.join()


PUBLISHER = """
import sys
from pathlib import Path
from dataclasses import replace
from serving.snapshot import load, publish

source, folder = Path(sys.argv[1]), Path(sys.argv[2])
snapshot = load(source)
print("ready", flush=True)
number = 0
while True:
    number += 1
    publish(folder, replace(snapshot, version=f"killed{number % 2}"))
"""


def test_a_killed_publisher_leaves_a_whole_snapshot_and_its_leftovers_are_removed(
    folder: Path, publish_as: Publish, trained_home: Path
) -> None:
    publish_as("calm")
    chance = np.random.default_rng(3)
    source = trained_home / "serving" / "market"
    environment = {**os.environ, "HARMONIC_TRENDS": '{"pool": {"generic_share": 0.1}}'}
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", PUBLISHER, str(source), str(folder)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=float(chance.uniform(0.02, 0.3)))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert len(load(folder).market) > 0
    publish_as("after")
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]
    assert load(folder).version == "after"
