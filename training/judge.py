"""Judge a ranker beside plain rankings on the same held-out queries: figures, tables and drawings for the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from configs import Settings
from models.baseline import generator_baselines, popularity_baselines
from models.candidates import GENERATORS
from models.interactions import Floats
from models.metrics import Interval, expected_calibration_error
from models.panel import Panel, Ranking
from models.queries import Queries
from models.ranker import LEAST, Ranker
from training import drawings, report, sections
from training.evaluate import (
    METRICS,
    Figures,
    Segment,
    best_of,
    chance,
    figures,
    generator_recall,
    ratio,
    score_panels,
    segments,
    suspicious,
)
from training.report import Section


@dataclass(frozen=True)
class Judgement:
    """How rankings did on held-out queries.

    Attributes:
        figures: ranking → figures per query; empty where nothing was held out.
        metrics: name → value, for the run.
        sections: of the report, the comparison of every ranking first.
        drawings: file name → matplotlib figure.
        curve: NDCG after 0, a quarter, … all rounds of the trees.
        jumps: rankings that are too good to be true → how many times as good as the best plain one.
    """

    figures: Mapping[str, Figures]
    metrics: Mapping[str, float]
    sections: tuple[Section, ...]
    drawings: Mapping[str, Any]
    curve: tuple[float, ...] = ()
    jumps: Mapping[str, float] = field(default_factory=dict)

    @property
    def warning(self) -> str:
        """What to look into before this is believed, empty where there is nothing."""
        return warning_of(self.jumps)

    @property
    def summary(self) -> str:
        """The comparison of every ranking as Markdown, what it says first."""
        if not self.sections:
            return "Nothing was held out, so nothing was evaluated: few posts are known, or a short time of them.\n"
        return f"{self.sections[0].text}\n\n{report.markdown(self.sections[0].table)}"

    @property
    def popularity(self) -> dict[str, Figures]:
        """The figures of the popularity baselines alone."""
        return {name: self.figures[name] for name in popularity_baselines() if name in self.figures}


def warning_of(jumps: Mapping[str, float]) -> str:
    """What jumps call for, as one sentence; empty without any."""
    told = ", ".join(f"{name} is {times:.1f} times as good" for name, times in jumps.items())
    return f"{told} as the best plain ranking: look for a feature from the future" if told else ""


NOT_JUDGED: Final = Judgement({}, {}, (), {})


def judge(
    ranker: Ranker,
    plain: Mapping[str, Ranking],
    panels: Sequence[Panel],
    settings: Settings,
    everybody: Sequence[Panel] = (),
) -> Judgement:
    """A ranker, its linear stage alone, and plain rankings on the same queries.

    Args:
        panels: queries that want something, for how good lists are.
        everybody: also creators who adopted nothing, for how true probabilities are; `panels` where absent.
    """
    rankings = {"ranker": ranker.rank_panel, "linear_stage": linear_stage(ranker), **plain}
    scores = {name: score_panels(ranking, panels) for name, ranking in rankings.items()}
    found = {name: figures(tables, panels) for name, tables in scores.items()}
    intervals = {name: _intervals(f, settings) for name, f in found.items()}
    raw, terms, came = outcomes(ranker, everybody or panels)
    said = ranker.calibration.probability(raw, terms)
    by_lot, proposed = chance(panels), generator_recall(panels)
    ratios = against_ranker(found, settings)
    parts = _by_segment(scores, found, panels, segments(settings.ranker.established_posts), settings)
    jumps = jumps_of(found, settings)
    metrics = _metrics(intervals, found)
    metrics |= {"test.ranker.calibration_error": expected_calibration_error(said, came)}
    metrics |= {"test.suspicious": float(len(jumps))} | {f"test.chance.{m}": value for m, value in by_lot.items()}
    metrics |= {f"test.{name}.recall500": share for name, share in proposed.items()}
    metrics |= {f"test.ranker.{part}.{name}": v for part, values in parts.items() for name, v in values.items()}
    metrics |= {f"test.ranker.over.{name}": interval.mean for name, interval in ratios.items()}
    return Judgement(
        figures=found,
        metrics=metrics,
        sections=sections.judged(found, intervals, ratios, by_lot, parts, proposed, settings.ranker.established_posts),
        drawings={
            "rankings.png": drawings.rankings_figure(
                {name: by_metric["ndcg"] for name, by_metric in intervals.items()}, tuple(sections.OURS), by_lot["ndcg"]
            ),
            "calibration.png": drawings.calibration_figure(said, came),
        },
        curve=_learning_curve(ranker, panels),
        jumps=jumps,
    )


def against_ranker(found: Mapping[str, Figures], settings: Settings) -> dict[str, Interval]:
    """Ranking → how many times as good as it the ranker is by NDCG@20, with its interval."""
    options = (settings.promotion.resamples, settings.ranker.seed, settings.promotion.confidence)
    return {name: ratio(found["ranker"], of, "ndcg", *options) for name, of in found.items() if name != "ranker"}


def jumps_of(found: Mapping[str, Figures], settings: Settings) -> dict[str, float]:
    """Rankings that are too good to be true → how many times as good as the best plain one; see `suspicious`."""
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


def linear_stage(ranker: Ranker) -> Ranking:
    """A ranker's first stage alone."""
    return lambda panel: np.asarray(panel.inputs @ ranker.weights.astype(np.float32), float)


def outcomes(ranker: Ranker, panels: Sequence[Queries]) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    """Raw score, terms and outcome of every candidate on every shortlist."""
    raw, terms, came = [], [], []
    for asked in panels:
        scores = ranker.rank_panel(asked)
        seen = asked.allowed & (scores > LEAST)
        raw.append(scores[seen])
        terms.append(asked.terms[np.nonzero(seen)[0]])
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
    scores: Mapping[str, Sequence[Floats]],
    found: Mapping[str, Figures],
    panels: Sequence[Panel],
    parts: Mapping[str, Segment],
    settings: Settings,
) -> dict[str, dict[str, float]]:
    """Segment → the ranker's figures, and beside them those of the generator that is best over all queries."""
    options = (settings.promotion.resamples, settings.ranker.seed, settings.promotion.confidence)
    best = best_of(found, GENERATORS) if any(name in found for name in GENERATORS) else "linear_stage"
    table: dict[str, dict[str, float]] = {}
    for part, segment in parts.items():
        ours, theirs = (figures(scores[name], panels, segment) for name in ("ranker", best))
        gained = ratio(ours, theirs, "ndcg", *options)
        table[part] = {
            "queries": float(len(ours.per_query["ndcg"])),
            **{metric: ours.mean(metric) for metric in METRICS},
            "generator_ndcg": theirs.mean("ndcg"),
            "ratio": gained.mean,
            "ratio.low": gained.low,
            "ratio.high": gained.high,
            "chance_ndcg": chance(panels, segment)["ndcg"],
        }
    return table
