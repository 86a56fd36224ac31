"""One SQLite file that several processes write: opened for each use, made where it is missing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


class SharedFile:
    """A database below a state folder.

    Args:
        tables: statements that make what is missing.
        busy_seconds: to wait for another process.
    """

    def __init__(self, path: Path, tables: str, busy_seconds: float) -> None:
        self._path, self._tables, self._busy_seconds = path, tables, busy_seconds
        self._made = False

    @contextmanager
    def open(self) -> Iterator[sqlite3.Connection]:
        """A connection of its own for each use, from any thread or process; it begins no transaction by itself.

        Raises:
            sqlite3.Error: the file cannot be used.
        """
        try:
            if not self._path.exists():
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._made = False
        except OSError as error:
            raise sqlite3.OperationalError(f"its folder cannot be used: {error.strerror}") from error
        with closing(sqlite3.connect(self._path, timeout=self._busy_seconds, isolation_level=None)) as connection:
            if not self._made:
                self._make(connection)
            yield connection

    def _make(self, connection: sqlite3.Connection) -> None:
        """One process at a time: SQLite does not wait for another one that changes the journal's mode."""
        try:
            with FileLock(self._path.with_name(f"{self._path.name}.lock"), timeout=self._busy_seconds):
                connection.execute("PRAGMA journal_mode=WAL")
                connection.executescript(self._tables)
                self._path.chmod(0o600)  # it tells of creators, or of money
        except (Timeout, OSError) as error:
            raise sqlite3.OperationalError(f"it cannot be made: {error}") from error
        self._made = True
