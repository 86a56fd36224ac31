"""Reader of CSV files of any kind of rows, plain or gzipped, with a header line; `;`, tab and `|` separate, too."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.errors import UnreadableFile
from features.sources.batches import BATCH_BYTES, BadRow, RawBatch, dump, text_array
from features.sources.kinds import ALIASES, RowKind, recognise
from features.sources.lines import LineFile

SEPARATORS: Final = (",", ";", "\t", "|")
"""Of columns, tried in this order: spreadsheets of many countries write `;`."""


class CsvRows:
    """A CSV file whose header names a known kind; columns unknown to it are left out and named."""

    def __init__(self, path: Path, kind: RowKind, header: list[str], separator: str) -> None:
        self.kind = kind.name
        self.ignored_columns = tuple(name for name in header if name not in kind.columns)
        self._path = path
        self._kind = kind
        self._header = header
        self._separator = separator

    @classmethod
    def open(cls, path: Path) -> CsvRows | None:
        """A reader, or None where the header is of no known kind.

        Raises:
            UnreadableFile: the header names a column twice.
        """
        for separator in SEPARATORS:
            header = read_header(path, separator)
            kind = recognise(header)
            if kind is None:
                continue
            if len(set(header)) < len(header):
                raise UnreadableFile(f"{path} names a column twice in its header; give every column its own name")
            return cls(path, kind, header, separator)
        return None

    def batches(self, batch_rows: int) -> Iterator[RawBatch]:
        """Streams the records; an empty cell is unknown."""
        with LineFile(self._path) as lines:
            records = _Records(lines, len(self._header), self._separator)
            kept = _Kept()
            for kept_record in records:
                kept.take(kept_record)
                if kept.rows >= batch_rows or records.size >= BATCH_BYTES:
                    yield self._batch(kept, lines.fraction())
                    kept, records.size = _Kept(), 0
            yield self._batch(kept, 1.0)

    def _batch(self, kept: _Kept, fraction: float) -> RawBatch:
        turned = list(zip(*kept.cells, strict=True)) if kept.cells else [()] * len(self._header)
        columns = {
            name: _blank_unknown(text_array(column))
            for name, column in zip(self._header, turned, strict=True)
            if self._kind.columns.get(name, "unused") != "unused"
        }
        return RawBatch(
            self._kind,
            columns,
            np.array(kept.lines, dtype=np.int64),
            bad=tuple(kept.bad),
            text=lambda index: dump(dict(zip(self._header, map(_shown, kept.cells[index]), strict=True))),
            fraction=fraction,
        )


@dataclass(frozen=True)
class _Record:
    line: int
    cells: list[str]
    reason: str = ""


@dataclass
class _Kept:
    """The records of the batch in hand."""

    cells: list[list[str]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return len(self.cells) + len(self.bad)

    def take(self, record: _Record) -> None:
        if record.reason:
            self.bad.append(BadRow(record.line, record.reason, dump([_shown(cell) for cell in record.cells])))
        else:
            self.cells.append(record.cells)
            self.lines.append(record.line)


class _Records:
    """Records below the header, each with the line it begins on; `size` counts the bytes read.

    A quote that is never closed swallows lines until the next quote, or to the end. That is no CSV, or
    has a wrong number of fields: then its first line alone is refused, and the others are read again.
    """

    def __init__(self, lines: LineFile, fields: int, separator: str) -> None:
        self.size = 0
        self._separator = separator
        self._file = lines
        self._fields = fields
        self._source = iter(lines)
        self._again: deque[tuple[int, str]] = deque()
        self._taken: list[tuple[int, str]] = []

    def __iter__(self) -> Iterator[_Record]:
        next(self._reader(), None)
        reader = self._reader()
        while True:
            self._taken.clear()
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield self._refuse_line(f"broken CSV ({error})")
                reader = self._reader()
                continue
            if cells and len(cells) != self._fields and len(self._taken) > 1:
                yield self._refuse_line("a quote that is not closed")
                reader = self._reader()
            elif cells:
                yield _Record(self._taken[0][0], cells, self._misfit(cells))

    def _reader(self) -> Iterator[list[str]]:
        return csv.reader(self._feed(), delimiter=self._separator, strict=True)

    def _misfit(self, cells: list[str]) -> str:
        return "" if len(cells) == self._fields else f"{len(cells)} fields where the header has {self._fields}"

    def _feed(self) -> Iterator[str]:
        while True:
            if self._again:
                line = self._again.popleft()
            else:
                raw = next(self._source, None)
                if raw is None:
                    return
                self.size += len(raw)
                line = (self._file.line, raw.decode("utf-8", "surrogateescape"))
            self._taken.append(line)
            yield line[1]

    def _refuse_line(self, reason: str) -> _Record:
        """Gives up the first line of the record in hand; the others are read again."""
        line, text = self._taken[0]
        self._again.extendleft(reversed(self._taken[1:]))
        return _Record(line, [text.rstrip("\r\n")], reason)


def read_header(path: Path, separator: str = ",") -> list[str]:
    """The names in the first line, in the contract's spelling; empty where it is no CSV header."""
    with LineFile(path) as lines:
        first = next(iter(lines), b"")
    try:
        header = next(csv.reader([first.decode("utf-8")], delimiter=separator), [])
    except (UnicodeDecodeError, csv.Error):
        return []
    return [ALIASES.get(name.strip(), name.strip()) for name in header]


def _blank_unknown(cells: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(pc.binary_length(cells), 0), None, cells)


def _shown(cell: str) -> str:
    """A cell as JSON can hold it."""
    return cell.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
