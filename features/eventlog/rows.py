"""Events → rows of the lake's tables, through the same checks as rows of files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from features.commits import QUARANTINE
from features.events import CreatorObservation, Entry, Event, Feedback, Observation, Post, TrendObservation, pack
from features.merge import INPUT_ROW
from features.schemas import INSTANT
from features.sources.batches import RawBatch
from features.sources.kinds import (
    CREATOR_METRICS_KIND,
    FEEDBACK_KIND,
    TREND_SNAPSHOTS_KIND,
    VIDEO_METRICS_KIND,
    VIDEOS_KIND,
    Role,
    RowKind,
)
from features.validate import check

SOURCE: Final = "events"
"""The quarantine's name for what came in as an event; its line is the event's place in the log."""

_KINDS: Final[dict[type[Event], RowKind]] = {
    Post: VIDEOS_KIND,
    Observation: VIDEO_METRICS_KIND,
    CreatorObservation: CREATOR_METRICS_KIND,
    TrendObservation: TREND_SNAPSHOTS_KIND,
    Feedback: FEEDBACK_KIND,
}
_POST: Final = {
    "username": "creator_id",
    "video_description": "description",
    "video_duration": "duration",
    "hashtag_names": "hashtags",
    "region_code": "region",
}
_TOLD_AS: Final[dict[type[Event], dict[str, str]]] = {
    Post: _POST,
    CreatorObservation: {"username": "creator_id"},
    Feedback: {"kind": "feedback"},
}
_TYPES: Final[dict[Role, pa.DataType]] = {
    "id": pa.string(),
    "text": pa.string(),
    "label": pa.string(),
    "count": pa.int64(),
    "real": pa.float64(),
    "instant": INSTANT,
    "tags": pa.list_(pa.string()),
}


def lake_rows(entries: Sequence[Entry]) -> dict[str, pa.Table]:
    """The rows that events come to, per table of the lake, ready for `Lake.append`.

    Returns:
        table → rows, with the place in `entries` as the number of the input row; only tables that have any. What a
        rule refuses is in `quarantine`.
    """
    parts: dict[str, list[pa.Table]] = {}
    for told, kind in _KINDS.items():
        places = [place for place, entry in enumerate(entries) if type(entry.event) is told]
        for name, rows in _rows(told, kind, [entries[place] for place in places], places):
            if rows.num_rows:
                parts.setdefault(name, []).append(rows)
    return {name: pa.concat_tables(tables) for name, tables in parts.items()}


def _rows(told: type[Event], kind: RowKind, entries: list[Entry], places: list[int]) -> list[tuple[str, pa.Table]]:
    """The rows of events of one kind; what a post does not say of when it was seen is when it came in."""
    if not entries:
        return []
    batch = RawBatch(
        kind,
        _columns(told, kind, entries),
        np.array([entry.seq for entry in entries], dtype=np.int64),
        text=lambda index: pack(entries[index].event).decode(),
    )
    latest = max(entry.received_at for entry in entries)
    checked = check(batch, SOURCE, 0, latest, latest)
    numbered = [(name, _at_places(rows, places)) for name, rows in checked.tables.items()]
    return [*numbered, (QUARANTINE.name, checked.quarantine)]


def _columns(told: type[Event], kind: RowKind, entries: list[Entry]) -> dict[str, pa.Array]:
    rows = [_row(entry) for entry in entries]
    names = _TOLD_AS.get(told, {})
    columns: dict[str, pa.Array] = {}
    for name, role in kind.columns.items():
        values = [row.get(names.get(name, name)) for row in rows]
        columns[name] = pa.array(values, _TYPES[role])
    return columns


def _row(entry: Entry) -> dict[str, Any]:
    event = entry.event
    row = dict(event)
    if isinstance(event, Post | Observation) and event.counts is not None:
        row |= dict(event.counts)
    if isinstance(event, Post) and event.observed_at is None:
        row["observed_at"] = entry.received_at
    return row


def _at_places(rows: pa.Table, places: list[int]) -> pa.Table:
    """The rows numbered by their event's place among all events, not among those of its kind."""
    numbers = pa.array(places, pa.int64()).take(rows[INPUT_ROW].combine_chunks())
    return rows.set_column(rows.schema.get_field_index(INPUT_ROW), INPUT_ROW, numbers)
