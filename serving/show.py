"""A slate as a terminal shows it."""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text


def show_slate(slate: dict[str, Any], console: Console) -> None:
    """A slate of the API's schema, one item a row with its reasons; titles are shown as they are written."""
    known = "" if slate["known_creator"] else " (nobody we know yet)"
    title = f"{slate['creator_id']}{known} · as of {str(slate['as_of'])[:16]} · model {slate['model']}"
    table = Table(title=Text(title), box=SIMPLE_HEAD)
    for name in ("#", "kind", "what and why", "score", "fit", "heat", "stage"):
        table.add_column(name, overflow="fold", ratio=1 if name == "what and why" else None)
    for item in slate["items"]:
        what = Text(item["title"] + (f" – {item['author']}" if item["author"] else ""), style="bold")
        what.append("".join(f"\n{reason}" for reason in item["reasons"]), style="not bold dim")
        figures = (f"{item['score']:.3f}", f"{item['fit']:.2f}", f"{item['heat']:.2f}")
        table.add_row(str(item["rank"]), item["kind"], what, *figures, item["stage"])
    console.print(table)
