"""A process of the service ends with the one that started it, so that nothing orphaned keeps its port or its locks."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Final

log = logging.getLogger(__name__)

PARENT: Final = "SERVING_PARENT"
"""Names in the environment the process that starts another: asked of the system, it may already be a later one."""

EVERY_SECONDS: Final = 0.25
LAST_SECONDS: Final = 20.0
"""An orphan that has not ended by itself after this long ends at once."""


def started_by() -> int:
    """The process that started this one."""
    return int(os.environ.get(PARENT) or os.getppid())


def follow(leave: Callable[[], None] | None = None) -> None:
    """End soon after the process that started this one is gone; at once where it is gone already.

    Args:
        leave: ends this process; as two SIGTERM would where absent: the second one ends a drain.
    """
    threading.Thread(target=_follow, args=(started_by(), leave or _leave), name="parent", daemon=True).start()


def _follow(parent: int, leave: Callable[[], None]) -> None:
    while os.getppid() == parent:
        time.sleep(EVERY_SECONDS)
    log.error("process %d, which started this one, is gone: stopping", parent)
    leave()


def _leave() -> None:
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(EVERY_SECONDS)
    time.sleep(LAST_SECONDS)
    os._exit(1)
