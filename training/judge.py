"""Judge a ranker beside plain rankings on the same held-out queries: figures, tables and drawings for the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from configs import Settings
from models.baseline import generator_baselines, popularity_baselines
from models.interactions import Floats
from models.metrics import Interval, expected_calibration_error
from models.panel import Panel, Ranking
from models.ranker import LEAST, Ranker, creator_terms
from training import report
from training.evaluate import (
    METRICS,
    Figures,
    Segment,
    figures,
    generator_recall,
    score_panels,
    segments,
    suspicious,
)


@dataclass(frozen=True)
class Judgement:
    """How rankings did on held-out queries.

    Attributes:
        figures: ranking → figures per query; empty where the data were too short to hold anything out.
        metrics: name → value, for the run.
        tables: heading → table, the comparison of every ranking first.
        drawings: file name → matplotlib figure.
        curve: NDCG after 0, a quarter, … all rounds of the trees.
        jumps: rankings that are too good to be true → how many times as good as the best plain one.
    """

    figures: Mapping[str, Figures]
    metrics: Mapping[str, float]
    tables: Mapping[str, report.Table]
    drawings: Mapping[str, Any]
    curve: tuple[float, ...] = ()
    jumps: Mapping[str, float] = field(default_factory=dict)

    @property
    def warning(self) -> str:
        """What to look into before this is believed, empty where there is nothing."""
        told = ", ".join(f"{name} is {times:.1f} times as good" for name, times in self.jumps.items())
        return f"{told} as the best plain ranking: look for a feature from the future" if told else ""

    @property
    def summary(self) -> str:
        """The comparison of every ranking as Markdown."""
        if not self.tables:
            return "The data are too short to hold anything out: nothing was evaluated.\n"
        return report.markdown(next(iter(self.tables.values())))

    @property
    def popularity(self) -> dict[str, Figures]:
        """The figures of the popularity baselines alone."""
        return {name: self.figures[name] for name in popularity_baselines() if name in self.figures}


NOT_JUDGED: Final = Judgement({}, {}, {}, {})


def judge(ranker: Ranker, plain: Mapping[str, Ranking], panels: Sequence[Panel], settings: Settings) -> Judgement:
    """A ranker, its linear stage alone, and plain rankings on the same queries."""
    rankings = {"ranker": ranker.rank_panel, "linear_stage": _linear_stage(ranker), **plain}
    scores = {name: score_panels(ranking, panels) for name, ranking in rankings.items()}
    found = {name: figures(tables, panels) for name, tables in scores.items()}
    intervals = {name: _intervals(f, settings) for name, f in found.items()}
    raw, terms, came = outcomes(ranker, panels)
    said = ranker.calibration.probability(raw, terms)
    metrics = _metrics(intervals, found) | {"test.ranker.calibration_error": expected_calibration_error(said, came)}
    parts = _by_segment(scores["ranker"], panels, segments(settings.ranker.established_posts))
    proposed = generator_recall(panels)
    jumps = _jumps(found, settings)
    others = {name: {"coverage": f.coverage, "novelty": f.novelty} for name, f in found.items()}
    return Judgement(
        figures=found,
        metrics=metrics
        | {"test.suspicious": float(len(jumps))}
        | {f"test.{name}.recall500": share for name, share in proposed.items()}
        | {f"test.ranker.{part}.{name}": value for part, values in parts.items() for name, value in values.items()},
        tables={
            "Rankings on the held-out queries": report.comparison(intervals, others),
            "The ranker by segment": report.by_segment(parts),
            "Adoptions among the generators' 500 best": [
                ["generator", "recall"],
                *([n, f"{v:.4f}"] for n, v in proposed.items()),
            ],
        },
        drawings={"calibration.png": report.calibration_figure(said, came)},
        curve=_learning_curve(ranker, panels),
        jumps=jumps,
    )


def _jumps(found: Mapping[str, Figures], settings: Settings) -> dict[str, float]:
    plain = {*popularity_baselines(), *generator_baselines()} & set(found)
    if not plain:
        return {}
    options = settings.promotion
    return suspicious(
        {name: found[name] for name in found if name not in plain},
        {name: found[name] for name in found if name in plain},
        options.metric,
        options.resamples,
        settings.ranker.seed,
        options.confidence,
    )


def _learning_curve(ranker: Ranker, panels: Sequence[Panel]) -> tuple[float, ...]:
    """NDCG on the panels after 0, a quarter, … all rounds of the trees."""
    rounds = max((booster.num_trees() for booster in ranker.boosters), default=0)
    steps = sorted({round(rounds * share) for share in (0, 0.25, 0.5, 0.75, 1)})
    cut = [ranker.first_rounds(step) for step in steps]
    return tuple(figures(score_panels(r.rank_panel, panels), panels).mean("ndcg") for r in cut)


def _linear_stage(ranker: Ranker) -> Ranking:
    return lambda panel: np.asarray(panel.inputs @ ranker.weights.astype(np.float32), float)


def outcomes(ranker: Ranker, panels: Sequence[Panel]) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    """Raw score, creator's terms and outcome of every trend on every shortlist."""
    raw, terms, came = [], [], []
    for asked in panels:
        scores = ranker.rank_panel(asked)
        seen = asked.allowed & (scores > LEAST)
        raw.append(scores[seen])
        terms.append(np.stack([creator_terms(creator) for creator in asked.creators])[np.nonzero(seen)[0]])
        came.append(asked.grades[seen] > 0)
    return np.concatenate(raw), np.concatenate(terms), np.concatenate(came)


def _intervals(found: Figures, settings: Settings) -> dict[str, Interval]:
    options = settings.promotion
    return {m: found.interval(m, options.resamples, settings.ranker.seed, options.confidence) for m in METRICS}


def _metrics(intervals: Mapping[str, Mapping[str, Interval]], found: Mapping[str, Figures]) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for name, by_metric in intervals.items():
        metrics[f"test.{name}.coverage"], metrics[f"test.{name}.novelty"] = found[name].coverage, found[name].novelty
        for metric, interval in by_metric.items():
            metrics[f"test.{name}.{metric}"] = interval.mean
            metrics[f"test.{name}.{metric}.low"], metrics[f"test.{name}.{metric}.high"] = (
                interval.low,
                interval.high,
            )
    return metrics


def _by_segment(
    scores: Sequence[Floats], panels: Sequence[Panel], parts: Mapping[str, Segment]
) -> dict[str, dict[str, float]]:
    table: dict[str, dict[str, float]] = {}
    for part, segment in parts.items():
        found = figures(scores, panels, segment)
        means = {metric: found.mean(metric) for metric in METRICS}
        table[part] = {"queries": float(len(found.per_query["ndcg"])), **means}
    return table
