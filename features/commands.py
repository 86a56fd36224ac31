"""Verbs of the command line that bring metrics in: ingest and simulate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import configs
from configs.console import print_json, progress, say
from configs.options import AsJson

if TYPE_CHECKING:
    from features.ingest import Progress
    from features.lake import Lake


def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Files or folders: Parquet, CSV, JSONL(.gz), account exports.")],
    as_json: AsJson = False,
) -> None:
    """Load metrics into the lake. Loading the same file twice changes nothing; bad rows go to quarantine.

    Exit code 1: no file was one of metrics, or every row was refused.

    Example: `harmonic ingest exports/ videos.parquet`
    """
    from features.lake import Lake

    settings = configs.current()
    lake = Lake(settings.home / "lake", settings.lake.memory_limit)
    report = _load(lake, settings, paths)
    if as_json:
        print_json(report)
    else:
        say(" · ".join(f"{name} {report[name]:,}" for name in ("rows", "new", "duplicates", "quarantined")))
        _tell_left_out(report, lake)
    _refuse_nothing(report)


def simulate(
    out: Annotated[Path, typer.Option("--out", help="Folder to write to.")],
    creators: Annotated[int, typer.Option(min=10)] = 400,
    trends: Annotated[int, typer.Option(min=10)] = 600,
    days: Annotated[int, typer.Option(min=30)] = 120,
    seed: int = 0,
    as_json: AsJson = False,
) -> None:
    """Write a world with known truth: videos, trend lists, and truth/ beside them.

    Example: `harmonic simulate --creators 1000 --trends 2000 --days 180 --out world/`
    """
    from features.simulated import write_world

    size = configs.SimulatorSettings(creators=creators, trends=trends, days=days, seed=seed)
    rows = write_world(size, out)
    print_json({"videos": rows, "out": out}) if as_json else say(f"wrote {rows:,} observations of posts to {out}")


def fill_lake(lake: Lake, settings: configs.Settings, data: Path | None) -> None:
    """Ingest the given data; without any, and with an empty lake, a simulated world. Tells what it did."""
    from features.simulated import make_way, stand_in

    if data is not None:
        if data.exists() and (aside := make_way(settings.home)):
            say(f"the simulated world makes way for your data; it is kept in {aside}")
        report = _load(lake, settings, [data])
        say(f"ingested {report['rows']:,} rows, {report['new']:,} new")
        _tell_left_out(report, lake)
        _refuse_nothing(report)
    elif lake.latest_at() is None:
        say("no data yet: simulating a world of creators and trends")
        with _file_progress() as told:
            made = stand_in(lake, settings, datetime.now(UTC), told)
        say(f"ingested {made.rows:,} rows, {made.new:,} new" if made else "the lake has been filled meanwhile")


def _tell_left_out(report: Mapping[str, Any], lake: Lake) -> None:
    """Files that were skipped, and rows that were refused, with the reasons."""
    from features.commits import QUARANTINE

    for skipped in report["skipped"]:
        say(f"skipped {skipped['file']}: {skipped['reason']}")
    if report["quarantined"]:
        for reason, count in report["reasons"].items():
            say(f"  {count:,} × {reason}")
        say(f"each refused row, with its file and line: {lake.root / QUARANTINE.name}/*.parquet")


def _refuse_nothing(report: Mapping[str, Any]) -> None:
    """Raise `UnreadableFile` where not one row could be used."""
    from features.errors import UnreadableFile
    from features.sources.files import KNOWN

    if not report["files"]:
        raise UnreadableFile(f"nothing was loaded: no file is one of metrics; known are {KNOWN}")
    if report["rows"] and report["quarantined"] == report["rows"]:
        raise UnreadableFile("nothing was loaded: every row was refused, for the reasons told")


def _load(lake: Lake, settings: configs.Settings, paths: list[Path]) -> dict[str, Any]:
    from features.ingest import ingest as load
    from features.simulated import no_longer_only

    with _file_progress() as told:
        report = load(paths, lake, datetime.now(UTC), settings.lake.batch_rows, told)
    if report.new:
        no_longer_only(settings.home)
    return report.to_dict()


@contextmanager
def _file_progress() -> Iterator[Callable[[Progress], None]]:
    with progress("ingest") as told:
        yield lambda p: told(f"{p.file.name}: {p.rows:,} rows", (p.files_done + p.fraction) / max(p.files, 1))
