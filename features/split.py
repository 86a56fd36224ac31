"""Checked rows of one kind → rows of the contract's tables, each with the number of its input row."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from features.contract import COUNTS, CREATOR_COUNTS, WORLDWIDE, normal_tag
from features.merge import INPUT_ROW
from features.schemas import CREATOR_METRICS, FEEDBACK, TREND_SNAPSHOTS, VIDEO_METRICS, VIDEOS, Table
from features.sources.faults import as_mask
from features.sources.kinds import RowKind

Columns = dict[str, pa.Array]
"""Columns of one length by name; `_row` is the number of the input row."""


def split(kind: RowKind, columns: Columns) -> dict[str, pa.Table]:
    """The rows of every table that rows of this kind fill."""
    return _SPLITS[kind.name](columns)


def _rows(table: Table, columns: Columns, where: pa.Array | None = None) -> pa.Table:
    """Rows of one table with their input row numbers; only those of the mask, where there is one."""
    names = [*table.schema.names, INPUT_ROW]
    rows = pa.table([columns[name] for name in names], names=names)
    return rows if where is None else rows.filter(where)


def _any_known(columns: Columns, names: tuple[str, ...]) -> pa.Array:
    known: npt.NDArray[np.bool_] = np.zeros(len(columns[INPUT_ROW]), dtype=np.bool_)
    for name in names:
        known |= as_mask(columns[name].is_valid())
    return pa.array(known)


def _constant(columns: Columns, value: str) -> pa.Array:
    return pa.array([value] * len(columns[INPUT_ROW]), pa.string())


def _split_videos(columns: Columns) -> dict[str, pa.Table]:
    uses = {
        **columns,
        "trend_type": _constant(columns, "sound"),
        "trend_id": columns["music_id"],
        "region": _constant(columns, WORLDWIDE),
        "name": columns["music_title"],
        "author": columns["music_author"],
        "position": pa.nulls(len(columns[INPUT_ROW]), pa.int64()),
        "metric": _constant(columns, "use_count"),
        "value": columns["music_use_count"],
    }
    used = pc.and_(columns["music_id"].is_valid(), columns["music_use_count"].is_valid())
    return {
        "videos": _rows(VIDEOS, columns),
        "video_metrics": _rows(VIDEO_METRICS, columns, _any_known(columns, COUNTS)),
        "creator_metrics": _rows(CREATOR_METRICS, columns, _any_known(columns, CREATOR_COUNTS)),
        "trend_snapshots": _rows(TREND_SNAPSHOTS, uses, used),
    }


def _split_trends(columns: Columns) -> dict[str, pa.Table]:
    """Trend snapshots; a hashtag's id is its lower-cased name, and no region is the whole world."""
    is_tag = pc.equal(columns["trend_type"], "hashtag")
    encoded = columns["trend_id"].dictionary_encode()
    normal = pa.array([normal_tag(name) or name for name in encoded.dictionary.to_pylist()], pa.string())
    named = {
        **columns,
        "trend_id": pc.if_else(is_tag, normal.take(encoded.indices), columns["trend_id"]),
        "region": columns["region"].fill_null(WORLDWIDE),
    }
    return {"trend_snapshots": _rows(TREND_SNAPSHOTS, named)}


def sound_id(title: str, author: str | None) -> str:
    """A stable id for a sound of which only title and artist are known: `sound_` and 12 hex digits."""
    names = "\x1f".join((title.strip().casefold(), (author or "").strip().casefold()))
    return f"sound_{hashlib.sha256(names.encode()).hexdigest()[:12]}"


def _split_chart(columns: Columns) -> dict[str, pa.Table]:
    """A weekly chart of sounds; only title and artist name them."""
    titles, artists = columns["track_name"].to_pylist(), columns["artist_name"].to_pylist()
    snapshots = {
        INPUT_ROW: columns[INPUT_ROW],
        "trend_type": _constant(columns, "sound"),
        "trend_id": pa.array([sound_id(*names) for names in zip(titles, artists, strict=True)], pa.string()),
        "observed_at": columns["observed_at"],
        "region": _constant(columns, WORLDWIDE),
        "name": columns["track_name"],
        "author": columns["artist_name"],
        "position": columns["rank"],
        "metric": _constant(columns, "weekly_posts"),
        "value": columns["weekly_posts"],
    }
    return {"trend_snapshots": _rows(TREND_SNAPSHOTS, snapshots)}


_SPLITS: Final[dict[str, Callable[[Columns], dict[str, pa.Table]]]] = {
    "videos": _split_videos,
    "video_metrics": lambda columns: {"video_metrics": _rows(VIDEO_METRICS, columns)},
    "creator_metrics": lambda columns: {"creator_metrics": _rows(CREATOR_METRICS, columns)},
    "trend_snapshots": _split_trends,
    "feedback": lambda columns: {"feedback": _rows(FEEDBACK, columns)},
    "sound_chart": _split_chart,
}
