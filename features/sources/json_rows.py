"""Reader of JSON lines, plain or gzipped, one row a line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from features.sources.batches import BATCH_BYTES, BadRow, RawBatch, json_columns, readable
from features.sources.kinds import ALIASES, RowKind
from features.sources.lines import LONGEST_LINE, LineFile


class JsonRows:
    """Lines that are JSON objects of one kind; a line with an unknown key is a bad row."""

    ignored_columns: tuple[str, ...] = ()

    def __init__(self, path: Path, kind: RowKind) -> None:
        self.kind = kind.name
        self._path = path
        self._kind = kind

    def batches(self, batch_rows: int) -> Iterator[RawBatch]:
        """Streams the rows; blank lines are no rows."""
        with LineFile(self._path) as lines:
            kept = _Kept(self._kind)
            for line in lines:
                if not line.strip():
                    continue
                kept.take(line, lines.line)
                if kept.rows >= batch_rows or kept.size >= BATCH_BYTES:
                    yield kept.close(lines.fraction())
                    kept = _Kept(self._kind)
            yield kept.close(1.0)


class _Kept:
    """The rows of the batch in hand."""

    def __init__(self, kind: RowKind) -> None:
        self.size = 0
        self._kind = kind
        self._known = frozenset(kind.columns)
        self._parsed: list[dict[str, Any]] = []
        self._raw: list[bytes] = []
        self._lines: list[int] = []
        self._bad: list[BadRow] = []

    @property
    def rows(self) -> int:
        return len(self._parsed) + len(self._bad)

    def take(self, line: bytes, number: int) -> None:
        self.size += len(line)
        row, reason = parse_object(line)
        if row is not None:
            row = renamed(row) if not row.keys() <= self._known else row
            unknown = row.keys() - self._known
            reason = f"unknown column {', '.join(sorted(unknown))}" if unknown else ""
        if row is None or reason:
            self._bad.append(BadRow(number, reason, readable(line.strip())))
            return
        self._parsed.append(row)
        self._raw.append(line)
        self._lines.append(number)

    def close(self, fraction: float) -> RawBatch:
        columns, faults = json_columns(self._parsed, self._kind)
        raw = self._raw
        return RawBatch(
            self._kind,
            columns,
            np.array(self._lines, dtype=np.int64),
            faults,
            tuple(self._bad),
            lambda index: readable(raw[index].strip()),
            fraction,
        )


def renamed(row: dict[str, Any]) -> dict[str, Any]:
    """The row with TikTok's other spellings put right."""
    return {ALIASES.get(name, name): value for name, value in row.items()}


def parse_object(line: bytes) -> tuple[dict[str, Any] | None, str]:
    """The JSON object of one line, or None and what is wrong with the line."""
    if len(line) >= LONGEST_LINE:
        return None, f"the line is longer than {LONGEST_LINE >> 20} MB"
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return None, _why(line, error)
    if not isinstance(value, dict):
        return None, "the line is JSON, but no object"
    return value, ""


def _why(line: bytes, error: orjson.JSONDecodeError) -> str:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as fault:
        return f"undecodable text (not UTF-8 at byte {fault.start + 1})"
    if b"\0" in line:
        return "NUL byte in the line"
    return f"broken JSON line ({error.msg} at character {error.pos + 1})"
