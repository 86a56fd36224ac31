"""The rules of rows: a raw batch → rows for each table of the contract, and the refused ones with their
reasons.

Two clocks may disagree a little: a time up to `SKEW` after `now`, or an observation up to `SKEW` before its
post, is good. A video that does not say when it was observed was observed when its file was written (never
later than `now`); a weekly chart when its last day was over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.commits import QUARANTINE
from features.contract import FEEDBACK_KINDS, SKEW, TREND_TYPES
from features.merge import INPUT_ROW
from features.schemas import INSTANT
from features.sources.batches import RawBatch
from features.sources.columns import as_count, as_id, as_label, as_real, as_text
from features.sources.faults import Faults, as_mask
from features.sources.kinds import Role, RowKind
from features.sources.tags import as_tags, tags_in
from features.sources.times import as_instant
from features.split import Columns, split

_CONVERTERS: Final[dict[Role, Callable[[pa.Array, str, Faults], pa.Array]]] = {
    "id": as_id,
    "text": as_text,
    "label": as_label,
    "count": as_count,
    "real": as_real,
    "instant": as_instant,
    "tags": as_tags,
}


@dataclass(frozen=True)
class Checked:
    """A batch after the checks.

    Attributes:
        tables: per table its rows, with `_row`, the number of the input row each came from.
        quarantine: the refused rows, as the quarantine table has them.
    """

    tables: dict[str, pa.Table]
    quarantine: pa.Table


def check(batch: RawBatch, source: str, first_row: int, now: datetime, written_at: datetime) -> Checked:
    """Sorts the rows of a batch into the tables and the quarantine.

    Args:
        batch: rows of one kind.
        source: the file, as the quarantine names it.
        first_row: the number of the batch's first input row.
        now: nothing can have happened later (UTC).
        written_at: when the file was written (UTC).
    """
    faults = Faults(len(batch.lines))
    columns = _typed(batch, min(written_at, now), faults)
    _check_times(columns, now, faults)
    _check_words(columns, batch.kind, faults)
    good = pa.array(~faults.bad())
    numbers = pa.array(np.arange(first_row, first_row + len(batch.lines)))
    kept = {name: column.filter(good) for name, column in {**columns, INPUT_ROW: numbers}.items()}
    return Checked(split(batch.kind, kept), _quarantine(batch, faults, source, now))


def _typed(batch: RawBatch, observed_at: datetime, faults: Faults) -> Columns:
    """Every column of the kind in its own type, null where the file has none; what is needed is there."""
    columns: Columns = {}
    for name, role in batch.kind.columns.items():
        if role == "unused":
            continue
        told = len(faults)
        raw = batch.columns.get(name, pa.nulls(len(batch.lines)))
        columns[name] = _CONVERTERS[role](raw, name, faults)
        faults.add_rows(batch.faults.get(name, {}))
        if name == "observed_at" and batch.kind.name == "videos":
            columns[name] = columns[name].fill_null(pa.scalar(observed_at, INSTANT))
        elif name in batch.kind.required:
            faults.add(as_mask(columns[name].is_null()) & ~faults.bad(since=told), f"no {name}")
    if batch.kind.name == "videos":
        columns["hashtag_names"] = _all_tags(columns["hashtag_names"], columns["video_description"])
    if batch.kind.name == "sound_chart":
        last_day = pc.floor_temporal(columns["week_end"], unit="day")
        columns["observed_at"] = pc.add(last_day, pa.scalar(timedelta(days=1), pa.duration("us")))
    return columns


def _all_tags(tags: pa.Array, description: pa.Array) -> pa.Array:
    """The hashtags, or those that stand in the text of a row that lists none; a list for every row."""
    unsaid = tags.is_null()
    text = pc.if_else(unsaid, description, None)
    if pc.any(pc.match_substring_regex(text, "[#＃]")).as_py():
        tags = pc.if_else(unsaid, as_tags(tags_in(text), "hashtag_names", Faults(len(text))), tags)
    return pc.if_else(tags.is_null(), pa.array([[]], tags.type)[0], tags)


def _check_times(columns: Columns, now: datetime, faults: Faults) -> None:
    latest = pa.scalar(now + SKEW, INSTANT)
    for name in ("create_time", "observed_at", "occurred_at"):
        if name in columns:
            faults.add(pc.greater(columns[name], latest), f"{name} is in the future")
    if "create_time" in columns:
        seen = pc.add(columns["observed_at"], pa.scalar(SKEW, pa.duration("us")))
        faults.add(pc.less(seen, columns["create_time"]), "observed_at is before create_time")


def _check_words(columns: Columns, kind: RowKind, faults: Faults) -> None:
    """Refuses words and shares that the contract does not know."""
    if "trend_type" in columns:
        _check_word(columns["trend_type"], TREND_TYPES, "trend_type", faults)
    if kind.name == "feedback":
        _check_word(columns["kind"], FEEDBACK_KINDS, "feedback kind", faults)
        share = columns["propensity"]
        faults.add(pc.or_(pc.less(share, 0), pc.greater(share, 1)), "propensity is not between 0 and 1")


def _check_word(column: pa.Array, known: tuple[str, ...], name: str, faults: Faults) -> None:
    unknown = pc.and_(column.is_valid(), pc.invert(pc.is_in(column, pa.array(known, pa.string()))))
    faults.add(unknown, f"unknown {name}, expected one of {', '.join(known)}")


def _quarantine(batch: RawBatch, faults: Faults, source: str, now: datetime) -> pa.Table:
    refused = [(bad.line, bad.reason, bad.text) for bad in batch.bad]
    for index in np.flatnonzero(faults.bad()).tolist():
        refused.append((int(batch.lines[index]), faults.reasons(index), batch.row_text(index)))
    lines, reasons, texts = zip(*refused, strict=True) if refused else ((), (), ())
    return pa.table(
        [
            pa.array([source] * len(refused), pa.string()),
            pa.array(lines, pa.int64()),
            pa.array(reasons, pa.string()),
            pa.array(texts, pa.string()),
            pa.array([now] * len(refused), INSTANT),
        ],
        schema=QUARANTINE.schema,
    )
