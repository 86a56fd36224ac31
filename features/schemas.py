"""Every table of the data contract: its columns, types and key, spelled once.

Column names are TikTok's own. Ids are strings everywhere; all instants are UTC with microsecond precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from features.contract import COUNTS, CREATOR_COUNTS

INSTANT: Final = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True)
class Table:
    """One table of the lake: its name, its natural key, and its columns in order.

    Attributes:
        name: the folder under the lake and the view in SQL.
        key: the columns that identify a row; a second row with the same key is a duplicate.
        schema: Arrow columns; a key column is never null.
        order_by: the columns its files are sorted by.
    """

    name: str
    key: tuple[str, ...]
    schema: pa.Schema
    order_by: tuple[str, ...]


def _columns(*fields: tuple[str, pa.DataType]) -> pa.Schema:
    return pa.schema([pa.field(name, kind) for name, kind in fields])


VIDEOS: Final = Table(
    name="videos",
    key=("id",),
    schema=_columns(
        ("id", pa.string()),
        ("create_time", INSTANT),
        ("observed_at", INSTANT),
        ("username", pa.string()),
        ("region_code", pa.string()),
        ("video_description", pa.string()),
        ("video_duration", pa.int64()),
        ("music_id", pa.string()),
        ("music_title", pa.string()),
        ("music_author", pa.string()),
        ("hashtag_names", pa.list_(pa.string())),
    ),
    order_by=("create_time", "id"),
)
"""One post. `observed_at` is when the post itself was first seen, which may be long after `create_time`."""

VIDEO_METRICS: Final = Table(
    name="video_metrics",
    key=("id", "observed_at"),
    schema=_columns(("id", pa.string()), ("observed_at", INSTANT), *((name, pa.int64()) for name in COUNTS)),
    order_by=("observed_at", "id"),
)

CREATOR_METRICS: Final = Table(
    name="creator_metrics",
    key=("username", "observed_at"),
    schema=_columns(
        ("username", pa.string()), ("observed_at", INSTANT), *((name, pa.int64()) for name in CREATOR_COUNTS)
    ),
    order_by=("observed_at", "username"),
)

TREND_SNAPSHOTS: Final = Table(
    name="trend_snapshots",
    key=("trend_type", "trend_id", "observed_at", "region"),
    schema=_columns(
        ("trend_type", pa.string()),
        ("trend_id", pa.string()),
        ("observed_at", INSTANT),
        ("region", pa.string()),
        ("name", pa.string()),
        ("author", pa.string()),
        ("position", pa.int64()),
        ("metric", pa.string()),
        ("value", pa.int64()),
    ),
    order_by=("observed_at", "trend_type", "trend_id", "region"),
)
"""A trend's place and count on a public list. `region` is `WORLDWIDE` where the list names none."""

FEEDBACK: Final = Table(
    name="feedback",
    key=("event_id",),
    schema=_columns(
        ("event_id", pa.string()),
        ("recommendation_id", pa.string()),
        ("creator_id", pa.string()),
        ("kind", pa.string()),
        ("trend_type", pa.string()),
        ("trend_id", pa.string()),
        ("rank", pa.int64()),
        ("propensity", pa.float64()),
        ("occurred_at", INSTANT),
    ),
    order_by=("occurred_at", "event_id"),
)

TABLES: Final[dict[str, Table]] = {
    table.name: table for table in (VIDEOS, VIDEO_METRICS, CREATOR_METRICS, TREND_SNAPSHOTS, FEEDBACK)
}

OBSERVATION: Final = pa.schema(
    [
        *VIDEOS.schema,
        *(pa.field(name, pa.int64()) for name in COUNTS),
        pa.field("follower_count", pa.int64()),
        pa.field("music_use_count", pa.int64()),
    ]
)
"""One row of a file of videos: the post, its counts, its creator's followers, its sound's uses, as of `observed_at`."""
