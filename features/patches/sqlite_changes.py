"""Whether anything was committed to a SQLite file since it was last looked at, without a call of the system."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Final

HEADER: Final = 48
"""Bytes of the header of the WAL index (sqlite.org/walformat.html): every commit changes them, after it is durable, and
SQLite itself compares them to know whether its pages are still good."""


class SqliteChanges:
    """Of one file in write-ahead mode, whichever process writes.

    Args:
        path: of the database. Whoever asks keeps a connection to it open that has read before the first call: while
            there is one, SQLite does not take its index away.
    """

    def __init__(self, path: Path) -> None:
        self._index = path.with_name(f"{path.name}-shm")
        self._header: mmap.mmap | None = None

    def mark(self) -> bytes | None:
        """Stays the same until something is committed; None where nobody can tell."""
        if self._header is None:
            try:
                with self._index.open("rb") as index:
                    self._header = mmap.mmap(index.fileno(), HEADER, access=mmap.ACCESS_READ)
            except (OSError, ValueError):  # there is none, or it is empty
                return None
        return self._header[:HEADER]
