"""The point-in-time join: for each (key, instant), the key's latest row up to the instant, within a ttl.

First only keys and instants are read and matched (pandas' merge_asof), then each file gives up the rows that
some label needs, so the wide columns are never sorted, joined or held whole.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.codec import STORED, decode
from features.spec import FeatureSpec
from features.views import CREATED_AT, EVENT_AT, ViewSpec

Ints = npt.NDArray[np.int64]
NO_ROW = -1


@dataclass(frozen=True)
class _Rows:
    """Which source rows there are: the codes of their keys, their instants, and where each file begins."""

    codes: Ints
    event_us: Ints
    created_us: Ints
    starts: Ints


def join(
    view: ViewSpec, files: Sequence[Path], keys: pa.Array, instants_us: Ints, specs: Sequence[FeatureSpec]
) -> dict[str, Any]:
    """The features of n (key, instant) pairs, in their order.

    Of rows with one key and one event instant the later created wins, then the one in the later file.

    Args:
        view: whose rows the files hold; its ttl is inclusive.
        files: Parquet as `OfflineFiles` writes it, earliest as-of first; a column one lacks is missing there.
        keys: n strings; null matches nothing.
        instants_us: n instants, microseconds since 1970 (UTC).
        specs: the features wanted.

    Returns:
        For each spec's name n values: float64 with NaN, or objects with None, where no row holds.
    """
    encoded = keys.dictionary_encode()
    needed = _overlapping(files, instants_us, view.ttl)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        rows = _narrow(pool, view, needed, encoded.dictionary)
        matched = _match(encoded.indices.fill_null(NO_ROW).to_numpy().astype(np.int64), instants_us, rows, view.ttl)
        return _gather(pool, needed, rows.starts, matched, specs)


def _overlapping(files: Sequence[Path], instants_us: Ints, ttl: timedelta) -> list[Path]:
    """The files that may hold a row for any of the instants."""
    if not len(instants_us):
        return []
    first, last = instants_us.min() - ttl // timedelta(microseconds=1), instants_us.max()
    return [file for file in files if _may_hold(pq.read_metadata(file), first, last)]


def _may_hold(footer: pq.FileMetaData, first: int, last: int) -> bool:
    place = footer.schema.names.index(EVENT_AT) if footer.num_row_groups else 0
    for group in range(footer.num_row_groups):
        bounds = footer.row_group(group).column(place).statistics
        if bounds is None or not bounds.has_min_max:
            return True
        if bounds.min_raw <= last and bounds.max_raw >= first:
            return True
    return False


def _narrow(pool: ThreadPoolExecutor, view: ViewSpec, files: Sequence[Path], wanted: pa.Array) -> _Rows:
    """Keys as places in `wanted` (`NO_ROW` for others) and instants of every source row, without features."""

    def read(file: Path) -> pa.Table:
        columns = [view.key, EVENT_AT, CREATED_AT]
        return pq.read_table(file, columns=columns, read_dictionary=[view.key], use_threads=False)

    tables = list(pool.map(read, files))
    empty = np.empty(0, np.int64)
    if not tables:
        return _Rows(empty, empty, empty, starts=np.zeros(1, np.int64))
    return _Rows(
        codes=_codes(pa.chunked_array([c for table in tables for c in table[view.key].chunks]), wanted),
        event_us=_micros(tables, EVENT_AT),
        created_us=_micros(tables, CREATED_AT),
        starts=np.cumsum([0, *(len(table) for table in tables)]),
    )


def _codes(keys: pa.ChunkedArray, wanted: pa.Array) -> Ints:
    unified = keys.unify_dictionaries().chunks
    places = pc.index_in(unified[-1].dictionary, wanted).fill_null(NO_ROW).to_numpy().astype(np.int64)
    return np.concatenate([places[chunk.indices.to_numpy()] for chunk in unified])


def _micros(tables: Sequence[pa.Table], name: str) -> Ints:
    return np.concatenate([table[name].cast(pa.int64()).to_numpy() for table in tables])


def _match(codes: Ints, instants_us: Ints, rows: _Rows, ttl: timedelta) -> Ints:
    """The source row of each label, `NO_ROW` where none holds."""
    known = np.flatnonzero(rows.codes != NO_ROW)
    known = known[np.lexsort((rows.created_us[known], rows.event_us[known]))]
    order = np.argsort(instants_us, kind="stable")
    labels = pd.DataFrame({"us": instants_us[order], "code": codes[order]})
    source = pd.DataFrame({"us": rows.event_us[known], "code": rows.codes[known], "row": known})
    within = ttl // timedelta(microseconds=1)
    joined = pd.merge_asof(labels, source, on="us", by="code", tolerance=within)
    matched = np.empty(len(codes), np.int64)
    matched[order] = joined["row"].fillna(NO_ROW).to_numpy()
    return matched


def _gather(
    pool: ThreadPoolExecutor, files: Sequence[Path], starts: Ints, matched: Ints, specs: Sequence[FeatureSpec]
) -> dict[str, Any]:
    """The features of the matched rows, read one file at a time."""
    out = {spec.name: _blank(spec, len(matched)) for spec in specs}
    order = np.argsort(matched, kind="stable")
    edges = np.searchsorted(matched[order], starts)

    def fill(place: int) -> None:
        labels = order[edges[place] : edges[place + 1]]
        if len(labels):
            _fill(out, files[place], matched[labels] - starts[place], labels, specs)

    for _ in pool.map(fill, range(len(files))):
        pass
    return out


def _blank(spec: FeatureSpec, rows: int) -> npt.NDArray[Any]:
    return np.full(rows, np.nan) if spec.kind == "float" else np.full(rows, None, dtype=object)


def _fill(
    out: Mapping[str, npt.NDArray[Any]], file: Path, rows: Ints, labels: Ints, specs: Sequence[FeatureSpec]
) -> None:
    present = set(pq.read_schema(file).names)
    here = [spec for spec in specs if spec.name in present]
    table = pq.read_table(file, columns=[spec.name for spec in here], use_threads=False)
    for spec in here:
        column = table[spec.name].cast(STORED[spec.kind])
        if spec.kind == "float":
            out[spec.name][labels] = column.to_numpy()[rows]
        else:
            out[spec.name][labels] = decode(column.take(pa.array(rows)), spec)
