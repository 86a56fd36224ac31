"""What a run leaves for people: figures to look at and a table to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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


def comparison_table(intervals: Mapping[str, Mapping[str, Interval]], coverages: Mapping[str, float]) -> str:
    """Markdown: one row per ranking, best NDCG first, each figure with its interval."""
    lines = ["| ranking | NDCG@20 | Recall@20 | MRR | coverage |", "|---|---|---|---|---|"]
    for name in sorted(intervals, key=lambda n: -intervals[n]["ndcg"].mean):
        cells = [f"{i.mean:.4f} [{i.low:.4f}, {i.high:.4f}]" for i in intervals[name].values()]
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {coverages[name]:.3f} |")
    return "\n".join(lines) + "\n"


def _axes(height: float = 4.5) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes
