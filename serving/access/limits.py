"""Rate limits: a sliding window per caller and scope, counted in the worker, settled with the others in the back."""

from __future__ import annotations

import logging
import math
import sqlite3
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from configs import AuthSettings, RateSettings
from serving.errors import TooManyRequests
from serving.process.remote import redis_client, redis_losses

if TYPE_CHECKING:
    from redis import Redis

log = logging.getLogger(__name__)

MOST_WINDOWS: Final = 50_000
"""Callers that one worker remembers; of more, the oldest start anew."""


class CountsLost(Exception):
    """The shared counts could not be reached."""


class Due(NamedTuple):
    """Requests of one caller in one window that the others do not know of yet."""

    caller: str
    scope: str
    number: int
    seconds: int
    hits: int


class Counts(Protocol):
    """Counts that workers share."""

    def add(self, due: Sequence[Due]) -> list[tuple[int, int]]:
        """Add to the windows; the totals of each one and of the window before it.

        Raises:
            CountsLost: they cannot be reached; some of them may have been added.
        """
        ...


class SqliteCounts:
    """Counts that the workers of one machine share in a file; worth nothing after a power cut, so never flushed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, due: Sequence[Due]) -> list[tuple[int, int]]:
        """See `Counts.add`."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._path, timeout=2, isolation_level=None)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=OFF")
                connection.execute("BEGIN IMMEDIATE")
                totals = self._add(connection, due)
                connection.execute("COMMIT")
                return totals
        except (sqlite3.Error, OSError) as error:
            raise CountsLost(f"the counts in {self._path} cannot be used: {error}") from error

    @staticmethod
    def _add(connection: sqlite3.Connection, due: Sequence[Due]) -> list[tuple[int, int]]:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS counts (caller TEXT, scope TEXT, number INTEGER, seconds INTEGER,"
            " count INTEGER, PRIMARY KEY (caller, scope, seconds, number)) WITHOUT ROWID"
        )
        connection.executemany(
            "INSERT INTO counts VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count", due
        )
        newest = max((d.number + 1) * d.seconds for d in due)
        connection.execute("DELETE FROM counts WHERE (number + 3) * seconds < ?", (newest,))
        read = "SELECT count FROM counts WHERE caller = ? AND scope = ? AND seconds = ? AND number = ?"

        def total(d: Due, number: int) -> int:
            row = connection.execute(read, (d.caller, d.scope, d.seconds, number)).fetchone()
            return int(row[0]) if row else 0

        return [(total(d, d.number), total(d, d.number - 1)) for d in due]


class RedisCounts:
    """Counts that all replicas share; one round trip settles them all, and one caller's keys share one slot."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._redis: Redis | None = None

    def add(self, due: Sequence[Due]) -> list[tuple[int, int]]:
        """See `Counts.add`."""
        try:
            self._redis = self._redis or redis_client(self._address)
            pipe = self._redis.pipeline(transaction=False)
            for d in due:
                pipe.incrby(self._key(d, d.number), d.hits)
                pipe.expire(self._key(d, d.number), 3 * d.seconds)
                pipe.get(self._key(d, d.number - 1))
            said = pipe.execute()
        except redis_losses() as error:
            raise CountsLost(f"Redis does not take the counts: {type(error).__name__}") from error
        return [(int(said[i]), int(said[i + 2] or 0)) for i in range(0, len(said), 3)]

    @staticmethod
    def _key(d: Due, number: int) -> str:
        return f"hb:limit:{{{d.caller}}}:{d.scope}:{d.seconds}:{number}"


@dataclass(slots=True)
class _Window:
    """One caller's present window: what all workers have settled, ours on its way and pending, and the one before."""

    number: int
    settled: int = 0
    sent: int = 0
    pending: int = 0
    before: int = 0

    @property
    def used(self) -> int:
        return self.settled + self.sent + self.pending

    def roll(self, number: int) -> None:
        """Go on to a later window."""
        self.before = self.used if number == self.number + 1 else 0
        self.number, self.settled, self.sent, self.pending = number, 0, 0, 0


class Allowance(NamedTuple):
    """What is left to a caller: requests, for so many seconds until the window ends."""

    requests: int
    seconds: int


class Limiter:
    """Says whether a caller may ask once more.

    A request costs a dictionary look-up and a few sums: no lock between processes and no network. Every
    `settle_seconds` the worker adds what it has let through to the shared counts and learns of the others', so several
    workers together let through at most what they receive in one such pause above the limit. While the shared counts
    are lost, each worker limits by what it sees itself, and settles when they are back.

    The window slides: the last window's count fades out linearly while the present one passes.

    The `limits` library is not used: its in-memory storage starts a thread every 10 ms under load and scans all
    callers in it, and its Redis storage would put a round trip into every request.

    Args:
        rates: by scope; scopes that are absent have no limit.
        counts: what workers share, None where this one is alone.
        settle_seconds: how often to settle.
    """

    def __init__(self, rates: Mapping[str, RateSettings], counts: Counts | None, settle_seconds: float) -> None:
        self._rates = {scope: (rate.requests, rate.seconds) for scope, rate in rates.items()}
        self._counts = counts
        self._settle_seconds = settle_seconds
        self._windows: dict[tuple[str, str], _Window] = {}
        self._late: list[Due] = []
        self._lock = threading.Lock()
        self._cleaned_at = 0.0
        self.losses = 0
        self.degraded = False

    @classmethod
    def of(cls, settings: AuthSettings, folder: Path) -> Limiter:
        """The limiter of these settings; `folder` holds the file that workers of one machine share."""
        counts: Counts | None = None
        if settings.limits.store == "sqlite":
            counts = SqliteCounts(folder / "limits.sqlite")
        elif settings.limits.store == "redis" and settings.redis is not None:
            counts = RedisCounts(settings.redis.get_secret_value())
        return cls(settings.limits.rates, counts, settings.limits.settle_seconds)

    def hit(self, caller: str, scope: str, now: float) -> Allowance | None:
        """Count one request.

        Args:
            caller: who asks; never a credential or a name, since it goes to the shared counts.
            scope: of the route.
            now: seconds since the epoch.

        Returns:
            What is left, None without a limit.

        Raises:
            TooManyRequests: nothing is; it tells when to come back.
        """
        rate = self._rates.get(scope)
        if rate is None:
            return None
        requests, seconds = rate
        number, passed = divmod(now, seconds)
        with self._lock:
            window = self._window(caller, scope, int(number), seconds)
            used = window.settled + window.sent + window.pending
            left = math.floor(requests - used - window.before * (1 - passed / seconds))
            if left < 1:
                wait = _wait(requests, used, window.before, passed / seconds) * seconds
                raise TooManyRequests(f"at most {requests} requests in {seconds} s", max(1, math.ceil(wait)))
            window.pending += 1
        return Allowance(left - 1, math.ceil(seconds - passed))

    def _window(self, caller: str, scope: str, number: int, seconds: int) -> _Window:
        window = self._windows.get((caller, scope))
        if window is None:
            if len(self._windows) >= MOST_WINDOWS:
                self._windows.pop(next(iter(self._windows)))
            window = self._windows[caller, scope] = _Window(number)
        elif number > window.number:
            if window.pending and self._counts is not None:
                self._late.append(Due(caller, scope, window.number, seconds, window.pending))
            window.roll(number)
        return window

    def keep_settled(self) -> None:
        """Settle from a thread until the process ends."""
        threading.Thread(target=self._settle_always, name="rate limits", daemon=True).start()

    def _settle_always(self) -> None:
        while True:
            time.sleep(self._settle_seconds)
            self.settle(time.time())

    def settle(self, now: float) -> None:
        """Add our counts to the shared ones, learn of the others', and forget callers that have gone."""
        self._forget(now)
        if self._counts is None or not (due := self._due()):
            return
        try:
            totals = self._counts.add(due)
        except CountsLost as error:
            self._lost(due, now, error)
            return
        if self.degraded:
            log.info("rate limits are shared again")
        self.degraded = False
        with self._lock:
            for d, (total, before) in zip(due, totals, strict=True):
                window = self._windows.get((d.caller, d.scope))
                if window is not None and window.number == d.number:
                    window.settled, window.sent, window.before = total, 0, max(window.before, before)

    def _due(self) -> list[Due]:
        with self._lock:
            due, self._late = self._late, []
            for (caller, scope), window in self._windows.items():
                if window.pending:
                    due.append(Due(caller, scope, window.number, self._rates[scope][1], window.pending))
                    window.sent, window.pending = window.pending, 0
        return due

    def _lost(self, due: list[Due], now: float, error: CountsLost) -> None:
        if not self.degraded:
            log.warning("%s; until it is back, each worker limits by what it sees itself", error)
        self.degraded = True
        self.losses += 1
        with self._lock:
            for d in due:
                window = self._windows.get((d.caller, d.scope))
                if window is not None and window.number == d.number:
                    window.sent, window.pending = 0, window.pending + d.hits
                elif (d.number + 2) * d.seconds > now:
                    self._late.append(d)

    def _forget(self, now: float) -> None:
        if now - self._cleaned_at < 10:
            return
        self._cleaned_at = now
        with self._lock:
            gone = [k for k, w in self._windows.items() if (w.number + 2) * self._rates[k[1]][1] < now]
            for key in gone:
                del self._windows[key]


def _wait(requests: int, used: int, before: int, passed: float) -> float:
    """Windows until one more request fits, if nobody asks meanwhile."""
    if used < requests:  # the last window has to fade far enough
        return max(0.0, 1 - (requests - used - 1) / before - passed)
    return 1 - passed + max(0.0, 1 - (requests - 1) / used)
