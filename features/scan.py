"""SQL over the files of one commit: a connection with a typed view per table."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from features.commits import LAKE_TABLES, SPILL, Commit
from features.schemas import INSTANT, Table
from features.scratch import scratch_path

if TYPE_CHECKING:
    import duckdb

_SQL_TYPES: Final = {
    pa.string(): "VARCHAR",
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
    INSTANT: "TIMESTAMPTZ",
    pa.list_(pa.string()): "VARCHAR[]",
}
_POSTS: Final = """
CREATE VIEW posts AS
SELECT v.*, least(v.observed_at, m.first_at) AS first_seen_at
FROM videos v LEFT JOIN (SELECT id, min(observed_at) AS first_at FROM video_metrics GROUP BY id) m USING (id)
{where}
"""


def connect(
    root: Path, commit: Commit, memory_limit: str, posts_after: datetime | None = None
) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB connection whose views show one commit; `posts` only those created after an instant."""
    import duckdb

    connection = duckdb.connect()
    spill = scratch_path(root, SPILL)
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET preserve_insertion_order = false")
    connection.execute(f"SET memory_limit = {quoted(memory_limit)}")
    connection.execute(f"SET temp_directory = {quoted(str(spill))}")
    for table in LAKE_TABLES.values():
        files = [root / table.name / part.file for part in commit.of(table.name)]
        connection.execute(f'CREATE VIEW "{table.name}" AS {select(table, files)}')
    where = f"WHERE v.create_time > {quoted(posts_after.isoformat())}::TIMESTAMPTZ" if posts_after else ""
    connection.execute(_POSTS.format(where=where))
    return connection


def select(table: Table, files: list[Path]) -> str:
    """SQL that reads the rows of these files, or typed nothing where there are none."""
    if files:
        names = ", ".join(f'"{name}"' for name in table.schema.names)
        return f"SELECT {names} FROM read_parquet([{', '.join(map(pattern, files))}])"
    empty = (f'NULL::{_SQL_TYPES[column.type]} AS "{column.name}"' for column in table.schema)
    return f"SELECT {', '.join(empty)} WHERE false"


def quoted(text: str) -> str:
    """A SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def pattern(file: Path) -> str:
    """A SQL literal that matches this file only: DuckDB takes every file name for a glob."""
    return quoted("".join(f"[{c}]" if c in "[*?" else c for c in str(file)))
