"""Keeps a worker's picture of the market current: tails the log of patches and swaps in a changed snapshot."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

import numpy as np

from configs import TrendSettings
from features.patches.log import Patch, PatchLog
from models.patches import patched
from serving.errors import NotReady
from serving.process.remote import redis_losses
from serving.snapshot import PATCHED, TrendSnapshot

log = logging.getLogger(__name__)

Change = Callable[[TrendSnapshot], TrendSnapshot]

IDLE_SECONDS: Final = 1.0
RETRY_SECONDS: Final = 0.5
MOST_BUSY: Final = 0.25
"""The share of its time that a worker may spend on patches: those that come faster are applied together."""


class LiveMarket:
    """Brings snapshots up to date with the patches of a log.

    Args:
        patches: where they come from.
        settings: the pool's limits and the words that make a version of a sound.
    """

    def __init__(self, patches: PatchLog, settings: TrendSettings) -> None:
        self._patches, self._settings = patches, settings
        self._stopped = threading.Event()
        self._trouble = ""

    def caught_up(self, snapshot: TrendSnapshot) -> TrendSnapshot:
        """The snapshot with every patch that is no older than it and not in it yet; itself where there is none.

        Where the log does not answer, the snapshot serves as it is.
        """
        try:
            found = self._patches.read(snapshot.place)
        except _losses() as error:
            self._tell(error)
            return snapshot
        return with_patches(snapshot, found, self._settings)

    def follow(self, current: Callable[[], TrendSnapshot], swap: Callable[[Change], None]) -> None:
        """Follow the log from a thread until `stop`.

        Args:
            current: gives what serves now; raises `NotReady` while nothing does.
            swap: puts a changed snapshot in place of the one that serves.
        """
        threading.Thread(target=self._follow, args=(current, swap), name="patches", daemon=True).start()

    def stop(self) -> None:
        """Follow no longer."""
        self._stopped.set()

    def _follow(self, current: Callable[[], TrendSnapshot], swap: Callable[[Change], None]) -> None:
        while not self._stopped.is_set():
            try:
                if self._patches.wait(current().place, IDLE_SECONDS):
                    began = time.monotonic()
                    swap(self.caught_up)
                    self._stopped.wait((time.monotonic() - began) * (1 / MOST_BUSY - 1))
                self._trouble = ""
            except NotReady:
                self._stopped.wait(RETRY_SECONDS)
            except _losses() as error:
                self._tell(error)
                self._stopped.wait(RETRY_SECONDS)

    def _tell(self, error: Exception) -> None:
        """Once for each kind of trouble."""
        if type(error).__name__ != self._trouble:
            log.warning("patches of the market cannot be read: %s", error)
        self._trouble = type(error).__name__


def with_patches(snapshot: TrendSnapshot, patches: Iterable[Patch], settings: TrendSettings) -> TrendSnapshot:
    """A snapshot with patches in it, in their order; those from before it was published are passed over.

    A pinned one stays as it is.
    """
    if snapshot.pinned:
        return snapshot
    market, seq, changed = snapshot.market, snapshot.place, np.zeros(0, np.int64)
    published_at = market.as_of if seq == 0 else None
    for patch in patches:
        seq = patch.seq
        if published_at is not None and patch.rows.as_of < published_at:
            continue
        market, rows = patched(market, patch.rows, settings)
        changed = np.union1d(changed, rows)
    if seq == snapshot.place:
        return snapshot
    version = f"{snapshot.published}{PATCHED}{seq}"
    return replace(snapshot, version=version, market=market, parent=snapshot.version, changed=changed)


def _losses() -> tuple[type[Exception], ...]:
    """What reading patches raises while their log is lost."""
    return sqlite3.Error, *redis_losses()
