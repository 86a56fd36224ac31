"""The bars: what each figure must reach, what it should, and whether it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Bar:
    """One bar.

    Attributes:
        name: for people.
        figure: where the figure stands, its path joined by dots.
        must, aim: what it must reach, and should; None where it is only told.
        at_most: whether less is better.
        unit: of the figure.
    """

    name: str
    figure: str
    must: float | None
    aim: float | None
    at_most: bool = True
    unit: str = ""

    def of(self, figures: Mapping[str, Any]) -> float | None:
        """The figure, None where it was not taken."""
        try:
            found = reduce(lambda tree, name: tree[name], self.figure.split("."), figures)
        except KeyError:
            return None
        return float(found)  # type: ignore[arg-type]

    def met(self, figure: float) -> str:
        """Whether a figure reaches the bar: `aim`, `must`, `no`; empty where there is none."""
        for name, bar in (("aim", self.aim), ("must", self.must)):
            if bar is not None and (figure <= bar if self.at_most else figure >= bar):
                return name
        return "" if self.must is None else "no"


BARS: Final = (
    Bar("whole request, p50 ÷ LightGBM's own predict", "ratios.request_to_predict", 0.25, 0.07),
    Bar("the same of the champion, on as many rows", "ratios.champion_request_to_predict", None, None),
    Bar("p99 ÷ p50, 1 client", "ratios.p99_to_p50", 3, 2),
    Bar("p50: tutorial ÷ this", "ratios.tutorial_to_service_p50", 60, 150, at_most=False),
    Bar("requests/s at 8 clients, 2 workers: this ÷ tutorial", "ratios.service_to_tutorial_rps", 150, 400, False),
    Bar("p99 at 8 clients, 70 % of the highest throughput", "service.p99_at_70_ms", 25, 10, unit="ms"),
    Bar("at ten times the candidates: request ÷ predict", "ratios.many_candidates_request_to_predict", 0.10, 0.03),
    Bar("ten times the trends: p50 grows by", "ratios.many_trends_growth", 2, 1.2),
    Bar("memory of a worker", "service.rss_mb", 350, 220, unit="MiB"),
)


def judged(figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every bar whose figure was taken, with it and whether it is met."""
    taken = ((bar, figure) for bar in BARS if (figure := bar.of(figures)) is not None)
    return [
        {"name": bar.name, "figure": figure, "must": bar.must, "aim": bar.aim, "unit": bar.unit, "met": bar.met(figure)}
        for bar, figure in taken
    ]


def table(figures: Mapping[str, Any]) -> Table:
    """The bars for a terminal."""
    from rich.table import Table

    shown = Table(title="serving, beside its bars")
    for column in ("figure", "measured", "must", "aim", "met"):
        shown.add_column(column, justify="left" if column in ("figure", "met") else "right")
    for bar in judged(figures):
        sides = [_told(bar[name], bar["unit"]) for name in ("figure", "must", "aim")]
        shown.add_row(bar["name"], *sides, bar["met"])
    return shown


def _told(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:.3g} {unit}".strip()
