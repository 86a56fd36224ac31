"""Job: files and folders → checked rows in the lake, the bad ones in its quarantine, all in one commit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from features.errors import UnreadableFile
from features.lake import QUARANTINE, Lake
from features.merge import LakeWriter
from features.schemas import TABLES
from features.sources.batches import Reader
from features.sources.files import KNOWN, find_files, open_reader
from features.validate import Checked, check


@dataclass(frozen=True)
class Progress:
    """How far an ingest is: the file in hand, rows read of all files, and the share of that file, 0 to 1."""

    file: Path
    files_done: int
    files: int
    rows: int
    fraction: float


@dataclass
class Count:
    """Input rows and what became of them; rows = new + duplicates + quarantined.

    Attributes:
        rows: rows read.
        new: rows that added something to at least one table.
        duplicates: good rows that added nothing.
        quarantined: rows refused by this run, whether or not the quarantine had them.
    """

    rows: int = 0
    new: int = 0
    duplicates: int = 0
    quarantined: int = 0


@dataclass
class FileReport(Count):
    """One file: its path, its kind of rows, and the columns that no table keeps."""

    file: str = ""
    kind: str = ""
    ignored_columns: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class TableReport:
    """One table: the rows that the good input rows came to, and how many of them were new."""

    rows: int
    new: int
    duplicates: int


@dataclass(frozen=True)
class Skipped:
    """A file inside a folder that was left alone, and why."""

    file: str
    reason: str


@dataclass(frozen=True)
class IngestReport:
    """What one ingest did, in total, per file and per table.

    Attributes:
        ignored_columns: every column that was left out, of any file, sorted.
        reasons: why rows were quarantined → how many, the most frequent first.
    """

    rows: int
    new: int
    duplicates: int
    quarantined: int
    files: list[FileReport]
    tables: dict[str, TableReport]
    skipped: list[Skipped]
    ignored_columns: list[str]
    reasons: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON can hold it."""
        return asdict(self)


def ingest(
    paths: Iterable[Path],
    lake: Lake,
    now: datetime,
    batch_rows: int,
    progress: Callable[[Progress], None] | None = None,
) -> IngestReport:
    """Loads files and folders into the lake; all of them, or, when anything fails, none.

    Args:
        paths: files, each of a known kind, and folders, whose files of other kinds are skipped.
        lake: where the rows go.
        now: the current instant (UTC); rows from after it are refused.
        batch_rows: how many rows are in memory at a time.
        progress: told after every batch.

    Raises:
        UnreadableFile: a path does not exist, is damaged, or is named and of no known kind.
        LakeBusy: another process is writing to the lake.
    """
    skipped: list[Skipped] = []
    readers = list(_readers(paths, lake, skipped))
    load = _Load(lake, now, batch_rows, len(readers), progress or _silent)
    with lake.writer() as writer:
        for path, reader in readers:
            load.read(path, reader, writer)
        committed = writer.commit(load.firsts or [0])
    for report, new in zip(load.files, committed.new_inputs, strict=False):
        report.new = new
        report.duplicates = report.rows - report.quarantined - new
    return _report(load, committed.new, skipped)


def _readers(paths: Iterable[Path], lake: Lake, skipped: list[Skipped]) -> Iterable[tuple[Path, Reader]]:
    for path, named in find_files(paths, lake.root):
        reader = open_reader(path)
        if reader is not None:
            yield path, reader
        elif named:
            raise UnreadableFile(f"{path} is no metrics file; known are {KNOWN}")
        else:
            skipped.append(Skipped(str(path), "no known kind of metrics file"))


class _Load:
    """The running totals of one ingest."""

    def __init__(
        self, lake: Lake, now: datetime, batch_rows: int, files: int, progress: Callable[[Progress], None]
    ) -> None:
        self.files: list[FileReport] = []
        self.firsts: list[int] = []
        self.table_rows: dict[str, int] = dict.fromkeys(TABLES, 0)
        self.reasons: Counter[str] = Counter()
        self._rows = 0
        self._now = now
        self._batch_rows = batch_rows
        self._files = files
        self._progress = progress

    def read(self, path: Path, reader: Reader, writer: LakeWriter) -> None:
        """Checks and stages one file."""
        report = FileReport(file=str(path), kind=reader.kind, ignored_columns=list(reader.ignored_columns))
        self.firsts.append(self._rows)
        written_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        for batch in reader.batches(self._batch_rows):
            checked = check(batch, str(path), self._rows, self._now, written_at)
            self._stage(checked, writer)
            report.rows += batch.rows
            report.quarantined += checked.quarantine.num_rows
            self._rows += batch.rows
            self._progress(Progress(path, len(self.files), self._files, self._rows, batch.fraction))
        self.files.append(report)

    def _stage(self, checked: Checked, writer: LakeWriter) -> None:
        for name, rows in checked.tables.items():
            writer.stage(name, rows)
            self.table_rows[name] += rows.num_rows
        writer.stage(QUARANTINE.name, checked.quarantine)
        self.reasons.update(checked.quarantine["reason"].to_pylist())


def _report(load: _Load, new: dict[str, int], skipped: list[Skipped]) -> IngestReport:
    tables = {
        name: TableReport(rows, new.get(name, 0), rows - new.get(name, 0)) for name, rows in load.table_rows.items()
    }
    return IngestReport(
        rows=sum(report.rows for report in load.files),
        new=sum(report.new for report in load.files),
        duplicates=sum(report.duplicates for report in load.files),
        quarantined=sum(report.quarantined for report in load.files),
        files=load.files,
        tables=tables,
        skipped=skipped,
        ignored_columns=sorted({name for report in load.files for name in report.ignored_columns}),
        reasons=dict(load.reasons.most_common()),
    )


def _silent(_: Progress) -> None:
    """Nobody wants to know."""
