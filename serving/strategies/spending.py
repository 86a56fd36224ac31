"""What the model has cost today, and drafts that were paid for already: one SQLite file for all processes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

MICRO: Final = 1_000_000
BUSY_SECONDS: Final = 5.0
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS call (id INTEGER PRIMARY KEY, day TEXT NOT NULL, micro_usd INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL DEFAULT 0, output_tokens INTEGER NOT NULL DEFAULT 0,
    settled INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS call_day ON call (day);
CREATE TABLE IF NOT EXISTS draft (key TEXT PRIMARY KEY, body TEXT NOT NULL, until REAL NOT NULL);
"""


@dataclass(frozen=True)
class Spent:
    """What one UTC day has cost; reservations of calls that nobody settled count in full."""

    usd: float
    calls: int
    input_tokens: int
    output_tokens: int


class SpendingLedger:
    """Reserves the most that a call may cost before it is made, so that the budget holds whatever happens after."""

    def __init__(self, path: Path, budget_usd_per_day: float) -> None:
        self._path = path
        self._budget = int(budget_usd_per_day * MICRO)
        self._made = False

    def reserve(self, usd: float, now: datetime) -> int | None:
        """Set money aside for one call; its number, or None where the day's budget does not reach."""
        micro = -int(-usd * MICRO // 1)
        with self._open() as connection:
            connection.execute("BEGIN IMMEDIATE")
            day = now.date().isoformat()
            spent = connection.execute("SELECT coalesce(sum(micro_usd), 0) FROM call WHERE day = ?", (day,)).fetchone()
            if spent[0] + micro > self._budget:
                connection.execute("ROLLBACK")
                return None
            made = connection.execute("INSERT INTO call (day, micro_usd) VALUES (?, ?)", (day, micro))
            connection.execute("COMMIT")
            return made.lastrowid

    def settle(self, call: int, usd: float, input_tokens: int, output_tokens: int) -> None:
        """Replace a reservation by what the call has cost: never more than was set aside."""
        row = (-int(-usd * MICRO // 1), input_tokens, output_tokens, call)
        query = "UPDATE call SET micro_usd = min(micro_usd, ?), input_tokens = ?, output_tokens = ?, settled = 1"
        with self._open() as connection:
            connection.execute(f"{query} WHERE id = ?", row)

    def spent(self, now: datetime) -> Spent:
        """What the UTC day of an instant has cost so far."""
        sums = (f"coalesce(sum({name}), 0)" for name in ("micro_usd", "input_tokens", "output_tokens"))
        query = f"SELECT {', '.join(sums)}, count(*) FROM call WHERE day = ?"
        with self._open() as connection:
            micro, asked, answered, calls = connection.execute(query, (now.date().isoformat(),)).fetchone()
        return Spent(micro / MICRO, calls, asked, answered)

    def cached(self, key: str, now: datetime) -> str | None:
        """The draft that was kept under a key, None where there is none or it is too old."""
        with self._open() as connection:
            query = "SELECT body FROM draft WHERE key = ? AND until > ?"
            row = connection.execute(query, (key, now.timestamp())).fetchone()
        return row[0] if row else None

    def keep(self, key: str, body: str, now: datetime, days: float) -> None:
        """Keep a draft for so many days; drafts whose time is over go."""
        until = (now + timedelta(days=days)).timestamp()
        with self._open() as connection:
            connection.execute("DELETE FROM draft WHERE until <= ?", (now.timestamp(),))
            connection.execute("INSERT OR REPLACE INTO draft VALUES (?, ?, ?)", (key, body, until))

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A connection of its own for each use, from any thread or process."""
        if not self._path.exists():
            self._path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
            if not self._made:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.executescript(_TABLES)
                self._made = True
            yield connection
