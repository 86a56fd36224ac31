from __future__ import annotations

import multiprocessing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import FeatureError, LakeBusy
from features.lake import LAKE_TABLES, Lake
from features.schemas import FEEDBACK, TABLES, TREND_SNAPSHOTS, VIDEO_METRICS, VIDEOS

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(days: float) -> datetime:
    return START + timedelta(days=days)


def video(name: str, seen_days: float = 1, **more: object) -> dict[str, object]:
    return {"id": name, "create_time": START, "observed_at": at(seen_days), "username": "anna", **more}


def metric(name: str, seen_days: float, views: int) -> dict[str, object]:
    return {"id": name, "observed_at": at(seen_days), "view_count": views}


def videos(*rows: dict[str, object]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), VIDEOS.schema)


def metrics(*rows: dict[str, object]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), VIDEO_METRICS.schema)


@pytest.fixture
def lake(home: Path) -> Lake:
    return Lake(home / "lake", lock_seconds=0.2)


def test_an_empty_lake_has_every_table_typed_and_no_state(lake: Lake) -> None:
    connection = lake.connect()
    for name, table in LAKE_TABLES.items():
        found = connection.sql(f'SELECT * FROM "{name}"').to_arrow_table()
        assert found.num_rows == 0
        assert found.schema.names == table.schema.names
        assert [field.type for field in found.schema] == [field.type for field in table.schema]
    assert connection.sql("SELECT * FROM posts").fetchall() == []
    assert lake.latest_at() is None
    assert set(lake.counts().values()) == {0}


def test_what_is_appended_is_read_back_with_the_same_types(lake: Lake) -> None:
    row = video("1", hashtag_names=["a", "b"], video_description="naïve ’ \n", video_duration=3)
    lake.append({"videos": videos(row)})
    found = lake.connect().sql("SELECT * FROM videos").to_arrow_table()
    assert found.to_pylist() == videos(row).to_pylist()
    assert [field.type for field in found.schema] == [field.type for field in VIDEOS.schema]


def test_a_later_row_never_overwrites_an_earlier_commit(lake: Lake) -> None:
    assert lake.append({"videos": videos(video("1", region_code="VN"))}) == {"videos": 1}
    assert lake.append({"videos": videos(video("1", region_code="US"), video("2"))}) == {"videos": 1}
    found = lake.connect().sql("SELECT id, region_code FROM videos ORDER BY id").fetchall()
    assert found == [("1", "VN"), ("2", None)]


def test_in_one_commit_the_earliest_observation_wins_then_the_first_row(lake: Lake) -> None:
    rows = [video("1", 5, region_code="late"), video("1", 2, region_code="a"), video("1", 2, region_code="b")]
    assert lake.append({"videos": videos(*rows)}) == {"videos": 1}
    assert lake.connect().sql("SELECT region_code FROM videos").fetchall() == [("a",)]


def test_an_earlier_observation_that_comes_late_moves_only_first_seen_at(lake: Lake) -> None:
    lake.append({"videos": videos(video("1", 5)), "video_metrics": metrics(metric("1", 5, 9))})
    lake.append({"videos": videos(video("1", 2)), "video_metrics": metrics(metric("1", 2, 3))})
    lake.append({"videos": videos(video("2", 4))})
    found = lake.connect().sql("SELECT id, observed_at, first_seen_at FROM posts ORDER BY id").fetchall()
    assert found == [("1", at(5), at(2)), ("2", at(4), at(4))]
    assert lake.counts()["video_metrics"] == 2


def test_files_are_sorted_by_the_tables_order(lake: Lake) -> None:
    rows = [video(str(n), create_time=at(-n % 7)) for n in range(20)]
    lake.append({"videos": videos(*rows)})
    (part,) = (lake.root / "videos").glob("*.parquet")
    written = pa.parquet.read_table(part).select(["create_time", "id"]).to_pylist()
    assert written == sorted(written, key=lambda row: (row["create_time"], row["id"]))


def test_the_fingerprint_changes_when_and_only_when_rows_are_added(lake: Lake) -> None:
    empty = lake.fingerprint()
    lake.append({"videos": videos(video("1"))})
    first = lake.fingerprint()
    lake.append({"videos": videos(video("1", 3))})
    refused = pa.table({"source": ["f"], "line": [1], "reason": ["bad"], "row": ["{}"], "ingested_at": [START]})
    lake.append({"quarantine": refused})
    assert lake.fingerprint() == first != empty
    assert lake.counts()["quarantine"] == 1
    lake.append({"videos": videos(video("2"))})
    assert lake.fingerprint() not in (first, empty)


def test_latest_at_is_the_latest_instant_that_any_metric_speaks_of(lake: Lake) -> None:
    lake.append({"videos": videos(video("1", 3))})
    assert lake.latest_at() == at(3)
    event = {"event_id": "e", "creator_id": "c", "kind": "impression", "occurred_at": at(9)}
    lake.append({"feedback": pa.Table.from_pylist([event], FEEDBACK.schema)})
    assert lake.latest_at() == at(3)
    lake.append({"videos": videos(video("2", 7))})
    assert lake.latest_at() == at(7)


def test_a_table_of_another_region_is_another_row(lake: Lake) -> None:
    row = {"trend_type": "hashtag", "trend_id": "x", "observed_at": START, "value": 1}
    rows = [row | {"region": region} for region in ("", "VN", "VN")]
    assert lake.append({"trend_snapshots": pa.Table.from_pylist(rows, TREND_SNAPSHOTS.schema)}) == {
        "trend_snapshots": 2
    }


def test_a_null_in_a_key_is_refused_and_changes_nothing(lake: Lake) -> None:
    with pytest.raises(ValueError, match=r"video_metrics\.observed_at"):
        lake.append({"videos": videos(video("1")), "video_metrics": metrics({"id": "1"})})
    assert lake.counts()["videos"] == 0


def test_a_writer_that_fails_leaves_no_trace(lake: Lake) -> None:
    with pytest.raises(RuntimeError), lake.writer() as writer:
        writer.stage("videos", videos(video("1")))
        raise RuntimeError("power cut")
    assert lake.counts()["videos"] == 0
    assert not list(lake.root.rglob("*.parquet"))


def test_leftovers_of_a_killed_writer_are_ignored_and_removed_by_the_next(lake: Lake) -> None:
    lake.append({"videos": videos(video("1"))})
    (committed,) = (lake.root / "videos").glob("*.parquet")
    orphan = lake.root / "videos" / "part-0000000002-dead.parquet"
    orphan.write_bytes(committed.read_bytes())
    staging = lake.root / ".staging" / "dead"
    staging.mkdir(parents=True)
    (staging / "videos.parquet").write_bytes(b"half")
    assert lake.connect().sql("SELECT count(*) FROM videos").fetchall() == [(1,)]
    lake.append({"videos": videos(video("2"))})
    assert not orphan.exists()
    assert not staging.exists()
    assert committed.exists()


def test_a_second_writer_is_told_that_the_lake_is_busy_while_readers_go_on(lake: Lake) -> None:
    lake.append({"videos": videos(video("1"))})
    with lake.writer() as writer:
        writer.stage("videos", videos(video("2")))
        with pytest.raises(LakeBusy, match="another process is writing"):
            Lake(lake.root, lock_seconds=0.05).append({"videos": videos(video("3"))})
        assert lake.connect().sql("SELECT id FROM videos").fetchall() == [("1",)]
        writer.commit()
    assert lake.counts()["videos"] == 2


def test_many_small_parts_become_few_and_earlier_connections_go_on(lake: Lake) -> None:
    early = lake.connect()
    for n in range(40):
        lake.append({"video_metrics": metrics(metric("1", n, n))})
        early = lake.connect() if n == 20 else early
    assert len(lake.head().of("video_metrics")) < 20
    assert lake.counts()["video_metrics"] == 40
    assert early.sql("SELECT count(*) FROM video_metrics").fetchall() == [(21,)]
    assert lake.append({"video_metrics": metrics(*(metric("1", n, 0) for n in range(40)))}) == {"video_metrics": 0}


def test_more_rows_than_memory_are_sorted_on_disk(home: Path) -> None:
    rows = 300_000
    table = pa.table(
        {
            "id": [str(n * 7919 % rows) for n in range(rows)],
            "create_time": pa.array([n * 104_729 % rows for n in range(rows)], pa.timestamp("s", tz="UTC")),
            "observed_at": pa.array([rows] * rows, pa.timestamp("s", tz="UTC")),
            "username": ["anna"] * rows,
            "video_description": [f"{n} " * 40 for n in range(rows)],
        }
    )
    lake = Lake(home / "lake", memory_limit="150MB")
    assert lake.append({"videos": table}) == {"videos": rows}
    assert lake.append({"videos": table}) == {"videos": 0}
    assert not list(lake.root.glob(".spill*"))


def test_too_little_memory_is_told_in_one_line_and_changes_nothing(home: Path) -> None:
    lake = Lake(home / "lake", memory_limit="1MB")
    with pytest.raises(FeatureError, match="MEMORY_LIMIT"):
        lake.append({"videos": videos(*(video(str(n)) for n in range(50_000)))})
    assert lake.counts()["videos"] == 0


def test_a_folder_name_that_is_a_pattern_is_taken_as_it_is(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "it's [a] *?" / "lake")
    lake.append({"videos": videos(video("1"))})
    lake.append({"videos": videos(video("2"))})
    assert lake.connect().sql("SELECT count(*) FROM videos").fetchall() == [(2,)]


def _append_alone(root: Path, names: list[str]) -> None:
    Lake(root, lock_seconds=60).append({"videos": videos(*(video(name) for name in names))})


def test_processes_that_append_at_once_lose_nothing(lake: Lake) -> None:
    context = multiprocessing.get_context("spawn")
    jobs = [context.Process(target=_append_alone, args=(lake.root, [f"{n}-{i}" for i in range(5)])) for n in range(3)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert [job.exitcode for job in jobs] == [0, 0, 0]
    assert lake.counts()["videos"] == 15


ROWS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.integers(0, 9)), max_size=12)


@settings(max_examples=25, deadline=None)
@given(first=ROWS, second=ROWS)
def test_the_keys_of_a_lake_are_the_keys_of_what_it_was_given(
    tmp_path_factory: pytest.TempPathFactory,
    first: list[tuple[str, int, int]],
    second: list[tuple[str, int, int]],
) -> None:
    lake = Lake(tmp_path_factory.mktemp("lake"))
    for rows in (first, second, first):
        lake.append({"video_metrics": metrics(*(metric(*row) for row in rows))})
    kept = lake.connect().sql("SELECT id, observed_at, view_count FROM video_metrics").fetchall()
    firsts: dict[tuple[str, datetime], int] = {}
    for name, days, views in first + second:
        firsts.setdefault((name, at(days)), views)
    assert {(name, seen): views for name, seen, views in kept} == firsts
    assert len(kept) == len(firsts)


def test_counts_name_every_table(lake: Lake) -> None:
    assert set(lake.counts()) == {*TABLES, "quarantine"}
