"""Why there is no draft of the model, and until when one may still come."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from serving.errors import ServingError


class VertexFault(ServingError):
    """No usable draft; `reason` is one of: down, refused, open, budget, too long, deadline, blocked, empty, cut off,
    unreadable, ungrounded. Who asks for one strategy never meets it: the deterministic writer takes over."""

    status = 503
    title = "The model does not answer"

    def __init__(self, reason: str, detail: str, code: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.code, self.retry_after = reason, code, retry_after

    @property
    def is_transient(self) -> bool:
        """Whether the same call may work soon."""
        return self.reason == "down"


@dataclass(frozen=True)
class Deadline:
    """An instant of the monotonic clock."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """So many seconds from now."""
        return cls(time.monotonic() + seconds)

    @property
    def seconds(self) -> float:
        """That are left, at least 0."""
        return max(0.0, self.at - time.monotonic())


def retry_after(told: str | None) -> float | None:
    """Seconds that a Retry-After header asks for, as a number or a date; None where it says neither."""
    if told is None:
        return None
    try:
        seconds = float(told)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(told).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
