"""Strategies that were paid for, with what the check found: by everything that they follow from, for a few days."""

from __future__ import annotations

import logging
import sqlite3
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from serving.strategies.drafting.shared_file import SharedFile

log = logging.getLogger(__name__)
BUSY_SECONDS: Final = 2.0
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS strategy (key TEXT PRIMARY KEY, body TEXT NOT NULL, kept REAL NOT NULL, until REAL NOT NULL);
CREATE INDEX IF NOT EXISTS strategy_kept ON strategy (kept);
"""


class StrategyCache:
    """One SQLite file for all processes of a state folder; it survives them.

    A key must hold everything that the strategy follows from, the creator included: what lies under another creator's
    key is never answered. A file that cannot be used is as good as an empty one.

    Args:
        most: entries; the oldest make room.
        days: that an entry is good for.
    """

    def __init__(self, path: Path, most: int, days: float) -> None:
        self._file = SharedFile(path, _TABLES, BUSY_SECONDS)
        self._most, self._days = most, days

    def get(self, key: str, now: datetime) -> str | None:
        """What was kept under a key, None where there is nothing or it is too old."""
        try:
            with self._file.open() as connection:
                query = "SELECT body FROM strategy WHERE key = ? AND until > ?"
                row = connection.execute(query, (key, now.timestamp())).fetchone()
        except sqlite3.Error as error:
            log.warning("the cache of strategies cannot be read: %s", error)
            return None
        return row[0] if row else None

    def keep(self, key: str, body: str, now: datetime) -> None:
        """Keep a strategy; those whose time is over, and the oldest beyond the bound, go."""
        until = (now + timedelta(days=self._days)).timestamp()
        try:
            with self._file.open() as connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("DELETE FROM strategy WHERE until <= ?", (now.timestamp(),))
                connection.execute(
                    "INSERT OR REPLACE INTO strategy VALUES (?, ?, ?, ?)", (key, body, now.timestamp(), until)
                )
                over = "SELECT key FROM strategy ORDER BY kept DESC, key LIMIT -1 OFFSET ?"
                connection.execute(f"DELETE FROM strategy WHERE key IN ({over})", (self._most,))
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            log.warning("a strategy cannot be kept: %s", error)
