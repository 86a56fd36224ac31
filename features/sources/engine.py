"""The DuckDB that parses columns of text: one per process, in UTC."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    import duckdb


def per_text(texts: pa.Array, expression: str) -> pa.Array:
    """The value of a SQL expression over `text`, for each text in order.

    Args:
        texts: strings, or null.
        expression: SQL that names the column `text`.
    """
    rows = pa.table({"row": pa.array(range(len(texts)), pa.int64()), "text": texts})
    with _database().cursor() as connection:
        connection.register("texts", rows)
        found = connection.sql(f"SELECT {expression} AS value FROM texts ORDER BY row").to_arrow_table()
        connection.unregister("texts")
    column = found.column("value")
    return column.combine_chunks() if len(rows) else pa.array([], column.type)


@lru_cache(maxsize=1)
def _database() -> duckdb.DuckDBPyConnection:
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    return connection
