"""How verbs tell people and machines what came of them: lines, JSON, files, and a bar while it lasts."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NoReturn

import typer

SECONDS_A_LINE: Final = 10.0


def say(text: str) -> None:
    """What was asked for, on stdout."""
    typer.echo(text)


def note(text: str) -> None:
    """Tell what is going on: on stderr, beside the figures."""
    typer.echo(text, err=True)


def warn(warning: str) -> None:
    """Tell what must not be overlooked: on stderr, framed, and red where a terminal shows colour; nothing if empty."""
    if warning:
        rule = "!" * 80
        typer.secho(f"{rule}\nWARNING: too good to be true. {warning}\n{rule}", err=True, fg="red", bold=True)


def remark(text: str) -> None:
    """Tell on stderr what somebody should know who reads the result."""
    typer.secho(f"note: {text}", err=True, fg="yellow")


def fail(error: Exception) -> NoReturn:
    """End with one line about a user's mistake, and exit code 1."""
    typer.echo(f"harmonic: {error}", err=True)
    sys.exit(1)


def print_json(value: Any) -> None:
    """For machines, on stdout; what JSON has no word for is written as `str` writes it."""
    import orjson

    typer.echo(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_INDENT_2, default=str).decode())


def write_parquet(table: Any, out: Path) -> None:
    """Write a frame whole or not at all, its folder included."""
    out.parent.mkdir(parents=True, exist_ok=True)
    staged = out.with_name(f".{out.name}.{os.getpid()}")
    table.to_parquet(staged, index=False)
    staged.replace(out)


@contextmanager
def progress(title: str) -> Iterator[Callable[[str, float], None]]:
    """A bar on a terminal's stderr, told what is done and the share of it; elsewhere a line there now and then."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.fields[title]}"),
        BarColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(title)
        return
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=1.0, title=title)
        yield lambda text, share: bar.update(task, description=text, completed=share)


def _lines(title: str) -> Callable[[str, float], None]:
    """Tells how far something is in lines, none before it has lasted for a while."""
    told_at = time.monotonic()

    def tell(text: str, share: float) -> None:
        nonlocal told_at
        if time.monotonic() - told_at >= SECONDS_A_LINE:
            told_at = time.monotonic()
            note(f"{title}: {text} ({share:.0%})")

    return tell
