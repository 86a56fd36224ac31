"""The two libraries as a job publishes them beside the market: measured lifts, habits, baselines and viral artists."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from features.strategy_evidence import Habit, Measure
from features.viral import Before, Viral
from models.interactions import Floats

FILE: Final = "library.json"
FORMAT: Final = 1
"""Of the file; a process that finds another one acts as if nothing had been published."""

NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Baseline:
    """Views of a creator's trailing posts: how many posts, and the 10th, 50th and 90th percentile."""

    posts: int
    lo: float
    middle: float
    hi: float


@dataclass(frozen=True)
class PublishedLibrary:
    """What was measured on the lake.

    Attributes:
        as_of: by when it was known, UTC.
        measures: evidence query → its measured lift.
        habits: creator → habits that made a difference to them, worst first.
        baselines: creator → views of the trailing posts.
        artists: bursts, strongest first.
        cleared: sound id → whether it may be used by business accounts, where a source says.
    """

    as_of: datetime = NEVER
    measures: Mapping[str, Measure] = field(default_factory=dict)
    habits: Mapping[str, tuple[Habit, ...]] = field(default_factory=dict)
    baselines: Mapping[str, Baseline] = field(default_factory=dict)
    artists: tuple[Viral, ...] = ()
    cleared: Mapping[str, bool] = field(default_factory=dict)

    def tastes(self) -> Floats:
        """Unit vectors of the artists, shape (n, d)."""
        return np.array([artist.taste for artist in self.artists]) if self.artists else np.zeros((0, 0))


def write(folder: Path, library: PublishedLibrary) -> Path:
    """Write it beside what is there, then put it in its place; a reader sees the old or the new, never half."""
    folder.mkdir(parents=True, exist_ok=True)
    body = {"format": FORMAT, **{name: getattr(library, name) for name in library.__dataclass_fields__}}
    staged = folder / f".{FILE}.{os.getpid()}"
    staged.write_bytes(orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY))
    staged.replace(folder / FILE)
    return folder / FILE


def read(folder: Path) -> PublishedLibrary:
    """What was published last; an empty library where nothing was."""
    try:
        body = orjson.loads((folder / FILE).read_bytes())
    except FileNotFoundError:
        return PublishedLibrary()
    if body.pop("format", None) != FORMAT:
        return PublishedLibrary()
    return PublishedLibrary(
        as_of=datetime.fromisoformat(body["as_of"]),
        measures={name: Measure(**row) for name, row in body["measures"].items()},
        habits={name: tuple(Habit(**row) for row in rows) for name, rows in body["habits"].items()},
        baselines={name: Baseline(**row) for name, row in body["baselines"].items()},
        artists=tuple(_artist(row) for row in body["artists"]),
        cleared=body["cleared"],
    )


def _artist(row: dict[str, Any]) -> Viral:
    before = row["before"] | {name: tuple(row["before"][name]) for name in ("hours_utc", "tags")}
    lists = {name: tuple(row[name]) for name in ("tags", "taste", "sounds")}
    times = {name: datetime.fromisoformat(row[name]) for name in ("starts_at", "ends_at")}
    return Viral(**row | lists | times | {"before": Before(**before)})


class LibraryFile:
    """The published library of a folder, read again when a job has replaced it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stamp: tuple[int, int] | None = None
        self._library = PublishedLibrary()

    def get(self) -> PublishedLibrary:
        """What is published now."""
        try:
            found = (self._folder / FILE).stat()
        except FileNotFoundError:
            return self._library
        stamp = (found.st_mtime_ns, found.st_size)
        if stamp != self._stamp:
            self._library, self._stamp = read(self._folder), stamp
        return self._library
