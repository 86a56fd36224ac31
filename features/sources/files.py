"""Files and folders: finds the metrics files and picks the reader by what is in them, not by name."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import orjson

from features.errors import UnreadableFile
from features.sources.batches import Reader
from features.sources.csv_rows import CsvRows
from features.sources.export import AccountExport, is_export
from features.sources.feed import FeedPages, is_page
from features.sources.json_rows import JsonRows, parse_object
from features.sources.kinds import recognise
from features.sources.lines import LineFile, damage_told
from features.sources.parquet_rows import MAGIC, ParquetRows

PEEKED_LINES: Final = 100
PEEKED_BYTES: Final = 1 << 20
"""So much of a file of JSON lines decides, by its keys, what the file holds."""
KNOWN: Final = (
    "videos, video or creator metrics, trend snapshots and feedback (Parquet, CSV, JSON lines), feed pages, "
    "a weekly sound chart, TikTok's account export"
)


def find_files(paths: Iterable[Path], without: Path) -> list[tuple[Path, bool]]:
    """Every file to look at, once, with whether it was named itself; folders are walked in sorted order.

    Args:
        paths: files and folders; hidden files of a folder are left out.
        without: a folder whose files are left out.

    Raises:
        UnreadableFile: a path does not exist, or is neither file nor folder.
    """
    found: dict[Path, bool] = {}
    for path in paths:
        whole = path.expanduser().resolve()
        if whole.is_dir():
            for file in sorted(whole.rglob("*")):
                if file.is_file() and not _hidden(file.relative_to(whole)) and without not in file.parents:
                    found.setdefault(file, False)
        elif whole.is_file():
            found[whole] = True
        else:
            what = "is neither a file nor a folder" if whole.exists() else "does not exist"
            raise UnreadableFile(f"{path} {what}; check the path")
    return list(found.items())


def open_reader(path: Path) -> Reader | None:
    """The reader of a file, or None where it is of no known kind.

    Raises:
        UnreadableFile: the file cannot be read, or is damaged.
    """
    with damage_told(path):
        with path.open("rb") as handle:
            if handle.read(4) == MAGIC:
                return ParquetRows.open(path)
        return _open_text(path)


def _open_text(path: Path) -> Reader | None:
    peeked = _peek(path)
    first = peeked[0].strip() if peeked else b""
    if not first.startswith(b"{"):
        return CsvRows.open(path) if first else None
    if first.endswith((b"{", b"[", b",", b":")) or len(first) >= PEEKED_BYTES:
        export = _open_export(path)
        if export is not None:
            return export
    objects = [row for line in peeked if (row := parse_object(line)[0]) is not None]
    if len(objects) == 1 and is_export(objects[0]):
        return AccountExport(objects[0])
    if any(is_page(row) for row in objects):
        return FeedPages(path)
    kind = recognise({name for row in objects for name in row})
    return JsonRows(path, kind) if kind is not None else None


def _peek(path: Path) -> list[bytes]:
    """The first lines that are not blank."""
    peeked: list[bytes] = []
    size = 0
    with LineFile(path) as lines:
        for line in lines:
            if line.strip():
                peeked.append(line)
                size += len(line)
            if len(peeked) >= PEEKED_LINES or size >= PEEKED_BYTES:
                break
    return peeked


def _open_export(path: Path) -> AccountExport | None:
    """The file as one JSON document, which may be written over many lines."""
    with LineFile(path) as lines:
        raw = lines.read_all()
    try:
        document: Any = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return AccountExport(document) if isinstance(document, dict) and is_export(document) else None


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
