"""Commits of the lake: which Parquet files make it up, and how that changes at once or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import pyarrow as pa

from features.errors import LakeBusy
from features.schemas import INSTANT, TABLES, Table
from features.scratch import clear_dead

QUARANTINE: Final = Table(
    name="quarantine",
    key=("source", "line", "reason", "row"),
    schema=pa.schema(
        [
            ("source", pa.string()),
            ("line", pa.int64()),
            ("reason", pa.string()),
            ("row", pa.string()),
            ("ingested_at", INSTANT),
        ]
    ),
    order_by=("source", "line", "reason", "row"),
)
"""Rows that were refused: file, line (1-based; a row's number in Parquet), why, and the row as JSON text."""

LAKE_TABLES: Final[dict[str, Table]] = {**TABLES, QUARANTINE.name: QUARANTINE}
SPILL: Final = ".spill-"
"""DuckDB's overflow lies in folders of this name and the process that owns it; DuckDB makes no parents."""
KEPT_COMMITS: Final = 64
"""How many past commits keep their files, for readers that opened them."""


@dataclass(frozen=True)
class Part:
    """One Parquet file: its name below the table's folder, its rows, its latest instant (microseconds
    UTC)."""

    file: str
    rows: int
    latest_us: int | None


@dataclass(frozen=True)
class Commit:
    """The state of the lake: every table's parts. Number 0 is the lake before its first commit."""

    number: int = 0
    parts: dict[str, tuple[Part, ...]] = field(default_factory=dict)
    fingerprint: str = hashlib.sha256(b"").hexdigest()

    def of(self, table: str) -> tuple[Part, ...]:
        """The parts of one table, oldest first."""
        return self.parts.get(table, ())

    def dumps(self) -> str:
        """The commit as the JSON text of its file."""
        tree = {name: [asdict(part) for part in parts] for name, parts in sorted(self.parts.items())}
        return json.dumps({"number": self.number, "fingerprint": self.fingerprint, "parts": tree}, indent=1)

    @classmethod
    def loads(cls, text: str) -> Commit:
        """Reads what `dumps` wrote."""
        tree = json.loads(text)
        parts = {name: tuple(Part(**part) for part in listed) for name, listed in tree["parts"].items()}
        return cls(tree["number"], parts, tree["fingerprint"])


def commit_files(root: Path) -> list[Path]:
    """The files of all kept commits, oldest first."""
    return sorted((root / "commits").glob("*.json"))


def read_head(root: Path) -> Commit:
    """The latest commit.

    A reader may be so slow that its file is forgotten between listing and reading; then it looks again.
    """
    while listed := commit_files(root):
        try:
            return Commit.loads(listed[-1].read_text())
        except FileNotFoundError:
            continue
    return Commit()


def clear_leftovers(root: Path) -> None:
    """Removes what dead processes left and what only forgotten commits name; needs the write lock."""
    shutil.rmtree(root / ".staging", ignore_errors=True)
    clear_dead(root, SPILL)
    listed = commit_files(root)
    for old in listed[:-KEPT_COMMITS]:
        old.unlink()
    commits = [Commit.loads(file.read_text()) for file in listed[-KEPT_COMMITS:]]
    for name in LAKE_TABLES:
        named = {part.file for commit in commits for part in commit.of(name)}
        for file in (root / name).glob("*.parquet"):
            if file.name not in named:
                file.unlink()


def publish(root: Path, staging: Path, commit: Commit) -> None:
    """Makes a commit the head, at once or not at all: its parts are in place, then its file appears.

    Raises:
        LakeBusy: someone else published this number, which the lock should have prevented.
    """
    folder = root / "commits"
    folder.mkdir(exist_ok=True)
    draft = staging / "commit.json"
    draft.write_text(commit.dumps())
    sync(draft)
    try:
        os.link(draft, folder / f"{commit.number:010d}.json")
    except FileExistsError:
        raise LakeBusy(f"another process wrote to {root} at the same time; run this again") from None
    sync(folder)


def sync(path: Path) -> None:
    """Waits until a file, or a folder's list of files, is on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
