from __future__ import annotations

import gzip
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import UnreadableFile
from features.ingest import IngestReport, Progress, ingest
from features.lake import Lake

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def lake(home: Path) -> Lake:
    return Lake(home / "lake")


def row(name: str, **more: Any) -> dict[str, Any]:
    return {
        "id": name,
        "create_time": "2026-01-01T00:00:00Z",
        "observed_at": "2026-02-01T00:00:00Z",
        "username": "anna",
        "view_count": 10,
        **more,
    }


def write(path: Path, *rows: dict[str, Any] | bytes) -> Path:
    path.write_bytes(b"\n".join(r if isinstance(r, bytes) else json.dumps(r).encode() for r in rows))
    return path


def load(lake: Lake, *paths: Path, batch_rows: int = 1000) -> IngestReport:
    report = ingest(paths, lake, NOW, batch_rows)
    assert report.rows == report.new + report.duplicates + report.quarantined
    for file in report.files:
        assert file.rows == file.new + file.duplicates + file.quarantined
    return report


def reasons(lake: Lake) -> list[tuple[int, str]]:
    return lake.connect().sql("SELECT line, reason FROM quarantine ORDER BY source, line").fetchall()


def test_a_combined_row_fills_every_table_it_speaks_of(lake: Lake, tmp_path: Path) -> None:
    full = row("1", follower_count=7, music_id=99, music_title="Song", music_author="Ann", music_use_count=5)
    report = load(lake, write(tmp_path / "a.jsonl", full))
    assert {name: table.new for name, table in report.tables.items()} == {
        "videos": 1,
        "video_metrics": 1,
        "creator_metrics": 1,
        "trend_snapshots": 1,
        "feedback": 0,
    }
    seen = datetime(2026, 2, 1, tzinfo=UTC)
    found = lake.connect().sql("SELECT * FROM trend_snapshots").fetchall()
    assert found == [("sound", "99", seen, "", "Song", "Ann", None, "use_count", 5)]
    assert lake.connect().sql("SELECT * FROM creator_metrics").fetchall() == [("anna", seen, 7, None, None, None)]


def test_a_row_without_counts_makes_no_observation(lake: Lake, tmp_path: Path) -> None:
    load(lake, write(tmp_path / "a.jsonl", row("1", view_count=None)))
    assert lake.counts() | {"videos": 0} == dict.fromkeys(lake.counts(), 0)


def test_loading_a_file_twice_adds_nothing_not_even_to_the_quarantine(lake: Lake, tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", row("1"), row("2"), row("2"), row("3", view_count=-1), b"{")
    first = load(lake, file)
    before = lake.counts()
    second = load(lake, file, batch_rows=2)
    assert (first.new, first.duplicates, first.quarantined) == (2, 1, 2)
    assert (second.new, second.duplicates, second.quarantined) == (0, 3, 2)
    assert lake.counts() == before


def test_new_rows_are_counted_for_the_file_they_came_from(lake: Lake, tmp_path: Path) -> None:
    one = write(tmp_path / "a.jsonl", row("1"), row("2"))
    two = write(tmp_path / "b.jsonl", row("2"), row("3"), row("3", observed_at="2026-03-01"))
    report = load(lake, one, two)
    assert [(f.new, f.duplicates) for f in report.files] == [(2, 0), (2, 1)]


BAD = [
    ("no id", {"id": None}),
    ("no id", {"id": "  "}),
    ("no username", {"username": ""}),
    ("no create_time", {"create_time": None}),
    ("NUL byte in id", {"id": "1\0"}),
    ("NUL byte in video_description", {"video_description": "a\0b"}),
    ("view_count is negative", {"view_count": -1}),
    ("view_count is negative", {"view_count": "-1"}),
    ("view_count is not a whole number", {"view_count": 1.5}),
    ("view_count is not a number", {"view_count": "many"}),
    ("view_count is not a number", {"view_count": True}),
    ("view_count is not a number", {"view_count": [1]}),
    ("view_count is too large", {"view_count": 2**63}),
    ("view_count is too large", {"view_count": "9" * 40}),
    ("view_count is too large", {"view_count": 1e300}),
    ("create_time is in the future", {"create_time": "2026-06-02", "observed_at": None}),
    ("observed_at is in the future", {"observed_at": "2026-06-02"}),
    ("observed_at is before create_time", {"observed_at": "2025-12-31"}),
    ("create_time is not a time", {"create_time": "soon"}),
    ("create_time is not a time", {"create_time": "infinity"}),
    ("create_time is no time between 2010 and 2200", {"create_time": 0}),
    ("create_time is no time between 2010 and 2200", {"create_time": 10**18}),
    ("unknown column colour, mood", {"mood": 1, "colour": None}),
    ("hashtag_names is not a list of texts", {"hashtag_names": "dance"}),
    ("hashtag_names is not a list of texts", {"hashtag_names": ["a", 1]}),
    ("id is longer than 256 characters", {"id": "9" * 257}),
    ("id is not text", {"id": 7e18}),
    ("username is not text", {"username": {"name": "anna"}}),
]


@pytest.mark.parametrize(("reason", "fault"), BAD)
def test_a_bad_row_is_quarantined_with_its_reason(
    lake: Lake, tmp_path: Path, reason: str, fault: dict[str, Any]
) -> None:
    report = load(lake, write(tmp_path / "a.jsonl", row("1"), row("2") | fault, row("3")))
    assert (report.new, report.quarantined) == (2, 1)
    ((line, told),) = reasons(lake)
    assert line == 2
    assert reason in told


@pytest.mark.parametrize(
    ("reason", "line"),
    [
        ("broken JSON line", b'{"id": "2", '),
        ("not UTF-8 at byte 8", b'{"id":"\xff"}'),
        ("NUL byte", b'{"id": "a\0"}'),
        ("broken JSON line", b'{"id": "\\ud800"}'),
        ("no object", b"[1, 2]"),
        ("no object", b"null"),
    ],
)
def test_a_broken_line_is_quarantined_and_the_next_goes_on(
    lake: Lake, tmp_path: Path, reason: str, line: bytes
) -> None:
    report = load(lake, write(tmp_path / "a.jsonl", row("1"), line, b"", row("3")))
    assert (report.new, report.quarantined) == (2, 1)
    assert reason in reasons(lake)[0][1]


def test_a_row_with_many_faults_is_one_row_with_every_reason(lake: Lake, tmp_path: Path) -> None:
    load(lake, write(tmp_path / "a.jsonl", row("1"), row("", view_count=-1, like_count="x")))
    assert reasons(lake) == [(2, "no id; view_count is negative; like_count is not a number")]


def test_the_quarantine_keeps_the_row_as_it_stood(lake: Lake, tmp_path: Path) -> None:
    bad = row("2", view_count=-1, video_description="“x”")
    load(lake, write(tmp_path / "a.jsonl", row("1"), bad))
    ((source, text, ingested_at),) = lake.connect().sql('SELECT source, "row", ingested_at FROM quarantine').fetchall()
    assert json.loads(text) == bad
    assert source == str(tmp_path / "a.jsonl")
    assert ingested_at == NOW


@pytest.mark.parametrize("column", ["create_time", "observed_at"])
def test_clocks_may_disagree_by_minutes(lake: Lake, tmp_path: Path, column: str) -> None:
    late = (NOW + timedelta(minutes=4)).isoformat()
    assert load(lake, write(tmp_path / "a.jsonl", row("1", observed_at=late) | {column: late})).new == 1


def test_a_video_that_does_not_say_when_it_was_seen_was_seen_when_its_file_was_written(
    lake: Lake, tmp_path: Path
) -> None:
    file = write(tmp_path / "a.jsonl", row("1", observed_at=None))
    assert load(lake, file).new == 1
    assert load(lake, file).new == 0
    assert lake.connect().sql("SELECT observed_at FROM videos").fetchall() == [(NOW,)]


def test_an_unreadable_file_leaves_the_lake_as_it_was(lake: Lake, tmp_path: Path) -> None:
    good = write(tmp_path / "a.jsonl", row("1"))
    cut = tmp_path / "b.jsonl.gz"
    cut.write_bytes(gzip.compress(b"\n".join(json.dumps(row(str(n))).encode() for n in range(5000)))[:-200])
    with pytest.raises(UnreadableFile, match="damaged"):
        load(lake, good, cut, batch_rows=500)
    assert set(lake.counts().values()) == {0}


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", b"[]", b"{}", b"a,b\n1,2\n", b"\x00\x01\x02", b"PAR1", b"PAR1 and no more", b"\x1f\x8b"],
)
def test_a_named_file_that_is_no_metrics_file_is_an_error_of_one_line(lake: Lake, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "odd").write_bytes(data)
    with pytest.raises(UnreadableFile) as caught:
        load(lake, tmp_path / "odd")
    assert "\n" not in str(caught.value)


def test_a_missing_path_is_an_error(lake: Lake, tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="does not exist"):
        load(lake, tmp_path / "nowhere")


def test_a_folder_is_walked_and_what_is_unknown_is_named(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    write(tmp_path / "deep" / "a.txt", row("1"))
    write(tmp_path / "notes.md", b"# notes")
    write(tmp_path / ".hidden", row("2"))
    report = load(lake, tmp_path)
    assert [Path(f.file).name for f in report.files] == ["a.txt"]
    assert [Path(s.file).name for s in report.skipped] == ["notes.md"]
    assert report.new == 1


def test_a_lake_inside_the_folder_is_not_ingested_into_itself(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    write(tmp_path / "a.jsonl", row("1"))
    load(lake, tmp_path)
    assert len(load(lake, tmp_path).files) == 1


def test_progress_is_told_and_the_report_is_json(lake: Lake, tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", *(row(str(n)) for n in range(100)))
    told: list[Progress] = []
    report = ingest([file], lake, NOW, 30, told.append)
    assert [p.rows for p in told] == [30, 60, 90, 100]
    assert told[-1].fraction == 1
    assert told[0].file == file
    assert json.loads(json.dumps(report.to_dict()))["new"] == 100


CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.one_of(st.text(max_size=3), st.integers()), max_size=2),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=1),
)
NAMES = st.sampled_from(
    [
        "id",
        "create_time",
        "observed_at",
        "username",
        "view_count",
        "hashtag_names",
        "music_id",
        "music_use_count",
    ]
)


@settings(max_examples=20, deadline=None)
@given(faults=st.lists(st.dictionaries(NAMES, CELLS, max_size=4), min_size=1, max_size=6))
def test_whatever_a_row_holds_it_is_loaded_or_quarantined(
    tmp_path_factory: pytest.TempPathFactory, faults: list[dict[str, Any]]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    lake = Lake(folder / "lake")
    file = write(folder / "a.jsonl", row("good"), *(row(str(n)) | fault for n, fault in enumerate(faults)))
    report = load(lake, file, batch_rows=3)
    again = load(lake, file)
    assert report.rows == 1 + len(faults)
    assert (again.new, again.quarantined) == (0, report.quarantined)


MEMORY = """
import sys, resource
from datetime import UTC, datetime
from pathlib import Path
from features.ingest import ingest
from features.lake import Lake

lake = Lake(Path(sys.argv[2]), "200MB")
report = ingest([Path(sys.argv[1])], lake, datetime(2026, 6, 1, tzinfo=UTC), 10_000)
print(report.new, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_memory(file: Path, root: Path) -> tuple[int, int]:
    told = subprocess.run(
        [sys.executable, "-c", MEMORY, str(file), str(root)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    new, peak = told.stdout.split()
    return int(new), int(peak)


def test_ten_times_the_rows_need_less_than_twice_the_memory(tmp_path: Path) -> None:
    peaks = {}
    for rows in (20_000, 200_000):
        file = tmp_path / f"{rows}.parquet"
        duckdb.sql(
            f"""COPY (SELECT i::VARCHAR AS id, 1767225600 + i AS create_time, 1780000000 AS observed_at,
            'creator_' || (i % 1000) AS username, 'words of the post ' || i AS video_description,
            ['tag' || (i % 300), 'other'] AS hashtag_names, i AS view_count, i % 70 AS follower_count
            FROM range({rows}) t(i)) TO '{file}' (FORMAT parquet)"""
        )
        new, peaks[rows] = peak_memory(file, tmp_path / f"lake-{rows}")
        assert new == rows
    assert peaks[200_000] < 2 * peaks[20_000]


REAL = {
    "famous-2020": (50_124, 50_124),
    "vn-2025": (23_964, 12_450),
    "sound-chart-2020": (1_458, 0),
    "feed-2025": (1_056, 606),
}


@pytest.mark.data
@pytest.mark.parametrize("folder", REAL)
def test_real_metrics_load_whole_and_twice_adds_nothing(lake: Lake, data_folder: Path, folder: str) -> None:
    rows, posts = REAL[folder]
    now = datetime(2026, 11, 1, tzinfo=UTC)
    first = ingest([data_folder / folder], lake, now, 20_000)
    second = ingest([data_folder / folder], lake, now, 20_000)
    assert (first.rows, first.new, first.quarantined) == (rows, rows, 0)
    assert (second.rows, second.new) == (rows, 0)
    assert lake.counts()["videos"] == posts


@pytest.mark.data
def test_the_real_trend_lists_load_whole_and_the_benchmark_is_left_alone(lake: Lake, data_folder: Path) -> None:
    folders = [data_folder / "discover-2021-2022", data_folder / "tiktok-benchmark"]
    report = ingest(folders, lake, NOW, 100_000)
    assert (report.rows, report.new, report.quarantined) == (514_441, 514_441, 0)
    assert len(report.skipped) == 4


def test_an_extra_column_of_a_table_is_left_out_and_named(lake: Lake, tmp_path: Path) -> None:
    rows = [row("1", mood="x"), row("2", mood="y")]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    report = load(lake, tmp_path / "a.parquet")
    assert report.new == 2
    assert report.ignored_columns == ["mood"]
