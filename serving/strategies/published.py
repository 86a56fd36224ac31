"""The two libraries as a job publishes them beside the market: measured lifts, habits, baselines and viral artists."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from features.evidence.lifts import Habit, Measure
from features.evidence.viral import Before, Viral
from models.interactions import Floats
from models.registry import CHAMPION
from serving.strategies.learned import MODEL, PRACTICE, LearnedOrder

log = logging.getLogger(__name__)
FILE: Final = "library.json"
FORMAT: Final = 1
"""Of the file; a process that finds another one acts as if nothing had been published."""

Stamp = tuple[tuple[int, int] | None, ...]

NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Baseline:
    """A creator's trailing posts: how many, and the 10th, 50th and 90th percentile of their views, or of the first
    other count that is known."""

    posts: int
    lo: float
    middle: float
    hi: float
    metric: str = "view_count"


@dataclass(frozen=True)
class PublishedLibrary:
    """What was measured on the lake.

    Attributes:
        as_of: by when it was known, UTC.
        measures: evidence query → its measured lift.
        habits: creator → habits that made a difference to them, worst first.
        baselines: creator → views of the trailing posts.
        outcomes: strategy's id → what its plays were worth to those who were given and followed them, in log views.
        artists: bursts, strongest first.
        cleared: sound id → whether it may be used by business accounts, where a source says.
        edition: of the file that it was read from, and of the ranker beside it; another one where anything of it is.
        order: what ranks the strategies beside it; None where the rule does.
    """

    as_of: datetime = NEVER
    measures: Mapping[str, Measure] = field(default_factory=dict)
    habits: Mapping[str, tuple[Habit, ...]] = field(default_factory=dict)
    baselines: Mapping[str, Baseline] = field(default_factory=dict)
    outcomes: Mapping[str, Measure] = field(default_factory=dict)
    artists: tuple[Viral, ...] = ()
    cleared: Mapping[str, bool] = field(default_factory=dict)
    edition: str = field(default="", compare=False)
    order: LearnedOrder | None = field(default=None, compare=False)

    def tastes(self) -> Floats:
        """Unit vectors of the artists, shape (n, d)."""
        return np.array([artist.taste for artist in self.artists]) if self.artists else np.zeros((0, 0))


def write(folder: Path, library: PublishedLibrary) -> Path:
    """Write it beside what is there, then put it in its place; a reader sees the old or the new, never half."""
    folder.mkdir(parents=True, exist_ok=True)
    told = (name for name in library.__dataclass_fields__ if name not in ("edition", "order"))
    body = {"format": FORMAT, **{name: getattr(library, name) for name in told}}
    staged = folder / f".{FILE}.{os.getpid()}"
    staged.write_bytes(orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY))
    staged.replace(folder / FILE)
    return folder / FILE


def read(folder: Path) -> PublishedLibrary:
    """What was published last; an empty library where nothing was."""
    try:
        told = (folder / FILE).read_bytes()
    except FileNotFoundError:
        return PublishedLibrary()
    body = orjson.loads(told)
    if body.pop("format", None) != FORMAT:
        return PublishedLibrary()
    order = LearnedOrder.read(folder)
    edition = hashlib.sha256(told + (order.version.encode() if order else b"")).hexdigest()[:16]
    return PublishedLibrary(
        as_of=datetime.fromisoformat(body["as_of"]),
        measures={name: Measure(**row) for name, row in body["measures"].items()},
        habits={name: tuple(Habit(**row) for row in rows) for name, rows in body["habits"].items()},
        baselines={name: Baseline(**row) for name, row in body["baselines"].items()},
        outcomes={name: Measure(**row) for name, row in body.get("outcomes", {}).items()},
        artists=tuple(_artist(row) for row in body["artists"]),
        cleared=body["cleared"],
        edition=edition,
        order=order,
    )


def _artist(row: dict[str, Any]) -> Viral:
    before = row["before"] | {name: tuple(row["before"][name]) for name in ("hours_utc", "tags")}
    lists = {name: tuple(row[name]) for name in ("tags", "taste", "sounds")}
    times = {name: datetime.fromisoformat(row[name]) for name in ("starts_at", "ends_at")}
    return Viral(**row | lists | times | {"before": Before(**before)})


class LibraryFile:
    """The published library of a folder: read when it is first asked for, and again in a thread when it is another one.

    A process that answers asks for it once before the first request; from then on nobody waits for the file.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stamp: Stamp = ()
        self._library: PublishedLibrary | None = None
        self._reading = threading.Lock()

    def get(self) -> PublishedLibrary:
        """What was published last, or, while a newer one is being read, the one before."""
        library = self._library
        if library is None:
            with self._reading:
                return self._read()
        if self._stamp != self._found() and self._reading.acquire(blocking=False):
            threading.Thread(target=self._follow, name="library", daemon=True).start()
        return library

    def _follow(self) -> None:
        try:
            self._read()
        except (OSError, ValueError, TypeError, KeyError) as error:  # the one before is better than none
            log.error("the published library cannot be read: %s", error)
        finally:
            self._reading.release()

    def _read(self) -> PublishedLibrary:
        """The file as it is now; its stamp is taken first, so that a later change is seen."""
        self._stamp = self._found()
        self._library = read(self._folder)
        return self._library

    def _found(self) -> Stamp:
        return tuple(map(_stamp, (self._folder / name for name in (FILE, PRACTICE, f"{MODEL}/{CHAMPION}"))))


def _stamp(path: Path) -> tuple[int, int] | None:
    """Changes whenever a file is written anew; None where it is not there."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size
