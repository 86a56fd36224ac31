"""Reader of Parquet files of any kind of rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.errors import UnreadableFile
from features.sources.batches import BATCH_BYTES, RawBatch
from features.sources.kinds import ALIASES, RowKind, recognise

MAGIC: Final = b"PAR1"


class ParquetRows:
    """A Parquet file whose columns name a known kind; columns unknown to it are left out and named."""

    def __init__(self, path: Path, kind: RowKind, names: dict[str, str], ignored: tuple[str, ...]) -> None:
        self.kind = kind.name
        self.ignored_columns = ignored
        self._path = path
        self._kind = kind
        self._names = names

    @classmethod
    def open(cls, path: Path) -> ParquetRows | None:
        """A reader, or None where the columns are of no known kind.

        Raises:
            UnreadableFile: the file is damaged.
        """
        try:
            columns = pq.read_schema(path).names
        except (pa.ArrowInvalid, OSError) as error:
            raise _damaged(path, error) from None
        kind = recognise(columns)
        if kind is None:
            return None
        names = {name: ALIASES.get(name, name) for name in columns}
        known = {name: to for name, to in names.items() if to in kind.columns and kind.columns[to] != "unused"}
        return cls(path, kind, known, tuple(n for n, to in names.items() if to not in kind.columns))

    def batches(self, batch_rows: int) -> Iterator[RawBatch]:
        """Streams the rows; a file's row groups are never held whole."""
        try:
            with pq.ParquetFile(self._path, buffer_size=1 << 20, pre_buffer=False) as file:
                total = file.metadata.num_rows
                size = sum(file.metadata.row_group(g).total_byte_size for g in range(file.num_row_groups))
                rows = max(1, min(batch_rows, BATCH_BYTES * total // max(size, 1)))
                first = 1
                for batch in file.iter_batches(rows, columns=list(self._names), use_threads=False):
                    lines = np.arange(first, first + batch.num_rows)
                    first += batch.num_rows
                    columns = {self._names[name]: batch.column(name) for name in batch.schema.names}
                    yield RawBatch(self._kind, columns, lines, fraction=(first - 1) / max(total, 1))
        except (pa.ArrowInvalid, OSError) as error:
            raise _damaged(self._path, error) from None


def _damaged(path: Path, error: Exception) -> UnreadableFile:
    return UnreadableFile(f"{path} is no readable Parquet file ({str(error).splitlines()[0]}); fetch it again")
