"""Frames of features to typed Arrow tables and back: what is stored is what comes out, bit for bit.

A missing float is NaN; any other missing value is None. An array comes back as a numpy array: float64,
objects (str), or datetime64[us] in UTC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from features.schemas import INSTANT
from features.spec import FeatureSpec, Kind
from features.views import CREATED_AT, EVENT_AT, EVENT_US, ViewSpec

STORED: Final[dict[Kind, pa.DataType]] = {
    "float": pa.float64(),
    "string": pa.string(),
    "floats": pa.list_(pa.float64()),
    "strings": pa.list_(pa.string()),
    "instants": pa.list_(pa.int64()),
}
"""The Arrow type each kind is stored as; instants are microseconds since 1970, UTC."""


_FIELDS: Final[dict[Kind, str]] = {
    "float": "double_val",
    "string": "string_val",
    "floats": "double_list_val",
    "strings": "string_list_val",
    "instants": "int64_list_val",
}
"""The field of Feast's value that holds each kind."""


def encode(view: ViewSpec, frame: pd.DataFrame, as_of: datetime, created_at: datetime) -> pa.Table:
    """The rows of a view as they are stored, sorted by key.

    Args:
        view: whose columns to take.
        frame: the key, every feature of the view, and `event_timestamp` where rows are older than `as_of`.
        as_of: the event instant of rows that bring none; no row may be later.
        created_at: when the values were computed, for rows that bring no `created_timestamp`.

    Raises:
        ValueError: a column is missing, a key is null or twice at one instant, or a row is later than that.
    """
    _refuse_gaps(view, frame)
    keys = pa.array(frame[view.key], from_pandas=True).cast(pa.string())
    events = _instants(frame, EVENT_AT, as_of)
    columns = {
        view.key: keys,
        EVENT_AT: events,
        CREATED_AT: _instants(frame, CREATED_AT, created_at),
        EVENT_US: events.cast(pa.int64()),
        **{spec.name: _encoded(frame[spec.name], spec) for spec in view.features},
    }
    table = pa.table(columns).sort_by([(view.key, "ascending"), (EVENT_AT, "ascending")])
    _refuse_faults(view, table, as_of)
    return table


def decode(column: pa.Array | pa.ChunkedArray, spec: FeatureSpec) -> Any:
    """A stored column as values of its kind, shape (n,)."""
    if spec.kind == "float":
        return column.to_numpy(zero_copy_only=False) if isinstance(column, pa.Array) else column.to_numpy()
    if spec.kind == "instants":
        column = column.cast(pa.list_(pa.timestamp("us")))
    return column.to_pandas().to_numpy(dtype=object)


def values(rows: Sequence[Mapping[str, Any] | None], spec: FeatureSpec) -> Any:
    """One feature of n rows of Feast's values (a null has no field set), as `decode` gives it."""
    field = _FIELDS[spec.kind]
    held = [row[spec.name] if row and spec.name in row else None for row in rows]
    cells = [getattr(value, field) if value is not None and value.HasField(field) else None for value in held]
    if spec.kind == "float":
        return np.array([np.nan if value is None else value for value in cells], dtype=np.float64)
    if spec.kind != "string":
        cells = [None if value is None else list(value.val) for value in cells]
    return decode(pa.array(cells, STORED[spec.kind]), spec)


def utc(instant: datetime) -> datetime:
    """The same instant in UTC.

    Raises:
        ValueError: it has no time zone.
    """
    if instant.tzinfo is None:
        raise ValueError(f"{instant} has no time zone; pass an aware datetime")
    return instant.astimezone(UTC)


def micros(instant: datetime) -> int:
    """Microseconds since 1970 (UTC) of an aware instant."""
    return int(pa.scalar(utc(instant), INSTANT).value)


def _encoded(series: pd.Series[Any], spec: FeatureSpec) -> pa.Array:
    if spec.kind == "float":
        return pa.array(series.to_numpy(dtype=np.float64, na_value=np.nan))
    if spec.kind == "instants":
        return pa.array(_microsecond_cells(series), pa.list_(INSTANT)).cast(STORED["instants"])
    return pa.array(series.astype(object), STORED[spec.kind], from_pandas=spec.kind == "string")


def _microsecond_cells(series: pd.Series[Any]) -> list[Any]:
    """Arrow takes arrays of datetime64 in microseconds only."""
    return [
        value.astype("datetime64[us]") if isinstance(value, np.ndarray) and value.dtype.kind == "M" else value
        for value in series
    ]


def _instants(frame: pd.DataFrame, name: str, default: datetime) -> pa.Array:
    if name not in frame:
        return pa.array([utc(default)] * len(frame), INSTANT)
    return pa.Array.from_pandas(pd.to_datetime(frame[name], utc=True), type=INSTANT, safe=False)


def _refuse_gaps(view: ViewSpec, frame: pd.DataFrame) -> None:
    missing = [name for name in (view.key, *view.names) if name not in frame]
    if missing:
        raise ValueError(f"rows of {view.name} lack {', '.join(missing)}")


def _refuse_faults(view: ViewSpec, table: pa.Table, as_of: datetime) -> None:
    keys, events = table[view.key], table[EVENT_AT].cast(pa.int64()).to_numpy()
    if keys.null_count or table[EVENT_AT].null_count or table[CREATED_AT].null_count:
        raise ValueError(f"a row of {view.name} has no {view.key}, or no instant")
    if len(events) and events.max() > micros(as_of):
        raise ValueError(f"a row of {view.name} is later than the as-of it is written for, {utc(as_of)}")
    same = (pc.equal(keys[1:], keys[:-1])).to_numpy() & (events[1:] == events[:-1])
    if same.any():
        twice = keys[int(same.argmax())].as_py()
        raise ValueError(f"{view.name} has two rows of {twice!r} at one instant; write one")
