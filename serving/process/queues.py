"""A bounded queue that takes work off the request path; a thread of its own empties it in batches."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

log = logging.getLogger(__name__)


class BatchQueue(Generic[T]):
    """What is put here reaches the sink soon, in its order, or is dropped and counted; a caller never waits.

    Args:
        name: of the thread.
        sink: takes one batch. After an `OSError` (a full disk) it is given the same batch again.
        most: how many may wait.
        every_seconds: how long one waits at the most while the sink keeps up.
        batch: largest number given to the sink at once.
    """

    def __init__(
        self, name: str, sink: Callable[[list[T]], None], most: int, every_seconds: float, batch: int = 1000
    ) -> None:
        self.name = name
        self.dropped = 0
        self.failed = 0
        self._sink, self._most, self._every, self._batch = sink, most, every_seconds, batch
        self._waiting: deque[T] = deque()
        self._stopping = threading.Event()
        self._gone = threading.Event()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def put(self, item: T) -> bool:
        """Hand one over; False where it was dropped because too many wait."""
        if len(self._waiting) >= self._most or self._gone.is_set():
            self.dropped += 1
            return False
        self._waiting.append(item)
        return True

    def __len__(self) -> int:
        return len(self._waiting)

    def close(self, seconds: float) -> int:
        """Let the sink take what waits, for so long at the most; returns how many were left behind."""
        self._stopping.set()
        self._thread.join(seconds)
        self._gone.set()
        left = len(self._waiting)
        self.dropped += left
        return left

    def _work(self) -> None:
        while not self._stopping.wait(self._every):
            self._empty()
        self._empty()

    def _empty(self) -> None:
        while self._waiting and not self._gone.is_set():
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._batch))]
            try:
                self._sink(batch)
            except OSError as error:
                self._waiting.extendleft(reversed(batch))
                log.error("%s: cannot write (%s); %d wait", self.name, error, len(self._waiting))
                return
            except Exception as error:  # one bad batch must not end the thread that all later ones rely on
                self.failed += len(batch)
                log.error("%s: lost a batch of %d (%s)", self.name, len(batch), type(error).__name__, exc_info=error)
