from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.contract import SKEW
from features.errors import BadEvent
from features.eventlog.rows import lake_rows
from features.events import Entry, Event, Post, marks, pack, read_event, unpack
from features.lake import Lake
from features.sources.batches import RawBatch, json_columns
from features.sources.faults import Faults
from features.sources.kinds import VIDEOS_KIND
from features.sources.tags import as_tags, tags_in
from features.validate import check
from tests.features.event_logs import NOW, TITLES, feedback, post

POST: dict[str, Any] = {
    "event_id": "e1", "kind": "post", "id": "v1", "creator_id": "ada", "create_time": "2026-06-01T11:00:00Z",
    "description": "look #Dance", "duration": 15, "music_id": "m1", "music_title": "Song", "music_author": "Bo",
    "hashtags": ["#Dance", "fyp"], "region": "DE", "counts": {"view_count": 10, "like_count": 2},
}  # fmt: skip
OBSERVATION: dict[str, Any] = {
    "event_id": "e2", "kind": "observation", "id": "v1", "observed_at": 1_780_311_600, "counts": {"view_count": 12},
}  # fmt: skip
CREATOR: dict[str, Any] = {
    "event_id": "e3", "kind": "creator_observation", "creator_id": "ada", "observed_at": "2026-06-01T11:30:00+02:00",
    "follower_count": 99,
}  # fmt: skip
TREND: dict[str, Any] = {
    "event_id": "e4", "kind": "trend_observation", "trend_type": "hashtag", "trend_id": "#Dance",
    "observed_at": "2026-06-01T11:00:00", "metric": "video_count", "value": 12_000, "position": 3, "region": "DE",
}  # fmt: skip
FEEDBACK: dict[str, Any] = {
    "event_id": "e5", "kind": "feedback", "feedback": "dismiss", "creator_id": "ada", "recommendation_id": "r1",
    "trend_type": "sound", "trend_id": "m1", "rank": 2, "propensity": 0.25, "occurred_at": "2026-06-01T11:59:59.5Z",
}  # fmt: skip
EVERY = [POST, OBSERVATION, CREATOR, TREND, FEEDBACK]
KINDS = [told["kind"] for told in EVERY]

calm = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def entries(*events: Event) -> list[Entry]:
    return [Entry(seq, NOW, event) for seq, event in enumerate(events, 1)]


@pytest.mark.parametrize("told", EVERY, ids=KINDS)
def test_an_event_survives_the_log(told: dict[str, Any]) -> None:
    event = read_event(told, NOW)
    assert unpack(pack(event)) == event
    assert pack(unpack(pack(event))) == pack(event)


def test_events_become_the_rows_that_a_file_of_them_would(tmp_path: Path) -> None:
    rows = lake_rows(entries(*(read_event(told, NOW) for told in EVERY)))
    assert {name: table.num_rows for name, table in rows.items()} == {
        "videos": 1, "video_metrics": 2, "creator_metrics": 1, "trend_snapshots": 1, "feedback": 1,
    }  # fmt: skip
    (video,) = rows["videos"].to_pylist()
    assert video["observed_at"] == NOW and video["hashtag_names"] == ["dance", "fyp"]
    assert (video["username"], video["region_code"], video["music_title"]) == ("ada", "DE", "Song")
    (trend,) = rows["trend_snapshots"].to_pylist()
    assert (trend["trend_id"], trend["region"], trend["value"]) == ("dance", "DE", 12_000)
    assert trend["observed_at"] == datetime(2026, 6, 1, 11, tzinfo=UTC)
    (answer,) = rows["feedback"].to_pylist()
    assert (answer["kind"], answer["rank"], answer["propensity"]) == ("dismiss", 2, 0.25)
    lake = Lake(tmp_path / "lake")
    assert lake.append(rows) == {name: table.num_rows for name, table in rows.items()}
    assert set(lake.append(rows).values()) == {0}


def test_late_and_out_of_order_events_land_in_the_past(tmp_path: Path) -> None:
    hours = (3, 1, 2)
    told = [OBSERVATION | {"event_id": f"o{h}", "observed_at": f"2026-05-01T0{h}:00:00Z"} for h in hours]
    lake = Lake(tmp_path / "lake")
    for one in told:
        lake.append(lake_rows(entries(read_event(one, NOW))))
    seen = lake.connect().sql("SELECT hour(observed_at) FROM video_metrics ORDER BY observed_at").fetchall()
    assert seen == [(1,), (2,), (3,)]


BAD: list[tuple[dict[str, Any], str]] = [
    (POST | {"id": None}, "id"),
    (POST | {"id": "  "}, "id"),
    (POST | {"id": "x" * 257}, "id"),
    (POST | {"id": "a\0b"}, "NUL"),
    (POST | {"description": "a\0b"}, "NUL"),
    (POST | {"hashtags": ["a\0b"]}, "NUL"),
    (POST | {"hashtags": ["x" * 257]}, "longer"),
    (POST | {"description": "\ud800"}, "unicode"),
    (POST | {"create_time": "2026-06-01T12:06:00Z"}, "future"),
    (POST | {"create_time": "2009-06-01T12:06:00Z"}, "time"),
    (POST | {"create_time": "yesterday"}, "create_time"),
    (POST | {"create_time": "0001-01-01T00:00:00+14:00"}, "time"),
    (POST | {"observed_at": "2026-06-01T10:54:59Z"}, "before create_time"),
    (POST | {"duration": -1}, "duration"),
    (POST | {"duration": 2**63}, "duration"),
    (POST | {"counts": {"view_count": -1}}, "view_count"),
    (POST | {"counts": {"view_count": 1.5}}, "view_count"),
    (POST | {"counts": {}}, "no count"),
    (POST | {"colour": "red"}, "colour"),
    (POST | {"kind": "video"}, "kind"),
    (OBSERVATION | {"counts": {}}, "no count"),
    (CREATOR | {"follower_count": None}, "no count"),
    (TREND | {"trend_type": "place"}, "trend_type"),
    (TREND | {"trend_id": "#"}, "hashtag"),
    (TREND | {"value": None, "position": None}, "value"),
    (FEEDBACK | {"feedback": "love"}, "feedback"),
    (FEEDBACK | {"propensity": 1.1}, "propensity"),
    (FEEDBACK | {"propensity": float("nan")}, "propensity"),
    (FEEDBACK | {"trend_id": None}, "together"),
    (FEEDBACK | {"trend_id": None, "trend_type": None}, "dismiss needs"),
]


@pytest.mark.parametrize(("told", "why"), BAD, ids=[f"{n}-{why}" for n, (_, why) in enumerate(BAD)])
def test_an_event_that_breaks_a_rule_is_refused_and_told_why(told: dict[str, Any], why: str) -> None:
    with pytest.raises(BadEvent, match=why):
        read_event(told, NOW)


def test_a_clock_may_be_as_far_ahead_as_in_files() -> None:
    assert read_event(POST | {"create_time": (NOW + SKEW).isoformat()}, NOW)
    with pytest.raises(BadEvent, match="future"):
        read_event(POST | {"create_time": (NOW + SKEW + timedelta(microseconds=1)).isoformat()}, NOW)


def test_a_fault_never_repeats_what_was_sent() -> None:
    with pytest.raises(BadEvent) as refused:
        read_event(POST | {"duration": "my-secret", "region": "my-secret", "music_id": ["my-secret"]}, NOW)
    assert "my-secret" not in str(refused.value)
    assert len(str(refused.value)) <= 500


def test_what_is_refused_as_an_event_is_quarantined_as_a_row_of_a_file() -> None:
    """The rules that both know; the event's own are its shape, and caps that no file has."""
    names = {"creator_id": "username", "description": "video_description", "duration": "video_duration"}
    names |= {"hashtags": "hashtag_names", "region": "region_code"}
    for told, why in BAD:
        if told["kind"] != "post" or "colour" in told or why in ("no count", "unicode"):
            continue
        row = {names.get(name, name): value for name, value in told.items() if name not in ("event_id", "kind")}
        row |= row.pop("counts")
        row["observed_at"] = row.get("observed_at") or NOW.isoformat()
        columns, faults = json_columns([row], VIDEOS_KIND)
        batch = RawBatch(VIDEOS_KIND, columns, np.array([1]), faults, text=lambda _: "")
        assert check(batch, "file", 0, NOW, NOW).quarantine.num_rows == 1, (why, told)


ANY_TEXT = st.text(max_size=12) | st.sampled_from(["#a＃b", " x ", "\x1c", " \x00", "# #y", "İ#İ", "#é_1"])
TIMES = st.one_of(
    st.datetimes(datetime(2009, 1, 1), datetime(2027, 1, 1)).map(datetime.isoformat),
    st.integers(-(10**15), 10**15),
    st.floats(allow_nan=True),
    st.sampled_from(["2026-06-01T12:04:00Z", "2026-06-01", "1780311600", "", True, 1_780_311_600_123]),
)
COUNTS = st.none() | st.integers(-2, 2**64) | st.floats() | st.booleans() | st.just("5")


def told_events() -> st.SearchStrategy[dict[str, Any]]:
    """Events with a few of their fields put in by chance, so that many are good and every rule is met."""
    chance: dict[str, st.SearchStrategy[Any]] = dict.fromkeys(
        ("id", "creator_id", "music_id", "music_title", "name", "author", "description", "trend_id", "metric"),
        ANY_TEXT | st.none(),
    )
    chance |= dict.fromkeys(("create_time", "observed_at", "occurred_at"), TIMES)
    chance |= dict.fromkeys(("duration", "value", "position", "rank", "follower_count", "propensity"), COUNTS)
    chance["hashtags"] = st.none() | st.lists(ANY_TEXT, max_size=4)
    chance["counts"] = st.none() | st.dictionaries(st.sampled_from(["view_count", "share_count", "x"]), COUNTS)

    def altered(base: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
        fields = sorted(chance.keys() & (base.keys() | {"observed_at"} if base["kind"] == "post" else base.keys()))
        change = st.lists(st.sampled_from(fields), max_size=3, unique=True).flatmap(
            lambda names: st.fixed_dictionaries({name: chance[name] for name in names})
        )
        return change.map(lambda new: base | new)

    return st.sampled_from(EVERY).flatmap(altered)


@calm
@given(st.lists(told_events(), min_size=1, max_size=12))
def test_an_accepted_event_is_never_quarantined_later(told: list[dict[str, Any]]) -> None:
    good = []
    for one in told:
        try:
            good.append(read_event(one, NOW))
        except BadEvent:
            continue
    rows = lake_rows(entries(*good))
    assert "quarantine" not in rows, rows["quarantine"].to_pylist()
    posts = [event for event in good if isinstance(event, Post)]
    videos = rows["videos"].to_pylist() if posts else []
    assert [tuple(video["hashtag_names"]) for video in videos] == [event.hashtags for event in posts]
    assert [video["music_id"] for video in videos] == [event.music_id for event in posts]
    assert [video["create_time"] for video in videos] == [event.create_time for event in posts]
    assert all(unpack(pack(event)) == event for event in good)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(calm, max_examples=120)
@given(st.sampled_from(EVERY), st.dictionaries(st.sampled_from(sorted({k for e in EVERY for k in e})), JSON) | JSON)
def test_whatever_is_sent_is_an_event_or_refused(base: dict[str, Any], junk: Any) -> None:
    try:
        read_event(base | junk if isinstance(junk, dict) else junk, NOW)
    except BadEvent as refused:
        assert str(refused)


@settings(calm, max_examples=120)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30) | st.text("#＃aÉ_1 ́٣x", max_size=30))
def test_hashtags_in_a_description_are_those_that_a_file_finds(text: str) -> None:
    event = read_event({**POST, "hashtags": None, "description": text}, NOW)
    assert isinstance(event, Post)
    found = as_tags(tags_in(pa.array([text])), "hashtag_names", Faults(1))
    assert list(event.hashtags or ()) == found[0].as_py()


def test_a_listed_hashtag_wins_over_the_description_even_when_none_is_listed() -> None:
    assert post("e", description="#a", hashtags=None).hashtags == ("a",)
    assert post("e", description="#a", hashtags=[]).hashtags == ()


def test_words_too_long_for_a_hashtag_are_none() -> None:
    assert post("e", description=f"#a #{'x' * 257}", hashtags=None).hashtags == ("a",)


def test_a_post_marks_what_it_used_but_not_its_own_audio() -> None:
    used = post("e", hashtags=["B", "a"], music_id="m", music_title="Song")
    assert marks(used, TITLES) == [("used", "hashtag:b"), ("used", "hashtag:a"), ("used", "sound:m")]
    own = post("e", hashtags=[], music_id="m", music_title="original sound")
    assert marks(own, TITLES) == []
    assert marks(post("e", hashtags=[], music_id="m"), TITLES) == [("used", "sound:m")]


def test_only_adopting_and_dismissing_mark_a_trend() -> None:
    kinds = ("impression", "click", "save", "adopt", "dismiss", "outcome")
    told = {kind: marks(feedback("e", kind, "#Dance"), TITLES) for kind in kinds}
    assert {kind: found for kind, found in told.items() if found} == {
        "adopt": [("adopted", "hashtag:dance")],
        "dismiss": [("dismissed", "hashtag:dance")],
    }


def test_the_log_keeps_no_field_that_was_not_told() -> None:
    assert orjson.loads(pack(read_event(OBSERVATION, NOW))) == OBSERVATION | {"observed_at": "2026-06-01T11:00:00Z"}
