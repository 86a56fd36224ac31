from __future__ import annotations

import csv
import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import UnreadableFile
from features.ingest import ingest
from features.lake import Lake
from features.sources.columns import as_count
from features.sources.faults import Faults
from features.sources.files import open_reader
from features.sources.kinds import recognise
from features.sources.tags import as_tags, normal_tag, tags_in
from features.sources.times import as_instant
from features.split import sound_id

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SEEN = datetime(2026, 2, 1, tzinfo=UTC)


@pytest.fixture
def lake(home: Path) -> Lake:
    return Lake(home / "lake")


def read(lake: Lake, path: Path, query: str) -> list[tuple[Any, ...]]:
    """What a query answers after a file has been loaded."""
    ingest([path], lake, NOW, 1000)
    found: list[tuple[Any, ...]] = lake.connect().sql(query).fetchall()
    return found


def instants(values: pa.Array) -> list[datetime | None]:
    found: list[datetime | None] = as_instant(values, "at", Faults(len(values))).to_pylist()
    return found


@pytest.mark.parametrize(
    "values",
    [
        pa.array([datetime(2026, 2, 1)], pa.timestamp("us")),
        pa.array([datetime(2026, 2, 1)], pa.timestamp("s")),
        pa.array([SEEN], pa.timestamp("ns", tz="UTC")),
        pa.array([SEEN], pa.timestamp("ms", tz="Asia/Ho_Chi_Minh")),
        pa.array([SEEN.date()]),
        pa.array([1769904000]),
        pa.array([1769904000000]),
        pa.array([1769904000.0]),
        pa.array(["1769904000"]),
        pa.array(["1769904000000"]),
        pa.array(["2026-02-01"]),
        pa.array(["2026-02-01T00:00:00Z"]),
        pa.array(["2026-02-01 07:00:00+07:00"]),
        pa.array(["2026-02-01 00:00:00 UTC"]),
        pa.array([b"2026-02-01T00:00:00.000000000Z"]),
        pa.array(["2026-02-01"]).dictionary_encode(),
    ],
)
def test_every_way_to_write_a_time_is_the_same_instant(values: pa.Array) -> None:
    assert instants(values) == [SEEN]


@settings(max_examples=60, deadline=None)
@given(st.datetimes(datetime(2011, 1, 1), datetime(2100, 1, 1)))
def test_unix_milliseconds_keep_the_millisecond(moment: datetime) -> None:
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=UTC)
    millis = round(moment.timestamp() * 1000)
    assert instants(pa.array([millis])) == instants(pa.array([str(millis)])) == [moment]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.none(), st.integers(0, 2**63 - 1)), max_size=8))
def test_counts_are_the_same_as_numbers_and_as_text(values: list[int | None]) -> None:
    faults = Faults(len(values))
    text = pa.array([None if v is None else str(v) for v in values], pa.string())
    assert as_count(text, "n", faults).to_pylist() == values
    assert as_count(pa.array(values, pa.int64()), "n", faults).to_pylist() == values
    assert not faults.bad().any()


def test_a_float_is_a_count_where_it_is_whole_and_unknown_where_it_is_nan() -> None:
    faults = Faults(4)
    found = as_count(pa.array([1.0, float("nan"), 1.5, 1e19]), "n", faults)
    assert found.to_pylist() == [1, None, None, None]
    assert faults.bad().tolist() == [False, False, True, True]


TAGS = st.one_of(st.none(), st.sampled_from(["a", "#A", " b ", "", "#", "＃c", "İ", "C", "\u3000"]))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.none(), st.lists(TAGS, max_size=5)), max_size=6))
def test_hashtags_are_lower_case_bare_unique_and_in_order(lists: list[list[str | None] | None]) -> None:
    expected = [
        None if tags is None else [t for t in dict.fromkeys(normal_tag(t) for t in tags if t) if t] for tags in lists
    ]
    found = as_tags(pa.array(lists, pa.list_(pa.string())), "hashtag_names", Faults(len(lists)))
    assert found.to_pylist() == expected


@pytest.mark.parametrize("tags", [["a b", "fairy\u200d♀️", "don't", 'say "x"', "c,d"], ["one"], []])
def test_lists_are_read_as_json_python_and_numpy_print_them(tags: list[str]) -> None:
    cells = [json.dumps(tags), str(tags), str(np.array(tags, object)), repr(tags)]
    found = as_tags(pa.array(cells, pa.string()), "hashtag_names", Faults(len(cells)))
    assert found.to_pylist() == [[normal_tag(tag) for tag in tags]] * len(cells)


def test_a_list_that_nothing_printed_is_read_as_well_as_it_can_be() -> None:
    cells = ["a, b;c|#D", "[a, b]", "['\\x', 'b']"]
    found = as_tags(pa.array(cells, pa.string()), "hashtag_names", Faults(len(cells)))
    assert found.to_pylist() == [["a", "b", "c", "d"], ["a", "b"], ["\\x", "b"]]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_columns_of_a_csv_may_be_separated_otherwise(lake: Lake, tmp_path: Path, separator: str) -> None:
    rows = [["id", "create_time", "observed_at", "username", "video_description"]]
    rows += [
        ["1", "2026-01-01", "2026-02-01", "anna", f"one{separator} two"],
        ["2", "2026-01-01", "2026-02-01", "b", ""],
    ]
    with (tmp_path / "a.csv").open("w", newline="") as file:
        csv.writer(file, delimiter=separator).writerows(rows)
    found = read(lake, tmp_path / "a.csv", "SELECT id, video_description FROM videos ORDER BY id")
    assert found == [("1", f"one{separator} two"), ("2", None)]


def test_hashtags_are_found_in_text_of_any_script() -> None:
    text = pa.array(["go #Dance_1 #ăn_sáng,#สวัสดี #हिन्दी ＃ｆ #fyp🔥 no#gap #", None])
    assert tags_in(text).to_pylist() == [["Dance_1", "ăn_sáng", "สวัสดี", "हिन्दी", "ｆ", "fyp", "gap"], []]


def test_hashtags_come_from_the_description_only_where_none_are_listed(lake: Lake, tmp_path: Path) -> None:
    shared = {"create_time": "2026-01-01", "observed_at": "2026-02-01", "username": "a"}
    rows = [
        shared | {"id": "1", "video_description": "#One #two"},
        shared | {"id": "2", "video_description": "#One", "hashtag_names": []},
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = read(lake, tmp_path / "a.jsonl", "SELECT hashtag_names FROM videos ORDER BY id")
    assert found == [(["one", "two"],), ([],)]


ROW = {
    "id": "7000000000000000001",
    "create_time": "2026-01-01T00:00:00Z",
    "observed_at": "2026-02-01T00:00:00Z",
    "username": "anna",
    "music_id": "6800000000000000001",
    "video_description": 'two\nlines, "quoted"',
    "hashtag_names": ["A", "b"],
    "view_count": 5,
    "favourites_count": 2,
}


def as_csv(row: dict[str, Any]) -> bytes:
    cells = [json.dumps(v) if isinstance(v, list) else str(v) for v in row.values()]
    quoted = ",".join('"' + cell.replace('"', '""') + '"' for cell in cells)
    return "\ufeff{}\r\n{}\r\n".format(",".join(row), quoted).encode()


def as_parquet(row: dict[str, Any], path: Path) -> bytes:
    pq.write_table(pa.Table.from_pylist([row]), path)
    return path.read_bytes()


@pytest.mark.parametrize("form", ["jsonl", "jsonl.gz", "csv", "csv.gz", "parquet"])
def test_every_form_of_a_file_says_the_same(lake: Lake, tmp_path: Path, form: str) -> None:
    data = {
        "jsonl": json.dumps(ROW).encode() + b"\n",
        "csv": as_csv(ROW),
        "parquet": as_parquet(ROW, tmp_path / "made"),
    }[form.removesuffix(".gz")]
    file = tmp_path / "no-telling-name"
    file.write_bytes(gzip.compress(data) if form.endswith(".gz") else data)
    found = read(
        lake,
        file,
        """SELECT v.id, username, music_id, video_description, hashtag_names, view_count, favorites_count
        FROM videos v JOIN video_metrics m USING (id)""",
    )
    assert found == [(ROW["id"], "anna", ROW["music_id"], ROW["video_description"], ["a", "b"], 5, 2)]


CSV_HEAD = b"id,create_time,observed_at,username,video_description,view_count\n"
CSV_ROW = b"%d,2026-01-01,2026-02-01,anna,%s,5\n"


@pytest.mark.parametrize(
    ("line", "reason", "good"),
    [
        (b"9,2026-01-01,2026-02-01,anna\n", "4 fields where the header has 6", 2),
        (b"9,2026-01-01,2026-02-01,anna,x,5,6\n", "7 fields where the header has 6", 2),
        (CSV_ROW % (9, b"\xff"), "undecodable text in video_description", 2),
        (CSV_ROW % (9, b"a\0b"), "NUL byte in video_description", 2),
        (b'9,2026-01-01,2026-02-01,anna,"open,5\n', "broken CSV", 2),
        (b'9,2026-01-01,2026-02-01,anna,"sh"ut,5\n', "broken CSV", 2),
    ],
)
def test_a_bad_csv_line_costs_that_line_only(lake: Lake, tmp_path: Path, line: bytes, reason: str, good: int) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(CSV_HEAD + CSV_ROW % (1, b'"two\nlines"') + line + CSV_ROW % (2, b"x"))
    found = read(lake, file, "SELECT line, reason FROM quarantine")
    assert [(number, reason in told) for number, told in found] == [(4, True)]
    assert lake.counts()["videos"] == good


def test_text_that_is_no_utf8_in_parquet_is_quarantined(lake: Lake, tmp_path: Path) -> None:
    raw = pa.array([b"\xff", b"fine"], pa.binary())
    bad = pa.StringArray.from_buffers(2, raw.buffers()[1], raw.buffers()[2])
    table = pa.Table.from_pylist([ROW | {"id": "1"}, ROW | {"id": "2"}])
    place = table.schema.get_field_index("video_description")
    pq.write_table(table.set_column(place, "video_description", bad), tmp_path / "a.parquet")
    found = read(lake, tmp_path / "a.parquet", 'SELECT line, reason, "row" FROM quarantine')
    assert [(line, reason) for line, reason, _ in found] == [(1, "undecodable text in video_description (not UTF-8)")]
    assert json.loads(found[0][2])["id"] == "1"


def test_columns_that_pandas_made_floats_or_left_empty_are_read(lake: Lake, tmp_path: Path) -> None:
    table = {
        "id": ["1", "2"],
        "create_time": pa.array([datetime(2026, 1, 1)] * 2, pa.timestamp("ns")),
        "observed_at": pa.array([datetime(2026, 2, 1)] * 2, pa.timestamp("ns")),
        "username": pa.array(["a", "a"]).dictionary_encode(),
        "region_code": pa.nulls(2),
        "hashtag_names": pa.array([["x"], None], pa.large_list(pa.string())),
        "view_count": np.array([3.0, np.nan]),
        "like_count": pa.nulls(2),
    }
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    found = read(lake, tmp_path / "a.parquet", "SELECT id, view_count FROM video_metrics")
    assert found == [("1", 3)]
    assert lake.counts()["videos"] == 2


@pytest.mark.parametrize(
    ("columns", "kind"),
    [
        ("id create_time username", "videos"),
        ("id username video_description mood", "videos"),
        ("id observed_at like_count", "video_metrics"),
        ("username observed_at follower_count", "creator_metrics"),
        ("trend_type trend_id observed_at value", "trend_snapshots"),
        ("event_id kind creator_id trend_type trend_id occurred_at", "feedback"),
        ("week_end rank track_name artist_name weekly_posts", "sound_chart"),
        ("creator_id rank trend_type trend_id score model_version", None),
        ("user item", None),
        ("id username email", None),
        ("", None),
    ],
)
def test_a_kind_is_known_by_its_columns(columns: str, kind: str | None) -> None:
    found = recognise(columns.split())
    assert (found.name if found else None) == kind


def page(*posts: Any, seen: Any = "2026-02-01T00:00:00Z") -> bytes:
    return json.dumps({"snapshot_utc": seen, "has_more": 1, "aweme_list": list(posts)}).encode()


def post(name: str, **more: Any) -> dict[str, Any]:
    return {
        "aweme_id": name,
        "desc": "x #Go",
        "create_time": 1767225600,
        "region": "BR",
        "duration": 17003,
        "author": {"uid": "creator_1"},
        "music": {"id": 7474731318656551726, "title": "song", "author": "ann"},
        "text_extra": [{"hashtag_name": "Ronaldo"}, {"user_id": "1"}],
        "statistics": {
            "play_count": 9,
            "digg_count": 8,
            "comment_count": 7,
            "share_count": 6,
            "collect_count": 5,
        },
        **more,
    }


def test_a_feed_page_is_read_in_the_contracts_words(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "pages").write_bytes(page(post("1"), post("2", text_extra=[])))
    found = read(
        lake,
        tmp_path / "pages",
        "SELECT username, region_code, video_duration, music_id, hashtag_names FROM videos ORDER BY id",
    )
    assert found == [
        ("creator_1", "BR", 17, "7474731318656551726", ["ronaldo"]),
        ("creator_1", "BR", 17, "7474731318656551726", ["go"]),
    ]
    counts = lake.connect().sql("SELECT * EXCLUDE (id) FROM video_metrics WHERE id = '1'").fetchall()
    assert counts == [(SEEN, 9, 8, 7, 6, 5)]


def test_withheld_counts_of_a_feed_are_unknown_and_true_zeros_stay(lake: Lake, tmp_path: Path) -> None:
    nothing = {"play_count": 0, "digg_count": 0, "comment_count": 0, "share_count": 0, "collect_count": 0}
    withheld = nothing | {"comment_count": 47984}
    (tmp_path / "p").write_bytes(page(post("1", statistics=withheld), post("2", statistics=nothing)))
    found = read(lake, tmp_path / "p", "SELECT view_count, comment_count FROM video_metrics ORDER BY id")
    assert found == [(None, 47984), (0, 0)]


def test_repeated_posts_of_a_feed_are_observations_of_one_post(lake: Lake, tmp_path: Path) -> None:
    pages = [page(post("1"), post("1")), page(post("1"), seen="2026-02-02T00:00:00Z")]
    (tmp_path / "p").write_bytes(b"\n".join(pages))
    assert ingest([tmp_path / "p"], lake, NOW, 1).new == 2
    assert (lake.counts()["videos"], lake.counts()["video_metrics"]) == (1, 2)


def test_a_broken_page_or_post_is_quarantined(lake: Lake, tmp_path: Path) -> None:
    lines = [
        page(post("1")),
        b'{"aweme_list": ',
        b'{"aweme_list": 3}',
        page(7, post("")),
        b'{"aweme_list": null}',
    ]
    (tmp_path / "p").write_bytes(b"\n".join(lines))
    found = read(lake, tmp_path / "p", "SELECT line, reason FROM quarantine ORDER BY line, reason")
    assert [line for line, _ in found] == [2, 3, 4, 4]
    assert [told for _, told in found][1:] == ["aweme_list is no list", "a post that is no object", "no id"]


def export(videos: Any, root: str = "Post", group: str = "Posts") -> dict[str, Any]:
    profile = {"Profile Information": {"ProfileMap": {"userName": "anna", "likesReceived": "12"}}}
    return {"Activity": {"Like List": {}}, "Profile": profile, root: {group: {"VideoList": videos}}}


EXPORTED = [
    {
        "Date": "2026-01-02 03:04:05",
        "Link": "https://www.tiktokv.com/share/video/7300000000000000001/",
        "Likes": "5",
    },
    {
        "date": "2026-01-03 03:04:05 UTC",
        "link": "https://x.y/@a/video/7300000000000000002?q",
        "Title": "#Hey",
        "Likes": "N/A",
    },
]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("names", [("Post", "Posts"), ("Video", "Videos"), ("post", "posts")])
def test_an_account_export_gives_the_creators_own_posts(
    lake: Lake, tmp_path: Path, indent: int | None, names: tuple[str, str]
) -> None:
    (tmp_path / "user_data_tiktok.json").write_text(json.dumps(export(EXPORTED, *names), indent=indent))
    found = read(
        lake,
        tmp_path / "user_data_tiktok.json",
        """SELECT v.id, username, create_time, hashtag_names, like_count
        FROM videos v LEFT JOIN video_metrics USING (id) ORDER BY v.id""",
    )
    assert found == [
        ("7300000000000000001", "anna", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), [], 5),
        ("7300000000000000002", "anna", datetime(2026, 1, 3, 3, 4, 5, tzinfo=UTC), ["hey"], None),
    ]


@pytest.mark.parametrize("empty", [None, [], {}])
def test_an_export_without_posts_is_no_error(lake: Lake, tmp_path: Path, empty: Any) -> None:
    for document in (export(empty), export(EXPORTED) | {"Post": empty}):
        (tmp_path / "e.json").write_text(json.dumps(document))
        assert ingest([tmp_path / "e.json"], lake, NOW, 10).rows == 0


def test_exported_posts_without_an_id_or_a_name_are_quarantined(lake: Lake, tmp_path: Path) -> None:
    document = export([{"Date": "2026-01-02 03:04:05", "Link": "https://cdn/x"}, "odd"]) | {"Profile": []}
    (tmp_path / "e.json").write_text(json.dumps(document))
    found = read(lake, tmp_path / "e.json", "SELECT line, reason FROM quarantine ORDER BY line")
    assert found == [(1, "no id; no username"), (2, "a post that is no object")]


def test_a_sound_chart_becomes_snapshots_known_when_the_week_is_over(lake: Lake, tmp_path: Path) -> None:
    chart = {
        "week_end": "2026-01-31",
        "rank": 1,
        "track_name": "Song",
        "artist_name": "Ann",
        "weekly_posts": 9,
    }
    pq.write_table(pa.Table.from_pylist([chart | {"label": "x"}]), tmp_path / "w.parquet")
    found = read(lake, tmp_path / "w.parquet", "SELECT * FROM trend_snapshots")
    assert found == [("sound", sound_id("Song", "Ann"), SEEN, "", "Song", "Ann", 1, "weekly_posts", 9)]
    assert sound_id("song ", "ANN") == sound_id("Song", "Ann") != sound_id("Song", "Bob")


def test_trends_and_feedback_are_read_by_their_contract(lake: Lake, tmp_path: Path) -> None:
    trends = [
        {"trend_type": "hashtag", "trend_id": "#Dance", "observed_at": SEEN.isoformat(), "value": 3},
        {"trend_type": "sound", "trend_id": "Abc", "observed_at": SEEN.isoformat(), "region": "VN"},
        {"trend_type": "song", "trend_id": "1", "observed_at": SEEN.isoformat()},
    ]
    events = [
        {
            "event_id": "1",
            "creator_id": "c",
            "kind": "click",
            "occurred_at": SEEN.isoformat(),
            "propensity": 0.5,
        },
        {"event_id": "2", "creator_id": "c", "kind": "stare", "occurred_at": SEEN.isoformat()},
        {
            "event_id": "3",
            "creator_id": "c",
            "kind": "click",
            "occurred_at": SEEN.isoformat(),
            "propensity": 2,
        },
    ]
    for name, rows in (("t.jsonl", trends), ("f.jsonl", events)):
        (tmp_path / name).write_text("\n".join(map(json.dumps, rows)))
    found = read(lake, tmp_path, "SELECT trend_id, region, value FROM trend_snapshots ORDER BY 1")
    assert found == [("Abc", "VN", None), ("dance", "", 3)]
    assert lake.connect().sql("SELECT event_id, propensity FROM feedback").fetchall() == [("1", 0.5)]
    told = lake.connect().sql("SELECT reason FROM quarantine ORDER BY source, line").fetchall()
    assert [reason.split(",")[0] for (reason,) in told] == [
        "unknown feedback kind",
        "propensity is not between 0 and 1",
        "unknown trend_type",
    ]


def test_a_header_that_names_a_column_twice_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,create_time,username,id\n")
    with pytest.raises(UnreadableFile, match="twice"):
        open_reader(tmp_path / "a.csv")
