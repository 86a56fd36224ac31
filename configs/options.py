"""Options that several verbs of the command line share, each with its one wording."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

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
Out = Annotated[Path, typer.Option("--out", help="Parquet file to write.")]
TrendType = Annotated[str, typer.Option("--type", help="hashtag, sound or creator.")]
Horizon = Annotated[int, typer.Option(min=1, max=60, help="Days ahead.")]
