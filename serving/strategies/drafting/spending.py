"""What the model has cost, one request and one day: one SQLite file for all processes of a state folder."""

from __future__ import annotations

import logging
import sqlite3
import threading
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from serving.strategies.drafting.shared_file import SharedFile

log = logging.getLogger(__name__)
MICRO: Final = 1_000_000
BUSY_SECONDS: Final = 5.0
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS call (id INTEGER PRIMARY KEY, day TEXT NOT NULL, micro_usd INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL DEFAULT 0, output_tokens INTEGER NOT NULL DEFAULT 0,
    settled INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS call_day ON call (day);
"""


@dataclass(frozen=True)
class Spent:
    """What one UTC day has cost; reservations of calls that nobody settled count in full."""

    usd: float
    calls: int
    input_tokens: int
    output_tokens: int


def micro_of(usd: float) -> int:
    """Millionths of a dollar, rounded up: what is counted is never less than what was spent."""
    return -int(-usd * MICRO // 1)


class SpendingLedger:
    """Reserves the most that a call may cost before it is made, so that the budget holds whatever happens after."""

    def __init__(self, path: Path, budget_usd_per_day: float) -> None:
        self._file = SharedFile(path, _TABLES, BUSY_SECONDS)
        self._budget = int(budget_usd_per_day * MICRO)

    def reserve(self, usd: float, now: datetime) -> int | None:
        """Set money aside for one call; its number, or None where the day's budget does not reach."""
        micro = micro_of(usd)
        with self._file.open() as connection:
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
        """Replace a reservation by what the call has cost, even where that is more than was set aside."""
        row = (micro_of(usd), input_tokens, output_tokens, call)
        query = "UPDATE call SET micro_usd = ?, input_tokens = ?, output_tokens = ?, settled = 1"
        with self._file.open() as connection:
            connection.execute(f"{query} WHERE id = ?", row)

    def reaches(self, usd: float, now: datetime) -> bool:
        """Whether the day's budget would reach for so much."""
        return micro_of(self.spent(now).usd) + micro_of(usd) <= self._budget

    def spent(self, now: datetime) -> Spent:
        """What the UTC day of an instant has cost so far."""
        sums = (f"coalesce(sum({name}), 0)" for name in ("micro_usd", "input_tokens", "output_tokens"))
        query = f"SELECT {', '.join(sums)}, count(*) FROM call WHERE day = ?"
        with self._file.open() as connection:
            micro, asked, answered, calls = connection.execute(query, (now.date().isoformat(),)).fetchone()
        return Spent(micro / MICRO, calls, asked, answered)


class Account:
    """What one request may cost and has cost: within its own limit and within the day's.

    A ledger that cannot be used has no budget left. May be asked from any thread.

    Args:
        limit_usd: for all calls of the request together.
        now: when it was asked, UTC; the day whose budget it is charged to.
    """

    def __init__(self, ledger: SpendingLedger, limit_usd: float, now: datetime) -> None:
        self._ledger, self._limit, self._now = ledger, int(limit_usd * MICRO), now
        self._charged: dict[int, int] = {}
        self._tokens = (0, 0)
        self._lock = threading.Lock()

    def reaches(self, usd: float) -> bool:
        """Whether the budgets would reach for so much now; nothing is set aside."""
        with self._lock:
            if sum(self._charged.values()) + micro_of(usd) > self._limit:
                return False
            try:
                return self._ledger.reaches(usd, self._now)
            except sqlite3.Error:
                return False

    def reserve(self, usd: float) -> int | None:
        """Set money aside for one call; its number, or None where one of the budgets does not reach."""
        with self._lock:
            if sum(self._charged.values()) + micro_of(usd) > self._limit:
                return None
            try:
                call = self._ledger.reserve(usd, self._now)
            except sqlite3.Error as error:
                log.error("the ledger of spending cannot be used: %s", error)
                return None
            if call is not None:
                self._charged[call] = micro_of(usd)
            return call

    def settle(self, call: int, usd: float, input_tokens: int, output_tokens: int) -> None:
        """Replace a reservation by what the call has cost; where that cannot be written, it counts in full."""
        with self._lock:
            try:
                self._ledger.settle(call, usd, input_tokens, output_tokens)
            except sqlite3.Error as error:
                log.error("a call could not be settled, and counts in full: %s", error)
                return
            if (over := micro_of(usd) - self._charged[call]) > 0:
                log.warning("a call has cost %.6f USD more than was set aside for it", over / MICRO)
            self._charged[call] = micro_of(usd)
            self._tokens = self._tokens[0] + input_tokens, self._tokens[1] + output_tokens

    @property
    def spent(self) -> Spent:
        """What the request has cost so far; calls that nobody settled count in full."""
        asked, answered = self._tokens
        return Spent(sum(self._charged.values()) / MICRO, len(self._charged), asked, answered)
