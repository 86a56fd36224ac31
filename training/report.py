"""What a run leaves for people: figures to look at and a table to read."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from io import BytesIO
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.interactions import Floats
from models.metrics import Interval


def importance_figure(importance: Mapping[str, float], most: int = 25) -> Any:
    """Bars: share of the total gain per feature, the largest on top."""
    figure, axes = _axes(height=7)
    total = sum(importance.values()) or 1.0
    names = list(importance)[:most][::-1]
    axes.barh(names, [importance[name] / total for name in names], color="#2563eb")
    axes.set(xlabel="share of gain", title="What the trees split on")
    return figure


def weights_figure(weights: Mapping[str, float]) -> Any:
    """Bars: weights of the linear stage, the largest on top."""
    figure, axes = _axes(height=6)
    names = sorted(weights, key=lambda name: weights[name])
    axes.barh(names, [weights[name] for name in names], color="#2563eb")
    axes.axvline(0, color="#9ca3af")
    axes.set(xlabel="weight", title="The linear stage")
    return figure


def learning_figure(curve: Sequence[float]) -> Any:
    """Line: NDCG@20 on the held-out queries after 0, a quarter, … all rounds of the trees."""
    figure, axes = _axes()
    axes.set(
        xlabel="share of the trees",
        ylabel="NDCG@20, held out",
        title="What the trees add to the linear stage",
    )
    if curve:
        axes.plot(np.linspace(0, 1, len(curve)), curve, marker="o", color="#2563eb")
    return figure


def calibration_figure(probability: Floats, happened: npt.NDArray[np.bool_], bins: int = 10) -> Any:
    """Points: how often an adoption came true against how probable it was said to be, equally filled bins."""
    figure, axes = _axes()
    parts = [p for p in np.array_split(np.argsort(probability, kind="stable"), bins) if len(p)]
    said = [probability[p].mean() for p in parts]
    came = [happened[p].mean() for p in parts]
    top = max([*said, *came, 1e-3])
    axes.plot([0, top], [0, top], color="#9ca3af", linestyle=":", label="perfect")
    axes.plot(said, came, marker="o", color="#2563eb", label="this model")
    axes.set(xlabel="said", ylabel="came true", title="Calibration of the probability of adoption")
    axes.legend()
    return figure


Table = Sequence[Sequence[str]]
"""Rows of cells; the first row is the head."""


def comparison(intervals: Mapping[str, Mapping[str, Interval]], others: Mapping[str, Mapping[str, float]]) -> Table:
    """One row per ranking, best NDCG first, each figure with its interval, then figures without one."""
    columns = list(next(iter(others.values())))
    rows = [["ranking", "NDCG@20", "Recall@20", "MRR", *columns]]
    for name in sorted(intervals, key=lambda n: -intervals[n]["ndcg"].mean):
        cells = [f"{i.mean:.4f} [{i.low:.4f}, {i.high:.4f}]" for i in intervals[name].values()]
        rows.append([name, *cells, *(f"{others[name][column]:.3f}" for column in columns)])
    return rows


def by_segment(metrics: Mapping[str, Mapping[str, float]]) -> Table:
    """One row per segment."""
    names = list(next(iter(metrics.values()), {}))
    return [["segment", *names], *([part, *(f"{v:.4g}" for v in values.values())] for part, values in metrics.items())]


def markdown(table: Table) -> str:
    """A table as Markdown."""
    head, *body = ["| " + " | ".join(row) + " |" for row in table]
    return "\n".join([head, "|" + "---|" * len(table[0]), *body]) + "\n"


def markdown_report(title: str, tables: Mapping[str, Table]) -> str:
    """Every table under its heading."""
    return f"# {title}\n\n" + "\n".join(f"## {name}\n\n{markdown(table)}" for name, table in tables.items())


def html_report(title: str, tables: Mapping[str, Table], figures: Mapping[str, Any]) -> str:
    """One page that needs no other file: every table, then every figure."""
    parts = [f"<h2>{escape(name)}</h2>{_html_table(table)}" for name, table in tables.items()]
    parts += [
        f'<img alt="{escape(name)}" src="data:image/png;base64,{_png(figure)}">' for name, figure in figures.items()
    ]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
        f"<h1>{escape(title)}</h1>{''.join(parts)}</html>"
    )


_STYLE: Final = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#111827}"
    "table{border-collapse:collapse;width:100%;font-size:13px}td,th{padding:.3rem .6rem;text-align:right;"
    "border-bottom:1px solid #e5e7eb}td:first-child,th:first-child{text-align:left}img{max-width:100%;margin:1rem 0}"
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


def _axes(height: float = 4.5) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes
