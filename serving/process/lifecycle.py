"""How a worker goes: on SIGTERM it is no longer ready, answers a while longer, then lets the server stop."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable
from types import FrameType

log = logging.getLogger(__name__)

Handler = Callable[[int, FrameType | None], object]


class Drain:
    """Puts itself before the server's own handler of SIGTERM.

    Args:
        seconds: between the signal and the server's handler, for a load balancer to notice; at a second signal the
            server stops at once.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._begun = threading.Event()

    @property
    def begun(self) -> bool:
        """Whether this process is about to stop."""
        return self._begun.is_set()

    def begin(self) -> None:
        """From now on this process is about to stop."""
        self._begun.set()

    def listen(self) -> None:
        """Take over SIGTERM from the server; without effect outside the main thread, where no signal arrives."""
        server = signal.getsignal(signal.SIGTERM)
        if threading.current_thread() is not threading.main_thread() or not callable(server):
            return

        def stop(number: int, frame: FrameType | None) -> None:
            again = self.begun
            self.begin()
            if again or not self._seconds:
                server(number, frame)
            else:
                timer = threading.Timer(self._seconds, server, (number, None))
                timer.daemon = True
                timer.start()

        signal.signal(signal.SIGTERM, stop)
