"""Group commit: what many callers append at the same time is made durable together, by one thread a process."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Collection, Sequence
from concurrent.futures import Future, TimeoutError
from datetime import datetime
from itertools import chain

from features.errors import LogBusy, LogUnavailable
from features.eventlog.log import Accepted, Prepared, prepare
from features.events import Event

Written = Future[list[Accepted]]
Waiting = tuple[list[Prepared], Written]

STOP_SECONDS = 10.0


class GroupedLog(ABC):
    """The appending half of an event log; a store says how a group of events is committed.

    Args:
        original_titles: sounds with these titles are no trends.
        max_waiting: events that may wait; more are refused with `LogBusy`.
        group: events that one commit takes at most, unless one append brings more.
        ack_seconds: how long an append waits before it gives up with `LogUnavailable`.
    """

    def __init__(self, original_titles: Collection[str], max_waiting: int, group: int, ack_seconds: float) -> None:
        self._original_titles = frozenset(original_titles)
        self._max_waiting = max_waiting
        self._group = group
        self._ack_seconds = ack_seconds
        self._queue: deque[Waiting] = deque()
        self._waiting = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = False

    @abstractmethod
    def _commit(self, events: list[Prepared]) -> list[Accepted]:
        """Makes events durable, all of them or none acknowledged; only the writer's thread calls it."""

    @property
    def waiting(self) -> int:
        """Events of this process that wait to be written."""
        return self._waiting

    def append(self, events: Sequence[Event], received_at: datetime) -> list[Accepted]:
        """See `EventLog.append`."""
        written = self._submit(prepare(events, received_at, self._original_titles))
        try:
            return written.result(self._ack_seconds)
        except TimeoutError:
            raise self._late() from None

    async def append_async(self, events: Sequence[Event], received_at: datetime) -> list[Accepted]:
        """See `EventLog.append_async`."""
        written = self._submit(prepare(events, received_at, self._original_titles))
        try:
            return await asyncio.wait_for(asyncio.wrap_future(written), self._ack_seconds)
        except TimeoutError:
            raise self._late() from None

    def close(self) -> None:
        """Writes what is waiting, then stops; an append after this is refused."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)

    def _late(self) -> LogUnavailable:
        return LogUnavailable(
            f"the event log did not answer within {self._ack_seconds:g} s; the events may be in it: send them again"
        )

    def _submit(self, events: list[Prepared]) -> Written:
        written: Written = Future()
        if not events:
            written.set_result([])
            return written
        with self._changed:
            if self._closing:
                raise LogUnavailable("the event log is closed; send the events again")
            if self._waiting and self._waiting + len(events) > self._max_waiting:
                raise LogBusy(f"{self._waiting} events are waiting to be written; send them again in a second")
            self._queue.append((events, written))
            self._waiting += len(events)
            if self._thread is None:
                self._thread = threading.Thread(target=self._write, name="event-log", daemon=True)
                self._thread.start()
            self._changed.notify()
        return written

    def _write(self) -> None:
        """The writer's thread: while one group is being synced, the next one gathers."""
        while group := self._next_group():
            # A caller that has gone away before its turn gets no say, and its events are not written.
            live = [(events, written) for events, written in group if written.set_running_or_notify_cancel()]
            if live:
                self._write_group(live)

    def _next_group(self) -> list[Waiting]:
        """What is waiting, up to a group's size; nothing once the log is closed and all is written."""
        with self._changed:
            while not self._queue and not self._closing:
                self._changed.wait()
            taken: list[Waiting] = []
            size = 0
            while self._queue and (not taken or size + len(self._queue[0][0]) <= self._group):
                taken.append(self._queue.popleft())
                size += len(taken[-1][0])
            self._waiting -= size
            return taken

    def _write_group(self, group: list[Waiting]) -> None:
        try:
            accepted = iter(self._commit(list(chain.from_iterable(events for events, _ in group))))
        except Exception as error:  # whatever it was, every caller that waits must hear of it
            for _, written in group:
                written.set_exception(error)
            return
        for events, written in group:
            written.set_result([next(accepted) for _ in events])
