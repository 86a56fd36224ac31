"""The point-in-time join against a plain loop over rows, and what must never change its answer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.bench import CONFIG, offline_join
from features.errors import NotMaterialized
from features.spec import FeatureSpec
from features.store import FeatureRepository
from features.views import CREATED_AT, EVENT_AT, TREND_ACTIVITY, ViewSpec

TTL_HOURS = 3
VIEW = ViewSpec(
    TREND_ACTIVITY,
    "trend_key",
    (
        FeatureSpec("heat", "float", "", ""),
        FeatureSpec("title", "string", "", ""),
        FeatureSpec("curve", "floats", "", ""),
    ),
    timedelta(hours=TTL_HOURS),
    "",
)
START = datetime(2026, 1, 1, tzinfo=UTC)
KEYS = ("a", "b", "é:1", "")
FEW = settings(max_examples=40, deadline=None)

Row = tuple[str, int, int, float]
"""key, event hour, created hour, value."""


def hour(hours: float) -> datetime:
    return START + timedelta(hours=hours)


_row = st.tuples(st.sampled_from(KEYS), st.integers(0, 8), st.integers(0, 2), st.floats(allow_nan=True, width=32))
_file = st.lists(_row, max_size=8, unique_by=lambda row: row[:2])
_files = st.lists(_file, min_size=1, max_size=4)
_label = st.tuples(
    st.sampled_from((*KEYS, "nowhere", None)),
    st.sampled_from([h + d for h in range(14) for d in (0, -1e-6, 1e-6)]),
)
_labels = st.lists(_label, max_size=12)


def frame_of(rows: Sequence[Row]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "trend_key": [key for key, *_ in rows],
            EVENT_AT: pd.to_datetime([hour(event) for _, event, *_ in rows], utc=True),
            CREATED_AT: pd.to_datetime([hour(event + created) for _, event, created, _ in rows], utc=True),
            "heat": np.array([value for *_, value in rows], dtype=float),
            "title": [f"{key} {value}" for key, *_, value in rows],
            "curve": [[value] * (event % 3) for _, event, _, value in rows],
        }
    )


def labels_of(labels: Sequence[tuple[str | None, float]]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "y": range(len(labels)),
            "trend_key": np.array([key for key, _ in labels], dtype=object),
            EVENT_AT: pd.to_datetime([hour(at) for _, at in labels], utc=True),
        },
        index=list(range(len(labels), 0, -1)),
    )


def joined(files: Sequence[Sequence[Row]], labels: pd.DataFrame) -> pd.DataFrame:
    with TemporaryDirectory() as home:
        store = FeatureRepository(Path(home), CONFIG, [VIEW])
        for place, rows in enumerate(files):
            store.write(TREND_ACTIVITY, frame_of(rows), hour(100 + place))
        return store.historical(labels, TREND_ACTIVITY)


def expected(files: Sequence[Sequence[Row]], key: str | None, at: float) -> Row | None:
    """The row a patient reader would pick; of full ties, the one of the later file."""
    best = None
    for rows in files:
        for row in rows:
            if row[0] != key or not at - TTL_HOURS - 1e-9 <= row[1] <= at + 1e-9:
                continue
            if best is None or row[1:3] >= best[1:3]:
                best = row
    return best


@FEW
@given(_files, _labels)
def test_each_label_gets_the_row_a_plain_loop_would_pick(
    files: list[list[Row]], labels: list[tuple[str | None, float]]
) -> None:
    asked = labels_of(labels)
    found = joined(files, asked)
    pd.testing.assert_frame_equal(found[["y", "trend_key", EVENT_AT]], asked)
    for (key, at), got in zip(labels, found.itertuples(), strict=True):
        row = expected(files, key, at)
        if row is None:
            assert np.isnan(got.heat) and got.title is None and got.curve is None
        else:
            want = np.array([row[3]] * (row[1] % 3))
            assert np.float64(row[3]).tobytes() == np.float64(got.heat).tobytes() or np.isnan(row[3] + got.heat)
            assert got.title == f"{key} {row[3]}"
            np.testing.assert_array_equal(got.curve, want)


@FEW
@given(_files, _labels, st.randoms(use_true_random=False))
def test_the_order_of_stored_rows_and_of_labels_is_of_no_account(
    files: list[list[Row]], labels: list[tuple[str | None, float]], random: np.random.Generator
) -> None:
    asked = labels_of(labels)
    shuffled = [random.sample(rows, len(rows)) for rows in files]  # type: ignore[attr-defined]
    turned = asked.iloc[::-1]
    pd.testing.assert_frame_equal(joined(files, asked).iloc[::-1], joined(shuffled, turned), check_exact=True)


@FEW
@given(_files, _labels, st.lists(_row, max_size=6, unique_by=lambda row: row[:2]))
def test_what_happens_later_changes_nothing(
    files: list[list[Row]], labels: list[tuple[str | None, float]], future: list[Row]
) -> None:
    asked = labels_of(labels)
    later = [(key, event + 20, created, value) for key, event, created, value in future]
    pd.testing.assert_frame_equal(joined(files, asked), joined([*files, later], asked), check_exact=True)


def test_a_row_holds_to_the_microsecond_its_ttl_ends() -> None:
    rows = [[("a", 0, 0, 1.0)]]
    inside, outside = hour(TTL_HOURS), hour(TTL_HOURS) + timedelta(microseconds=1)
    asked = pd.DataFrame({"trend_key": ["a", "a"], EVENT_AT: pd.to_datetime([inside, outside], utc=True)})
    assert joined(rows, asked)["heat"].tolist() == pytest.approx([1.0, np.nan], nan_ok=True)


def test_a_feature_that_older_files_lack_is_missing_there(tmp_path: Path) -> None:
    old = ViewSpec(TREND_ACTIVITY, "trend_key", VIEW.features[:1], VIEW.ttl, "")
    FeatureRepository(tmp_path, CONFIG, [old]).write(TREND_ACTIVITY, frame_of([("a", 0, 0, 1.0)]), hour(0))
    store = FeatureRepository(tmp_path, CONFIG, [VIEW])
    store.write(TREND_ACTIVITY, frame_of([("b", 1, 0, 2.0)]), hour(1))
    found = store.historical(labels_of([("a", 1), ("b", 1)]), TREND_ACTIVITY, ["title", "heat"])
    assert found["title"].tolist() == [None, "b 2.0"]
    assert found["heat"].tolist() == [1.0, 2.0]


def test_joining_before_anything_is_stored_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotMaterialized, match="harmonic materialize"):
        FeatureRepository(tmp_path, CONFIG, [VIEW]).historical(labels_of([("a", 1)]), TREND_ACTIVITY)


def test_the_benchmark_runs_at_any_size_and_agrees_with_feast(capsys: pytest.CaptureFixture[str]) -> None:
    figures = offline_join(300, 500, creator_rows=500, reference_rows=200, reference_source_rows=500, repeats=1)
    assert figures["feast"]["equal"]
    assert figures["two_views"]["ratio"] > 0
    assert "300 labels" in capsys.readouterr().out
