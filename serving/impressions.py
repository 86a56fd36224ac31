"""What was served, to whom, by which model and with which chance: written durably, off the request path.

    home/impressions/<instant>-<process>-<n>.jsonl.open   being written; its last line may be cut
    home/impressions/<instant>-<process>-<n>.jsonl        sealed

One line is one slate. A line is durable once its batch is synced, at most `impressions_flush_seconds` after it was
served; a process that is killed loses what waited for that.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from features.contract import split_trend_key
from models.interactions import Floats, Ints
from models.market import Market
from models.releases import FEATURES_VERSION
from serving.experiment import Arm
from serving.process.queues import BatchQueue

if TYPE_CHECKING:
    from features.lake import Lake

SEALED: Final = ".jsonl"
OPEN: Final = ".jsonl.open"


class Impression(NamedTuple):
    """One slate as it was served.

    Attributes:
        recommendation_id, creator_id: as in the answer.
        served_at: seconds since 1970 UTC.
        model: version.
        snapshot: version of the market.
        arm, arm_share: which model's turn it was, and of how many creators; never part of a propensity.
        market: that the rows are of.
        rows: in the order of the slate, shape (k,).
        scores: as in the answer, shape (k,).
        propensities: of each item on its place, given the arm, shape (k,); None where nothing is drawn, so 1 each.
            See `serving.exploration`.
    """

    recommendation_id: str
    creator_id: str
    served_at: float
    model: str
    snapshot: str
    arm: Arm
    arm_share: float
    market: Market
    rows: Ints
    scores: Floats
    propensities: Floats | None = None

    def line(self) -> bytes:
        """As JSON, its line end included; what is said of items stands in lists, in the order of the slate."""
        chances = [1.0] * len(self.rows) if self.propensities is None else self.propensities.tolist()
        return orjson.dumps(
            {
                "recommendation_id": self.recommendation_id,
                "creator_id": self.creator_id,
                "served_at": datetime.fromtimestamp(self.served_at, UTC),
                "model": self.model,
                "market": self.snapshot,
                "features": FEATURES_VERSION,
                "arm": self.arm,
                "arm_share": self.arm_share,
                "trends": self.market.keys[self.rows].tolist(),
                "scores": self.scores.tolist(),
                "propensities": chances,
            },
            option=orjson.OPT_APPEND_NEWLINE,
        )


class Segments:
    """Files of one process's impressions: each batch synced, each file sealed when it is large or old enough.

    Args:
        folder: made where it is missing.
        most_bytes, most_seconds: of an open file.
    """

    def __init__(self, folder: Path, most_bytes: int, most_seconds: float) -> None:
        self._folder, self._most_bytes, self._most_seconds = folder, most_bytes, most_seconds
        self._file: IO[bytes] | None = None
        self._path = folder
        self._opened = 0.0
        self._count = 0
        self._lock = threading.Lock()

    def write(self, batch: list[Impression]) -> None:
        """Append a batch durably.

        Raises:
            OSError: it could not be written; a later call starts a new file.
        """
        with self._lock:
            try:
                file = self._file or self._open(batch[0].served_at)
                file.write(b"".join(one.line() for one in batch))
                file.flush()
                os.fsync(file.fileno())
                size = file.tell()
            except OSError:
                self._seal()
                raise
            if size >= self._most_bytes or monotonic() - self._opened >= self._most_seconds:
                self._seal()

    def seal_old(self) -> None:
        """Seal the open file where it is old enough, also while nothing is served."""
        with self._lock:
            if self._file is not None and monotonic() - self._opened >= self._most_seconds:
                self._seal()

    def close(self) -> None:
        """Seal the open file."""
        with self._lock:
            self._seal()

    def _open(self, at: float) -> IO[bytes]:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._count += 1
        name = f"{datetime.fromtimestamp(at, UTC):%Y%m%dT%H%M%S%f}-{os.getpid()}-{self._count}{OPEN}"
        self._path = self._folder / name
        self._file, self._opened = open(self._path, "xb", opener=_private), monotonic()  # noqa: SIM115
        _sync_folder(self._folder)
        return self._file

    def _seal(self) -> None:
        if self._file is not None:
            with suppress(OSError):  # what a full disk did not take is written again, to another file
                self._file.close()
            self._file = None
            seal(self._path)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def seal(path: Path) -> Path:
    """Give an open file its final name."""
    return path.rename(path.with_name(path.name.removesuffix(OPEN) + SEALED))


class Recorder:
    """Takes impressions from the request path and writes them durably soon after.

    Args:
        folder: of the segments.
        most: how many slates may wait; more are dropped and counted.
        flush_seconds: how long one waits at the most.
        most_bytes, most_seconds: of a segment.
    """

    def __init__(self, folder: Path, most: int, flush_seconds: float, most_bytes: int, most_seconds: float) -> None:
        self._segments = Segments(folder, most_bytes, most_seconds)
        self.queue: BatchQueue[Impression] = BatchQueue("impressions", self._segments.write, most, flush_seconds)
        self.record = self.queue.put

    def seal_old(self) -> None:
        """To be called now and then, so that a segment is sealed although nothing is served."""
        self._segments.seal_old()

    def close(self, seconds: float) -> int:
        """Write what waits, for so long at the most; returns how many slates were lost."""
        lost = self.queue.close(seconds)
        self._segments.close()
        return lost


def impression_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of the lake's table `feedback` out of one segment; a last line that was cut is left out."""
    with path.open("rb") as lines:
        for line in lines:
            try:
                slate = orjson.loads(line)
            except orjson.JSONDecodeError:
                return
            told = zip(slate["trends"], slate["propensities"], strict=True)
            for rank, (key, propensity) in enumerate(told, 1):
                trend_type, trend_id = split_trend_key(key)
                yield {
                    "event_id": f"{slate['recommendation_id']}:{rank}",
                    "recommendation_id": slate["recommendation_id"],
                    "creator_id": slate["creator_id"],
                    "kind": "impression",
                    "trend_type": trend_type,
                    "trend_id": trend_id,
                    "rank": rank,
                    "propensity": propensity,
                    "occurred_at": datetime.fromisoformat(slate["served_at"]),
                }


def seal_orphans(folder: Path) -> None:
    """Seal what processes of this machine that are gone have left open."""
    for path in folder.glob(f"*{OPEN}"):
        process = int(path.name.split("-")[1])
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            with suppress(FileNotFoundError):  # somebody else was faster
                seal(path)
        except PermissionError:  # it is alive, and somebody else's
            continue


def ingest_impressions(folder: Path, lake: Lake, most: int = 64) -> int:
    """Move sealed segments into the lake; one that was moved already adds nothing. Returns how many rows were new.

    Args:
        folder: of the segments.
        most: segments at a time.

    Raises:
        LakeBusy: another process kept writing.
    """
    import pyarrow as pa

    from features.schemas import FEEDBACK

    seal_orphans(folder)
    paths = sorted(folder.glob(f"*{SEALED}"))[:most]
    rows = [row for path in paths for row in impression_rows(path)]
    new = lake.append({FEEDBACK.name: pa.Table.from_pylist(rows, FEEDBACK.schema)})[FEEDBACK.name] if rows else 0
    for path in paths:
        path.unlink()
    return new
