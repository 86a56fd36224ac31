"""What a run leaves for people to read: sections of text, tables and drawings, as Markdown and as one page of HTML."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from html import escape
from io import BytesIO
from typing import Any, Final

from models.metrics import Interval

MOST_TIMES: Final = 1000

Table = Sequence[Sequence[str]]
"""Rows of cells; the first row is the head."""


@dataclass(frozen=True)
class Section:
    """One part of a report.

    Attributes:
        heading: its title.
        text: what a reader has to know to read the rest, empty where that is nothing.
        table: empty where there is none.
        drawing: file name of a figure of the run, empty where there is none.
    """

    heading: str
    text: str = ""
    table: Table = ()
    drawing: str = ""


def with_interval(interval: Interval, digits: int = 4) -> str:
    """A mean with the ends of its interval, as in «0.1432 [0.1350, 0.1511]»."""
    return f"{interval.mean:.{digits}f} [{interval.low:.{digits}f}, {interval.high:.{digits}f}]"


def times(interval: Interval) -> str:
    """A ratio with the ends of its interval, as in «×1.13 [1.08, 1.18]»; ∞ to next to nothing, a dash where none."""
    mean, low, high = ("∞" if value > MOST_TIMES else f"{value:.2f}" for value in astuple(interval))
    return "–" if mean == "nan" else f"×{mean} [{low}, {high}]"


def markdown(table: Table) -> str:
    """A table as Markdown."""
    head, *body = ["| " + " | ".join(row) + " |" for row in table]
    return "\n".join([head, "|" + "---|" * len(table[0]), *body]) + "\n"


def aligned(table: Table, indent: str = "") -> str:
    """A table as columns of a terminal: the first flush left, the others flush right."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = []
    for first, *others in table:
        cells = [first.ljust(widths[0]), *(c.rjust(w) for c, w in zip(others, widths[1:], strict=True))]
        lines.append(indent + "  ".join(cells).rstrip())
    return "\n".join(lines) + "\n"


def markdown_report(title: str, sections: Sequence[Section]) -> str:
    """Every section under its heading; drawings lie beside the report's folder, in `figures/`."""
    parts = [f"# {title}\n"]
    for section in sections:
        parts.append(f"## {section.heading}\n")
        parts += [f"{section.text}\n"] if section.text else []
        parts += [markdown(section.table)] if section.table else []
        parts += [f"![{section.heading}](../figures/{section.drawing})\n"] if section.drawing else []
    return "\n".join(parts)


def html_report(title: str, sections: Sequence[Section], drawings: Mapping[str, Any]) -> str:
    """One page that needs no other file."""
    parts = []
    for section in sections:
        parts.append(f"<h2>{escape(section.heading)}</h2>")
        parts += [f"<p>{escape(line)}</p>" for line in section.text.split("\n") if line]
        parts += [f'<div class="wide">{_html_table(section.table)}</div>'] if section.table else []
        if section.drawing:
            source = f"data:image/png;base64,{_png(drawings[section.drawing])}"
            parts.append(f'<img alt="{escape(section.heading)}" src="{source}">')
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
        f"<h1>{escape(title)}</h1>{''.join(parts)}</html>"
    )


_STYLE: Final = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;color:#111827}"
    "h2{margin-top:2.5rem}.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:13px}"
    "td,th{padding:.3rem .6rem;text-align:right;border-bottom:1px solid #e5e7eb;white-space:nowrap}"
    "td:last-child{white-space:normal}td:first-child,th:first-child{text-align:left}"
    "img{max-width:100%;margin:1rem 0;display:block}"
)


def _html_table(table: Table) -> str:
    head, *body = table
    rows = ["<tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in head) + "</tr>"]
    rows += ["<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in body]
    return f"<table>{''.join(rows)}</table>"


def _png(figure: Any) -> str:
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return base64.b64encode(buffer.getvalue()).decode()
