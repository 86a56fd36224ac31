"""The drawings of a run's report: each takes figures and gives a matplotlib figure that a person can read alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.interactions import Floats
from models.metrics import Interval

BLUE: Final = "#2563eb"
GREY: Final = "#9ca3af"
RED: Final = "#dc2626"


def importance_figure(importance: Mapping[str, float], most: int = 25) -> Any:
    """Bars: share of the total gain per feature, the largest on top."""
    figure, axes = _axes(height=7)
    total = sum(importance.values()) or 1.0
    names = list(importance)[:most][::-1]
    axes.barh(names, [importance[name] / total for name in names], color=BLUE)
    axes.set(xlabel="share of the gain of all splits", title=f"What the trees split on: the {most} most used features")
    if not names:
        _say(axes, "this model has no trees: there was too little to learn them from")
    return figure


def weights_figure(weights: Mapping[str, float]) -> Any:
    """Bars: weights of the linear stage, the largest on top."""
    figure, axes = _axes(height=6)
    names = sorted(weights, key=lambda name: weights[name])
    axes.barh(names, [weights[name] for name in names], color=BLUE)
    axes.axvline(0, color=GREY)
    axes.set(xlabel="weight (above 0: more of it, higher on the list)", title="The linear stage: weight of each input")
    return figure


def learning_figure(curve: Sequence[float]) -> Any:
    """Line: NDCG@20 on the held-out queries after 0, a quarter, … all rounds of the trees."""
    figure, axes = _axes()
    axes.set(xlabel="share of the trees", ylabel="NDCG@20, held out", title="What the trees add to the linear stage")
    if curve:
        axes.plot(np.linspace(0, 1, len(curve)), curve, marker="o", color=BLUE)
    else:
        _say(axes, "nothing was held out")
    return figure


def calibration_figure(probability: Floats, happened: npt.NDArray[np.bool_], bins: int = 10) -> Any:
    """Points: how often an adoption came true against how probable it was said to be, equally filled bins."""
    figure, axes = _axes()
    parts = [p for p in np.array_split(np.argsort(probability, kind="stable"), bins) if len(p)]
    said = np.array([probability[p].mean() for p in parts])
    came = np.array([happened[p].mean() for p in parts])
    least = 0.5 / max(max(map(len, parts), default=1), 1)  # a logarithm has no zero: half of one adoption
    ends = (max(min([*said, *came, 1.0]), least) / 1.5, max([*said, *came, 2 * least]) * 1.5)
    axes.plot(ends, ends, color=GREY, linestyle=":", label="said = came true")
    axes.plot(np.maximum(said, least), np.maximum(came, least), marker="o", color=BLUE, label="this model")
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="probability that the model said",
        ylabel="share that came true",
        title="Calibration: each point is a tenth of what was recommended",
    )
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(_percent)
    axes.legend()
    return figure


def rankings_figure(intervals: Mapping[str, Interval], ours: Sequence[str], chance: float) -> Any:
    """Points with intervals: one metric of every ranking, the best on top, those of `ours` in colour."""
    figure, axes = _axes(height=1.2 + 0.32 * len(intervals))
    names = sorted(intervals, key=lambda name: intervals[name].mean)
    for place, name in enumerate(names):
        _point(axes, intervals[name], place, BLUE if name in ours else "#4b5563")
    axes.axvline(chance, color=RED, linestyle=":", label="a list drawn by lot")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="NDCG@20, with its interval", title="Every ranking on the same queries", xlim=(0, None))
    axes.legend(loc="lower right")
    return figure


def losses_figure(losses: Mapping[str, Interval], title: str) -> Any:
    """Points with intervals: what is lost without each family, the largest loss on top."""
    figure, axes = _axes(height=1.2 + 0.35 * len(losses))
    names = sorted(losses, key=lambda name: losses[name].mean)
    for place, name in enumerate(names):
        _point(axes, losses[name], place, BLUE)
    axes.axvline(0, color=GREY)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="NDCG@20 lost without it (right of 0: it helps)", title=title)
    return figure


def ratio_figure(labels: Sequence[str], series: Mapping[str, Sequence[Interval]]) -> Any:
    """Points with intervals by cut-off: how many times as good the ranker is as each of a few others; 1 is as good."""
    figure, axes = _axes()
    for number, (name, intervals) in enumerate(series.items()):
        at = np.arange(len(labels)) + 0.12 * (number - (len(series) - 1) / 2)
        middle = np.array([i.mean for i in intervals])
        gaps = np.array([[i.mean - i.low for i in intervals], [i.high - i.mean for i in intervals]])
        colour = (BLUE, "#4b5563", "#059669")[number % 3]
        axes.errorbar(at, middle, yerr=np.maximum(gaps, 0), fmt="o", capsize=3, color=colour, label=name)
    axes.axhline(1, color=RED, linestyle=":", label="no better than it")
    axes.set_xticks(range(len(labels)), labels, rotation=30 if len(labels) > 5 else 0)
    axes.set(
        xlabel="trained on what was known by", ylabel="NDCG@20: ranker ÷ it", title="The ranker against others, by week"
    )
    axes.legend()
    return figure


def _point(axes: Any, interval: Interval, place: int, colour: str) -> None:
    gaps = [[max(interval.mean - interval.low, 0)], [max(interval.high - interval.mean, 0)]]
    axes.errorbar([interval.mean], [place], xerr=gaps, fmt="o", capsize=3, color=colour)


def _percent(value: float, _: int) -> str:
    return f"{value:.3g}" if value >= 1 else f"{100 * value:.3g} %"


def _say(axes: Any, text: str) -> None:
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, color=GREY)


def _axes(height: float = 4.5) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes
