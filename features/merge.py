"""The lake's writer: stages rows, drops the ones whose key is known, and publishes the rest in one commit.

Rows wait in Parquet files inside the lake; de-duplication and sorting run in DuckDB over those files and
spill below the lake, so that memory stays bounded however many rows come.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.parquet as pq

from features.commits import LAKE_TABLES, QUARANTINE, Commit, Part, publish, read_head, sync
from features.errors import FeatureError
from features.scan import connect, pattern, quoted, select
from features.schemas import Table

if TYPE_CHECKING:
    import duckdb

INPUT_ROW: Final = "_row"
"""The staged column that says which input row a row came from."""
CLOCKS: Final = ("create_time", "observed_at", "occurred_at")
SMALL_PART_ROWS: Final = 100_000
SMALL_PARTS: Final = 32
"""So many small parts of a table are merged into one by the commit that would add another."""


@dataclass(frozen=True)
class Committed:
    """What an append did.

    Attributes:
        new: rows added, per table that was given any.
        new_inputs: for each group of input rows, how many of them added a row to any table, the
            quarantine apart.
    """

    new: dict[str, int]
    new_inputs: list[int]


class LakeWriter:
    """Stages batches and commits them once; made by `Lake.writer`, which holds the lock.

    Args:
        root: the lake.
        staging: an empty folder inside it, for this writer alone.
        memory_limit: what DuckDB may hold before it spills.
    """

    def __init__(self, root: Path, staging: Path, memory_limit: str) -> None:
        self._root = root
        self._staging = staging
        self._memory_limit = memory_limit
        self._head = read_head(root)
        self._connection = connect(root, self._head, memory_limit)
        self._files: dict[str, pq.ParquetWriter] = {}
        self._staged_rows = 0

    def __enter__(self) -> LakeWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for writer in self._files.values():
            writer.close()
        self._connection.close()

    def stage(self, table: str, rows: pa.RecordBatch | pa.Table) -> None:
        """Adds rows of one table to the commit in hand.

        Args:
            table: a name of `LAKE_TABLES`.
            rows: columns of its schema, any of them missing; `_row` (int64) is the input row each came from,
                unique within the table. Rows without it count as one input row each.
        """
        schema = LAKE_TABLES[table].schema
        if INPUT_ROW not in rows.schema.names:
            numbers = pa.array(range(self._staged_rows, self._staged_rows + rows.num_rows), pa.int64())
            rows = rows.append_column(INPUT_ROW, numbers)
        self._staged_rows += rows.num_rows
        if rows.num_rows == 0:
            return
        staged = schema.append(pa.field(INPUT_ROW, pa.int64()))
        columns = [_column(rows, name, kind) for name, kind in zip(staged.names, staged.types, strict=True)]
        for name in LAKE_TABLES[table].key:
            if columns[staged.get_field_index(name)].null_count:
                raise ValueError(f"{table}.{name} is part of the key and must not be null")
        self._file(table, staged).write_table(pa.table(columns, schema=staged))

    def commit(self, groups: Sequence[int] = (0,)) -> Committed:
        """Publishes every staged row whose key is new, over all tables at once.

        Args:
            groups: the first input row of each group that is counted on its own, ascending from 0.

        Raises:
            FeatureError: DuckDB could not work within its memory limit.
        """
        import duckdb

        for writer in self._files.values():
            writer.close()
        try:
            return self._commit(groups)
        except duckdb.OutOfMemoryException:
            raise FeatureError(
                f"{self._memory_limit} of memory is too little for this; raise HARMONIC_LAKE__MEMORY_LIMIT"
            ) from None

    def _commit(self, groups: Sequence[int]) -> Committed:
        new = {name: self._find_new(LAKE_TABLES[name]) for name in self._files}
        inputs = self._count_inputs([name for name, rows in new.items() if rows], groups)
        added = {name: self._write(LAKE_TABLES[name]) for name, rows in new.items() if rows}
        if added:
            self._publish(added)
        return Committed(new, inputs)

    def _file(self, table: str, schema: pa.Schema) -> pq.ParquetWriter:
        if table not in self._files:
            path = self._staging / f"{table}.parquet"
            self._files[table] = pq.ParquetWriter(path, schema, compression="snappy")
        return self._files[table]

    def _find_new(self, table: Table) -> int:
        """Fills the temporary table `new_<name>` with the input rows to keep; returns how many they are."""
        keys = ", ".join(f'"{name}"' for name in table.key)
        order = ", ".join([name for name in CLOCKS[1:] if name in table.schema.names] + [INPUT_ROW])
        staged = f"read_parquet({pattern(self._staging / f'{table.name}.parquet')})"
        fresh = staged
        if self._head.of(table.name):
            known = f'(SELECT {keys} FROM "{table.name}" SEMI JOIN {staged} USING ({keys}))'
            fresh = f"(SELECT * FROM {staged} ANTI JOIN {known} USING ({keys}))"
        self._connection.execute(
            f"""CREATE TEMP TABLE "new_{table.name}" AS SELECT {INPUT_ROW} FROM {fresh}
            QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY {order}) = 1"""
        )
        return _count(self._connection, f'SELECT count(*) FROM "new_{table.name}"')

    def _count_inputs(self, tables: list[str], groups: Sequence[int]) -> list[int]:
        parts = [f'SELECT {INPUT_ROW} FROM "new_{name}"' for name in tables if name != QUARANTINE.name]
        if not parts:
            return [0] * len(groups)
        firsts = ", ".join(f"({number}, {first})" for number, first in enumerate(groups))
        found = self._connection.execute(
            f"""SELECT g.number, count(*) FROM ({" UNION ".join(parts)}) r
            ASOF JOIN (VALUES {firsts}) g(number, first) ON r.{INPUT_ROW} >= g.first GROUP BY g.number"""
        ).fetchall()
        counted = dict(found)
        return [counted.get(number, 0) for number in range(len(groups))]

    def _write(self, table: Table) -> tuple[Part, ...]:
        """Writes the table's new rows as one part; returns its parts from now on."""
        staged = [self._staging / f"{table.name}.parquet"]
        rows = f'{select(table, staged)} SEMI JOIN "new_{table.name}" USING ({INPUT_ROW})'
        kept = self._head.of(table.name)
        small = [part for part in kept if part.rows < SMALL_PART_ROWS]
        if len(small) >= SMALL_PARTS:
            kept = tuple(part for part in kept if part.rows >= SMALL_PART_ROWS)
            files = [self._root / table.name / part.file for part in small]
            rows = f"{rows} UNION ALL {select(table, files)}"
        return *kept, self._write_part(table, rows)

    def _write_part(self, table: Table, rows: str) -> Part:
        draft = self._staging / f"new-{table.name}.parquet"
        order = ", ".join(f'"{name}"' for name in table.order_by)
        self._connection.execute(
            f"""COPY (SELECT * FROM ({rows}) ORDER BY {order}) TO {quoted(str(draft))}
            (FORMAT parquet, COMPRESSION zstd)"""
        )
        clocks = [f'max("{name}")' for name in CLOCKS if name in table.schema.names] or ["NULL::TIMESTAMPTZ"]
        count, latest_us = self._connection.execute(
            f"SELECT count(*), epoch_us(greatest({', '.join(clocks)})) FROM read_parquet({pattern(draft)})"
        ).fetchall()[0]
        with draft.open("rb") as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
        name = f"part-{self._head.number + 1:010d}-{digest[:16]}.parquet"
        folder = self._root / table.name
        folder.mkdir(exist_ok=True)
        sync(draft)
        os.replace(draft, folder / name)  # noqa: PTH105
        sync(folder)
        return Part(name, count, latest_us)

    def _publish(self, added: dict[str, tuple[Part, ...]]) -> None:
        told = sorted(parts[-1].file for name, parts in added.items() if name != QUARANTINE.name)
        mark = self._head.fingerprint
        if told:
            mark = hashlib.sha256("\n".join([mark, *told]).encode()).hexdigest()
        commit = Commit(self._head.number + 1, {**self._head.parts, **added}, mark)
        sync(self._root)
        publish(self._root, self._staging, commit)
        self._head = commit


def _column(rows: pa.RecordBatch | pa.Table, name: str, kind: pa.DataType) -> pa.Array | pa.ChunkedArray:
    """The column as its contract types it, or nulls; instants are cut to microseconds."""
    if name not in rows.schema.names:
        return pa.nulls(rows.num_rows, kind)
    return rows.column(name).cast(kind, safe=not pa.types.is_timestamp(kind))


def _count(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    found = connection.execute(query).fetchone()
    return int(found[0]) if found else 0
