"""Job: apply events as they come, keep them in the lake, tell Feast, and publish the whole market now and then."""

from __future__ import annotations

import gc
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Final

from filelock import FileLock, Timeout

import configs
from configs import Settings
from features.errors import FeatureError, LakeBusy, LogUnavailable
from features.lake import Lake
from features.stream import Consumer, write_lake
from models.creator import Creator
from serving.assemble import creator_states, event_log, patch_log
from serving.errors import ConsumerRuns
from serving.impressions import SEALED, ingest_impressions

if TYPE_CHECKING:
    import pandas as pd

    from features.store import FeatureRepository

log = logging.getLogger(__name__)

WAIT_SECONDS: Final = 0.25
AGAIN_SECONDS: Final = 1.0
SEGMENTS: Final = 2
"""Segments of impressions that are moved to the lake at once: events wait for the lake meanwhile."""
ROOT: Final = Path(__file__).parents[1]
REPUBLISH: Final = "import sys; from serving.consume import republish; republish(sys.argv[1])"


def consume(
    settings: Settings,
    stop: threading.Event,
    told: Callable[[str], None] = log.info,
    parent: int | None = None,
) -> None:
    """Consume events until `stop`; a log that does not answer is waited for.

    Args:
        settings: of the project.
        stop: set to end after the events in hand are in the lake.
        told: takes what is worth telling.
        parent: the process without which it shall not go on.

    Raises:
        ConsumerRuns: another consumer works on this state folder.
    """
    if parent is not None:
        threading.Thread(target=_watch_parent, args=(parent, stop), name="parent", daemon=True).start()
    path = settings.home / "events" / "consumer.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path, timeout=0):
            while not stop.is_set():
                try:
                    _Run(settings, told).until(stop)
                except LogUnavailable as error:
                    told(f"{error}; trying again")
                    stop.wait(AGAIN_SECONDS)
    except Timeout:
        raise ConsumerRuns(f"another consumer works on {settings.home}: stop it first") from None


def _watch_parent(parent: int, stop: threading.Event) -> None:
    while os.getppid() == parent and not stop.wait(AGAIN_SECONDS):
        pass
    stop.set()


class _Run:
    """One consumer, from reading the lake until it ends or another process has written to the lake."""

    def __init__(self, settings: Settings, told: Callable[[str], None]) -> None:
        began = time.monotonic()
        self._settings, self._told = settings, told
        self._states = creator_states(settings)
        self._log = event_log(settings)
        lake = Lake(settings.home / "lake", settings.lake.memory_limit)
        self._consumer = Consumer(self._log, lake, patch_log(settings), self._put, settings, lambda: datetime.now(UTC))
        self._aside, self._feast = (
            ProcessPoolExecutor(1, get_context("spawn"), _begin_aside, (os.getpid(),)) for _ in range(2)
        )
        self._pushing: Future[None] | None = None
        self._publisher: subprocess.Popen[bytes] | None = None
        self._publish_due = time.monotonic() + settings.stream.publish_minutes * 60
        self._push_due = self._impressions_due = time.monotonic() + settings.stream.push_seconds
        gc.collect()
        gc.freeze()  # the history is large and stays: looking through it again and again would hold up events
        self._ended = threading.Event()
        self._trouble: Exception | None = None
        told(f"consuming events as of {self._consumer.rolling.now:%Y-%m-%d %H:%M:%S} UTC; "
             f"ready after {time.monotonic() - began:.1f} s")  # fmt: skip

    def until(self, stop: threading.Event) -> None:
        """Apply events until `stop`, or until the lake holds what this consumer has not seen."""
        keeper = threading.Thread(target=self._keep, name="keeper")
        keeper.start()
        try:
            while not stop.is_set() and not self._ended.is_set():
                self._consumer.step(WAIT_SECONDS)
                self._consumer.sweep_some()
        finally:
            self._ended.set()
            keeper.join()
            self._consumer.settle()
            self._consumer.flush()
            self._aside.shutdown(cancel_futures=True)
            self._feast.shutdown(cancel_futures=True)
            self._log.close()
            gc.unfreeze()  # what was frozen is let go in order when the process ends
        if self._trouble:
            raise self._trouble

    def _put(self, frame: pd.DataFrame, as_of: datetime, through_seq: int) -> None:
        self._states.put((Creator.from_row(row) for row in frame.to_dict("records")), as_of, through_seq)

    def _keep(self) -> None:
        """Off the path of events: the lake, Feast, old events, and publications."""
        try:
            while not self._ended.wait(self._settings.stream.flush_seconds):
                self._consumer.flush(lambda *work: self._aside.submit(write_lake, *work).result())
                if self._consumer.is_stale():
                    self._told("another process has written to the lake: reading it again")
                    self._ended.set()
                if time.monotonic() > self._impressions_due:
                    self._keep_impressions()
                if time.monotonic() > self._push_due:
                    self._push()
                if time.monotonic() > self._publish_due:
                    self._publish()
        except (FeatureError, OSError) as error:
            self._trouble = error
            self._ended.set()

    def _keep_impressions(self) -> None:
        """What was served joins what was said of it; some at a time, so that events get their turn at the lake."""
        lake = Lake(self._settings.home / "lake", self._settings.lake.memory_limit)
        before, after, more = self._aside.submit(keep_impressions, self._settings.home / "impressions", lake).result()
        self._consumer.own(before, after)
        if not more:
            self._impressions_due = time.monotonic() + self._settings.stream.push_seconds

    def _push(self) -> None:
        if self._pushing is not None:
            if not self._pushing.done():
                return
            self._pushing.result()
        if changed := self._consumer.take_changed():
            self._pushing = self._feast.submit(push, self._settings.home, changed)
        self._consumer.prune()
        self._push_due = time.monotonic() + self._settings.stream.push_seconds

    def _publish(self) -> None:
        """In a process of its own: fitting generators takes seconds, and events shall not wait for it."""
        if self._publisher is not None and self._publisher.poll() is None:
            return
        kept = self._consumer.kept_as_of
        if kept is not None:
            arguments = [sys.executable, "-c", REPUBLISH, kept.isoformat()]
            environment = {**os.environ, "HARMONIC_HOME": str(self._settings.home), "OMP_NUM_THREADS": "1"}
            self._publisher = subprocess.Popen(arguments, cwd=ROOT, env=environment)
        self._publish_due = time.monotonic() + self._settings.stream.publish_minutes * 60


def _begin_aside(parent: int) -> None:
    """In a process beside the consumer: behind whatever answers requests, and not without its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal tells the whole group; the parent sees to its end
    os.nice(10)
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()


def _leave_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(AGAIN_SECONDS)
    os._exit(1)


def keep_impressions(folder: Path, lake: Lake) -> tuple[int, int, bool]:
    """Move some sealed impressions into the lake; its commits before and after, and whether more wait.

    A lake that another process writes to gets them later.
    """
    before = lake.head().number
    try:
        new = ingest_impressions(folder, lake, SEGMENTS)
    except LakeBusy:
        return before, before, False
    return before, before + bool(new), any(folder.glob(f"*{SEALED}"))


_stores: dict[Path, FeatureRepository] = {}


def push(home: Path, changed: Mapping[str, pd.DataFrame]) -> None:
    """Bring changed rows online in Feast; in a process that goes on with the store it has opened."""
    from features.store import FeatureRepository

    if home not in _stores:
        _stores[home] = FeatureRepository.open(configs.load(home=home))
        _stores[home].apply()
    for view, frame in changed.items():
        _stores[home].push(view, frame)


def republish(as_of: str) -> None:
    """Materialise and publish the market of an instant (ISO 8601)."""
    from features.store import FeatureRepository
    from serving.publish import materialize_and_publish

    settings = configs.current()
    features = FeatureRepository.open(settings)
    features.apply()
    lake = Lake(settings.home / "lake", settings.lake.memory_limit)
    materialize_and_publish(lake, features, datetime.fromisoformat(as_of), settings, pinned=False)
