"""What every reader yields: batches of unchecked rows as Arrow columns, with the line each row came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from features.sources.kinds import Role, RowKind

BATCH_BYTES: Final = 64 << 20
"""A batch of text closes at so many bytes, however few rows it has."""
LONGEST_ROW: Final = 100_000
"""Characters of a refused row that the quarantine keeps."""

_JSON_TYPES: Final[dict[Role, frozenset[type]]] = {
    "id": frozenset((str, int)),
    "text": frozenset((str,)),
    "label": frozenset((str,)),
    "count": frozenset((int, float, str)),
    "real": frozenset((int, float, str)),
    "instant": frozenset((int, float, str)),
    "tags": frozenset((list,)),
    "unused": frozenset((str, int, float, bool, list, dict)),
}
_EXPECTED: Final[dict[Role, str]] = {
    "id": "text",
    "text": "text",
    "label": "text",
    "count": "a number",
    "real": "a number",
    "instant": "a time",
    "tags": "a list of texts",
    "unused": "anything",
}


@dataclass(frozen=True)
class BadRow:
    """A row that could not even be split into columns."""

    line: int
    reason: str
    text: str


@dataclass(frozen=True)
class RawBatch:
    """Unchecked rows of one kind.

    Attributes:
        kind: what the rows are.
        columns: the kind's columns that the file has, each of any Arrow type, all of one length.
        lines: for each row, its 1-based line in the file (in Parquet: its row number).
        faults: column → row index → why the reader refuses that row's value already.
        bad: rows that have no columns at all.
        text: gives the row of an index as it stood in the file; None: the columns are all there is.
        fraction: how much of the file has been read after this batch, 0 to 1.
    """

    kind: RowKind
    columns: dict[str, pa.Array]
    lines: npt.NDArray[np.int64]
    faults: dict[str, dict[int, str]] = field(default_factory=dict)
    bad: tuple[BadRow, ...] = ()
    text: Callable[[int], str] | None = None
    fraction: float = 1.0

    @property
    def rows(self) -> int:
        """Input rows: the good, the bad and the unreadable."""
        return len(self.lines) + len(self.bad)

    def row_text(self, index: int) -> str:
        """One row as JSON text."""
        if self.text is not None:
            return self.text(index)[:LONGEST_ROW]
        row = {name: _value(column, index) for name, column in self.columns.items()}
        return dump({name: value for name, value in row.items() if value is not None})


class Reader(Protocol):
    """A file of a known kind, ready to be read."""

    kind: str
    ignored_columns: tuple[str, ...]

    def batches(self, batch_rows: int) -> Iterator[RawBatch]:
        """Streams the rows, at most `batch_rows` at a time."""
        ...


def dump(value: object) -> str:
    """JSON text of a row, at most `LONGEST_ROW` characters."""
    return orjson.dumps(value, default=str).decode()[:LONGEST_ROW]


def readable(raw: bytes) -> str:
    """Bytes as text; what is no UTF-8, and NUL, is shown as escapes."""
    return raw.decode("utf-8", errors="backslashreplace").replace("\0", "\\x00")[:LONGEST_ROW]


def _value(column: pa.Array, index: int) -> Any:
    """One cell as Python; text that is no UTF-8 shows its bytes as escapes."""
    try:
        value = column[index].as_py()
    except UnicodeDecodeError:
        listed = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
        value = column.slice(index, 1).cast(pa.list_(pa.binary()) if listed else pa.binary())[0].as_py()
    except (ValueError, OverflowError):
        value = str(column[index])
    if isinstance(value, list):
        return [readable(item) if isinstance(item, bytes) else item for item in value]
    return readable(value) if isinstance(value, bytes) else value


def text_array(values: Sequence[str | None]) -> pa.Array:
    """Text as Arrow; where some of it is no Unicode, its bytes, for the checks to find."""
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        raw = [None if v is None else v.encode("utf-8", "surrogateescape") for v in values]
        return pa.array(raw, pa.binary())


def json_columns(
    rows: Sequence[dict[str, Any]], kind: RowKind
) -> tuple[dict[str, pa.Array], dict[str, dict[int, str]]]:
    """The kind's columns of JSON rows, and the values that are of a wrong type.

    Returns:
        columns that any row has, and column → row index → reason.
    """
    columns: dict[str, pa.Array] = {}
    faults: dict[str, dict[int, str]] = {}
    for name, role in kind.columns.items():
        values = [row.get(name) for row in rows]
        if role == "unused" or values.count(None) == len(values):
            continue
        wrong = _wrong(role, values)
        if wrong:
            faults[name] = dict.fromkeys(wrong, f"{name} is not {_EXPECTED[role]}")
            values = [None if index in wrong else value for index, value in enumerate(values)]
        columns[name] = pa.array(values, pa.list_(pa.string())) if role == "tags" else _scalars(role, values)
    return columns, faults


def _wrong(role: Role, values: list[Any]) -> set[int]:
    """Rows whose value is of no type that the role allows."""
    allowed = _JSON_TYPES[role] | {type(None)}
    wrong: set[int] = set()
    if not set(map(type, values)) <= allowed:
        wrong = {index for index, value in enumerate(values) if type(value) not in allowed}
    if role == "tags":
        wrong |= {i for i, tags in enumerate(values) if type(tags) is list and not _all_text(tags)}
    return wrong


def _all_text(tags: list[Any]) -> bool:
    return set(map(type, tags)) <= {str, type(None)}


def _scalars(role: Role, values: list[Any]) -> pa.Array:
    """A column of one Arrow type: numbers where all are, else text that the checks read."""
    found = set(map(type, values)) - {type(None)}
    if found == {int} and role != "id":
        try:
            return pa.array(values, pa.int64())
        except (OverflowError, pa.ArrowInvalid):
            return text_array([None if value is None else str(value) for value in values])
    if found == {float}:
        return pa.array(values, pa.float64())
    return text_array([value if value is None or type(value) is str else str(value) for value in values])
