"""The lake: append-only Parquet files per table, published together by one atomic commit.

    lake/<table>/part-<commit>-<digest>.parquet   rows, sorted by the table's `order_by`
    lake/commits/<commit>.json                    every part that makes up the lake as of that commit
    lake/.staging/, lake/.spill-<process>-*/      a writer's work in hand; DuckDB's overflow

A commit exists from the instant its JSON file does (an exclusive link to a synced file), so a writer
killed at any moment leaves the old lake or the new one. Readers take no lock: they read the highest
commit. Whatever no recent commit names is a dead writer's leftover, and the next writer removes it.

A row whose key the lake already holds is a duplicate and is dropped: nothing is ever overwritten. Among
rows of one commit with the same key the earliest observation wins, then the earlier input row. So
`videos.observed_at` is when the first commit that held the post says it was seen; a later commit may
bring an *earlier* observation, which then stands in `video_metrics`. The view `posts` keeps both facts:
all columns of `videos`, and `first_seen_at`, the least of the two.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pyarrow as pa
from filelock import FileLock, Timeout

from features.commits import LAKE_TABLES, QUARANTINE, Commit, clear_leftovers, read_head
from features.errors import LakeBusy
from features.merge import LakeWriter
from features.scan import connect
from features.schemas import FEEDBACK, INSTANT, TABLES

if TYPE_CHECKING:
    import duckdb

__all__ = ["LAKE_TABLES", "QUARANTINE", "Lake"]


class Lake:
    """All tables of `schemas.TABLES` and `quarantine`, under one folder.

    Args:
        root: the folder; it need not exist until something is appended.
        memory_limit: what one DuckDB connection may hold before it spills below `root`.
        lock_seconds: how long a writer waits for another one before it raises `LakeBusy`.
        posts_after: the view `posts` shows only those created after it (aware); all where not given.
    """

    def __init__(
        self,
        root: Path,
        memory_limit: str = "2GB",
        lock_seconds: float = 10.0,
        posts_after: datetime | None = None,
    ) -> None:
        self.root = root.absolute()
        self.memory_limit = memory_limit
        self.lock_seconds = lock_seconds
        self.posts_after = posts_after

    def head(self) -> Commit:
        """The latest commit."""
        return read_head(self.root)

    def connect(self) -> duckdb.DuckDBPyConnection:
        """An in-memory DuckDB connection in UTC with a typed view per table, and `posts`.

        The views show the lake as of this call; a later commit needs a new connection.
        """
        return connect(self.root, self.head(), self.memory_limit, self.posts_after)

    def since(self, posts_after: datetime) -> Lake:
        """The same lake, its view `posts` without those created by then (aware); counts and snapshots stay."""
        latest = max(filter(None, (self.posts_after, posts_after)))
        return Lake(self.root, self.memory_limit, self.lock_seconds, latest)

    def append(self, rows: Mapping[str, pa.Table | Iterable[pa.RecordBatch]]) -> dict[str, int]:
        """Adds rows to several tables in one commit.

        Args:
            rows: per table, rows with the columns of its schema in any order; a missing column is null.

        Returns:
            How many rows were new, per table given; the others were duplicates.

        Raises:
            LakeBusy: another process kept the write lock for longer than `lock_seconds`.
        """
        with self.writer() as writer:
            for table, batches in rows.items():
                for batch in batches.to_batches() if isinstance(batches, pa.Table) else batches:
                    writer.stage(table, batch)
            return writer.commit().new

    @contextmanager
    def writer(self) -> Iterator[LakeWriter]:
        """The one writer of this lake: stage batches, then commit once; without a commit nothing changes.

        Raises:
            LakeBusy: another process kept the write lock for longer than `lock_seconds`.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.root / ".lock", timeout=self.lock_seconds)
        try:
            lock.acquire()
        except Timeout:
            raise LakeBusy(
                f"another process is writing to {self.root}; wait for it to finish, then run this again"
            ) from None
        try:
            clear_leftovers(self.root)
            staging = self.root / ".staging" / uuid4().hex
            staging.mkdir(parents=True)
            with LakeWriter(self.root, staging, self.memory_limit) as writer:
                yield writer
        finally:
            shutil.rmtree(self.root / ".staging", ignore_errors=True)
            lock.release()

    def fingerprint(self) -> str:
        """A hash that changes when, and only when, rows are added to a table other than the quarantine."""
        return self.head().fingerprint

    def counts(self) -> dict[str, int]:
        """Rows per table, the quarantine among them."""
        head = self.head()
        return {name: sum(part.rows for part in head.of(name)) for name in LAKE_TABLES}

    def latest_at(self) -> datetime | None:
        """The latest create_time or observed_at in the lake (UTC), or None while it is empty.

        What was served, and what was said of it, tells how late it is here, not how far metrics reach.
        """
        head = self.head()
        tables = [name for name in TABLES if name != FEEDBACK.name]
        known = [part.latest_us for name in tables for part in head.of(name) if part.latest_us is not None]
        return pa.scalar(max(known), pa.int64()).cast(INSTANT).as_py() if known else None
