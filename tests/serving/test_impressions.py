from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from features.lake import Lake
from features.schemas import FEEDBACK
from models.releases import FEATURES_VERSION
from serving.exploration import Exploration
from serving.impressions import Impression, Recorder, impression_rows, ingest_impressions
from tests.serving.markets import market_of

AT = datetime(2026, 3, 1, 12, 0, 0, 250_000, UTC)
KINDS = ["sound", "hashtag"] * 15
MARKET = market_of(KINDS)
RANKED = np.arange(30)
RAW = np.linspace(1.0, -1.0, 30)


def impression(number: int, places: int = 3) -> Impression:
    rows = np.arange(places)
    return Impression(
        f"r{number}", "anna", AT.timestamp() + number, "7", "m1", "challenger", 0.2, MARKET, rows,
        np.linspace(0.9, 0.5, places), np.r_[np.ones(places - 1), 0.25],
    )  # fmt: skip


def recorder(folder: Path, most: int = 10_000, most_bytes: int = 1 << 20) -> Recorder:
    return Recorder(folder, most, 0.01, most_bytes, 60)


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for path in sorted(folder.iterdir()) for line in path.read_text().splitlines()]


def test_a_slate_is_written_with_everything_that_made_it(tmp_path: Path) -> None:
    one = recorder(tmp_path)
    assert one.record(impression(0))
    assert one.close(5) == 0
    (line,) = lines(tmp_path)
    assert line == {
        "recommendation_id": "r0", "creator_id": "anna", "served_at": "2026-03-01T12:00:00.250000+00:00", "model": "7",
        "market": "m1", "features": FEATURES_VERSION, "arm": "challenger", "arm_share": 0.2,
        "trends": ["sound:t0", "hashtag:t1", "sound:t2"], "scores": [0.9, 0.7, 0.5], "propensities": [1.0, 1.0, 0.25],
    }  # fmt: skip
    (path,) = tmp_path.iterdir()
    assert path.suffix == ".jsonl" and path.stat().st_mode & 0o077 == 0


def test_what_does_not_fit_is_dropped_and_counted_and_the_rest_is_all_there(tmp_path: Path) -> None:
    one = Recorder(tmp_path, 50, 30.0, 1 << 20, 60)
    taken = sum(one.record(impression(number)) for number in range(80))
    assert (taken, one.queue.dropped) == (50, 30)
    assert one.close(5) == 0
    assert [line["recommendation_id"] for line in lines(tmp_path)] == [f"r{n}" for n in range(50)]


def test_segments_are_sealed_by_size_and_hold_every_slate_once(tmp_path: Path) -> None:
    one = recorder(tmp_path, most_bytes=20_000)
    for number in range(2000):
        assert one.record(impression(number))
    assert one.close(5) == 0
    assert len(list(tmp_path.glob("*.jsonl"))) >= 2 and not list(tmp_path.glob("*.open"))
    assert Counter(str(line["recommendation_id"]) for line in lines(tmp_path)) == Counter(f"r{n}" for n in range(2000))


def test_impressions_reach_the_lake_once_with_their_propensity(tmp_path: Path) -> None:
    folder, lake = tmp_path / "impressions", Lake(tmp_path / "lake")
    one = recorder(folder)
    for number in range(10):
        one.record(impression(number))
    one.close(5)
    (path,) = folder.iterdir()
    kept = path.read_bytes()
    assert {*next(impression_rows(path))} == set(FEEDBACK.schema.names)
    assert ingest_impressions(folder, lake) == 30 and not list(folder.iterdir())

    path.write_bytes(kept + kept[:40])  # the same slates again, and a line that was cut
    assert ingest_impressions(folder, lake) == 0
    with lake.connect() as rows:
        found = rows.execute(
            "SELECT kind, count(*), sum(propensity), min(occurred_at) FROM feedback GROUP BY kind"
        ).fetchall()
    assert found[0][:3] == ("impression", 30, 22.5) and found[0][3].astimezone(UTC) == AT


KILLED = """
import sys, time
from pathlib import Path
from tests.serving.test_impressions import impression, recorder
one = recorder(Path(sys.argv[1]))
for number in range(200):
    one.record(impression(number))
time.sleep(0.5)
print("written", flush=True)
time.sleep(60)
"""


def test_what_was_written_survives_a_kill_and_is_found_by_the_next_process(tmp_path: Path) -> None:
    folder = tmp_path / "impressions"
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(folder)], stdout=subprocess.PIPE, cwd=root, env={**os.environ}
    )
    assert process.stdout is not None and process.stdout.readline() == b"written\n"
    assert [path.suffix for path in folder.iterdir()] == [".open"]
    lake = Lake(tmp_path / "lake")
    assert ingest_impressions(folder, lake) == 0  # its writer is alive
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert ingest_impressions(folder, lake) == 600


# Exploration


def shown(exploration: Exploration, number: int, k: int = 5) -> tuple[np.ndarray, np.ndarray]:
    return exploration.slate(f"slate {number}", RANKED[:k], RANKED, RAW, MARKET, 1.0)


def test_without_exploration_what_is_best_is_shown_for_certain() -> None:
    places, propensity = shown(Exploration(), 0)
    assert places.tolist() == [0, 1, 2, 3, 4] and propensity.tolist() == [1] * 5


def test_the_propensities_are_the_frequencies() -> None:
    exploration, trials = Exploration(0.3, 6, 0.2), 15_000
    last: Counter[int] = Counter()
    told: dict[int, float] = {}
    for number in range(trials):
        places, propensity = shown(exploration, number)
        assert places[:4].tolist() == [0, 1, 2, 3] and propensity[:4].tolist() == [1] * 4
        last[int(places[-1])] += 1
        assert told.setdefault(int(places[-1]), float(propensity[-1])) == propensity[-1]
    assert set(told) == {4, *range(5, 11)} and sum(told.values()) == pytest.approx(1)
    assert told[4] == pytest.approx(0.7)
    assert told[5] / told[6] == pytest.approx(np.exp((RAW[5] - RAW[6]) / 0.2))
    for place, chance in told.items():
        assert abs(last[place] / trials - chance) < 4.5 * (chance * (1 - chance) / trials) ** 0.5


def test_the_same_recommendation_is_drawn_the_same_way_again() -> None:
    exploration = Exploration(0.5)
    assert all(shown(exploration, n)[0].tolist() == shown(exploration, n)[0].tolist() for n in range(50))


@hypothesis_settings(max_examples=150, deadline=None)
@given(
    kinds=st.lists(st.sampled_from(["sound", "hashtag"]), min_size=1, max_size=20),
    seed=st.integers(0, 1000),
    k=st.integers(1, 12),
    chance=st.floats(0, 0.99),
    share=st.floats(0.2, 1),
    number=st.integers(0, 1000),
)
def test_whatever_is_drawn_keeps_the_rules_of_a_slate(
    kinds: list[str], seed: int, k: int, chance: float, share: float, number: int
) -> None:
    groups = np.random.default_rng(seed).integers(0, len(kinds), len(kinds))
    market, ranked = market_of(kinds, groups.tolist()), np.random.default_rng(seed).permutation(len(kinds))
    first = np.sort(np.unique(groups[ranked], return_index=True)[1])[:k]
    slate = ranked[first]
    raw = -np.arange(len(kinds), dtype=float)
    places, propensity = Exploration(chance, 5).slate(str(number), slate, ranked, raw, market, share)
    rows = ranked[places]
    assert rows[:-1].tolist() == slate[:-1].tolist() and len(rows) == len(slate)
    assert len(set(market.variant_group[rows])) == len(rows)
    assert ((propensity > 0) & (propensity <= 1)).all() and (propensity[:-1] == 1).all()
    if rows[-1] != slate[-1]:
        kind = market.types[rows[-1]]
        others = (market.types[rows[:-1]] == kind).sum()
        assert others < max(1, int(len(slate) * share)) and propensity[-1] <= chance
