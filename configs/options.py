"""Options that several verbs of the command line share, each with its one wording."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from tempfile import TemporaryFile
from typing import Annotated, Literal

import typer

AsOf = Annotated[
    datetime | None,
    typer.Option(
        "--as-of",
        formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"],
        help="Use only what was known at this instant (UTC); the latest instant in the lake where absent.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines, and nothing else, to stdout.")]


def _parquet(out: Path) -> Path:
    """Refuse a place that a long job could not write to in the end.

    Raises:
        typer.BadParameter: it is no Parquet file's name, or its folder cannot be made or written to.
    """
    if out.suffix not in ("", ".parquet", ".pq") or out.is_dir():
        raise typer.BadParameter(f"{out} is to be a file of Parquet: name a .parquet file")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=out.parent):
            return out
    except OSError as error:
        raise typer.BadParameter(f"{out.parent} cannot be written to: {error.strerror}") from error


Out = Annotated[Path, typer.Option("--out", help="Parquet file to write.", callback=_parquet)]
TrendType = Annotated[Literal["hashtag", "sound", "creator"], typer.Option("--type", help="Of which trends.")]
Horizon = Annotated[int, typer.Option(min=1, max=60, help="Days ahead.")]
