"""The latest row of each key: what belongs online."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.views import CREATED_AT, EVENT_AT, EVENT_US, ViewSpec


def latest_rows(view: ViewSpec, files: Sequence[Path], as_of: datetime) -> pa.Table:
    """The latest stored row of each key at an instant, without those beyond their ttl by then.

    Args:
        view: whose rows the files hold.
        files: as `OfflineFiles` writes them.
        as_of: an aware instant.

    Returns:
        Rows with the columns of `codec.encode`, sorted by key.
    """
    columns = ", ".join(f'"{name}"' for name in (view.key, EVENT_AT, CREATED_AT, EVENT_US, *view.names))
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        found = connection.sql(
            f"""
            SELECT {columns} FROM read_parquet($files, union_by_name = true, filename = true)
            WHERE {EVENT_AT} BETWEEN $oldest AND $as_of
            QUALIFY row_number() OVER (
                PARTITION BY "{view.key}" ORDER BY {EVENT_AT} DESC, {CREATED_AT} DESC, filename DESC
            ) = 1
            ORDER BY "{view.key}"
            """,
            params={"files": [str(file) for file in files], "oldest": as_of - view.ttl, "as_of": as_of},
        )
        return found.to_arrow_table()


def latest_of_each_key(view: ViewSpec, rows: pa.Table) -> pa.Table:
    """The last row of each key of a table sorted by key and instant."""
    keys = rows[view.key].combine_chunks()
    last = np.append(pc.not_equal(keys[1:], keys[:-1]).to_numpy(zero_copy_only=False), True)
    return rows.filter(pa.array(last))
