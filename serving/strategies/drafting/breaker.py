"""A circuit breaker: stops calls to a server that fails, and lets one through from time to time to see."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Literal

State = Literal["closed", "open", "half-open"]
MOST_DOUBLINGS: Final = 4


class CircuitBreaker:
    """Closed while calls succeed; open for a time after several failures in a row; then half-open for one call.

    Args:
        failures: in a row that open it.
        seconds: that it stays open at first; doubles with each failed probe.
        clock: monotonic seconds.
    """

    def __init__(self, failures: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._seconds, self._clock = failures, seconds, clock
        self._failed = 0
        self._probes = 0
        self._open_until = 0.0
        self._probing_until = 0.0

    @property
    def state(self) -> State:
        """What it does with the next call."""
        if self._clock() < self._open_until:
            return "open"
        return "half-open" if self._failed >= self._most or self._open_until else "closed"

    def allows(self) -> bool:
        """Whether a call may go out now; of a half-open breaker only one at a time."""
        state = self.state
        if state != "half-open":
            return state == "closed"
        if self._clock() < self._probing_until:
            return False
        self._probing_until = self._clock() + self._seconds
        return True

    def succeeded(self) -> None:
        """The server answered as it should."""
        self._failed = self._probes = 0
        self._open_until = self._probing_until = 0.0

    def failed(self, retry_after: float | None = None) -> None:
        """The server failed; where it says for how long, no call goes out before that, or the longest of our own."""
        self._failed += 1
        self._probing_until = 0.0
        now = self._clock()
        if retry_after is not None:
            longest = self._seconds * 2**MOST_DOUBLINGS
            self._open_until = max(self._open_until, now + min(retry_after, longest))
        if self._failed >= self._most:
            self._open_until = max(self._open_until, now + self._seconds * 2 ** min(self._probes, MOST_DOUBLINGS))
            self._probes += 1

    def abandoned(self) -> None:
        """The call that was let through ended without telling anything of the server."""
        self._probing_until = 0.0
