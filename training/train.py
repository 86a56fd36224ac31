"""Job: from the lake to a trained ranker, evaluated once on a period it has not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from configs import Settings
from features.lake import Lake
from features.materialize import known_by
from features.store import FeatureRepository
from models.baseline import classifier_baselines, generator_baselines, popularity_baselines
from models.interactions import Floats
from models.metrics import Interval, expected_calibration_error
from models.pairs import FEATURES
from models.panel import Panel, Ranking
from models.ranker import LEAST, Calibration, Ranker, creator_terms, fit_ranker
from models.registry import RunRecord
from training import report
from training.evaluate import METRICS, Figures, Segment, figures, generator_recall, score_panels, segments
from training.panels import Progress, build_panels, chosen, dense_from, everybody
from training.split import Split, plan


@dataclass(frozen=True)
class Judgement:
    """How rankings did on held-out queries.

    Attributes:
        figures: ranking → figures per query; empty where the data were too short to hold anything out.
        metrics: name → value, for the run.
        table: Markdown comparison of every ranking.
        drawings: file name → matplotlib figure.
        curve: NDCG after 0, a quarter, … all rounds of the trees.
    """

    figures: Mapping[str, Figures]
    metrics: Mapping[str, float]
    table: str
    drawings: Mapping[str, Any]
    curve: tuple[float, ...] = ()

    @property
    def popularity(self) -> dict[str, Figures]:
        """The figures of the popularity baselines alone."""
        return {name: self.figures[name] for name in popularity_baselines() if name in self.figures}


NOT_JUDGED: Final = Judgement({}, {}, "The data are too short to hold anything out: nothing was evaluated.\n", {})


@dataclass(frozen=True)
class Trained:
    """What a training run found, ready to be logged."""

    record: RunRecord
    judged: Judgement


def train(
    lake: Lake,
    features: FeatureRepository,
    as_of: datetime,
    settings: Settings,
    progress: Progress = lambda *_: None,
) -> Trained:
    """Train the ranker, and evaluate it and its baselines on the test queries.

    Two rankers come of it: one that has not seen the held-out period, which is evaluated and compared, and one
    of the same recipe trained on everything, which serves. Where nothing can be learned, both are the prior.
    """
    known = known_by(lake, as_of, settings)
    split = plan(dense_from(known), as_of, settings.ranker)
    panels = build_panels(lake, features, known, split, settings, lambda text, share: progress(text, 0.7 * share))
    progress("the ranker under test", 0.7)
    learn = chosen(panels, split.train)
    held_out = _calibrated(fit_ranker(learn, settings.ranker), everybody(lake, features, known, split, settings))
    progress("the ranker that serves", 0.8)
    final = fit_ranker(chosen(panels, split.final), settings.ranker).with_calibration(held_out.calibration)
    progress("baselines and evaluation", 0.9)
    judged, test = NOT_JUDGED, chosen(panels, split.test)
    if test:
        classifiers = classifier_baselines(learn, settings.ranker.seed) if learn else {}
        plain = {**popularity_baselines(), **generator_baselines(), **classifiers}
        judged = judge(held_out, plain, test, settings)
    parameters = _parameters(lake, as_of, split, panels, settings)
    return Trained(_record(parameters, split, panels, held_out, final, judged), judged)


def judge(ranker: Ranker, plain: Mapping[str, Ranking], panels: Sequence[Panel], settings: Settings) -> Judgement:
    """A ranker, its linear stage alone, and plain rankings on the same queries."""
    rankings = {"ranker": ranker.rank_panel, "linear_stage": _linear_stage(ranker), **plain}
    scores = {name: score_panels(ranking, panels) for name, ranking in rankings.items()}
    found = {name: figures(tables, panels) for name, tables in scores.items()}
    intervals = {name: _intervals(f, settings) for name, f in found.items()}
    raw, terms, came = _outcomes(ranker, panels)
    said = ranker.calibration.probability(raw, terms)
    metrics = _metrics(intervals, found) | {"test.ranker.calibration_error": expected_calibration_error(said, came)}
    return Judgement(
        figures=found,
        metrics=metrics
        | {f"test.{name}.recall500": share for name, share in generator_recall(panels).items()}
        | _segment_metrics(scores["ranker"], panels, segments(settings.ranker.established_posts)),
        table=report.comparison_table(intervals, {name: f.coverage for name, f in found.items()}),
        drawings={"calibration.png": report.calibration_figure(said, came)},
        curve=_learning_curve(ranker, panels),
    )


def _learning_curve(ranker: Ranker, panels: Sequence[Panel]) -> tuple[float, ...]:
    """NDCG on the panels after 0, a quarter, … all rounds of the trees."""
    rounds = max((booster.num_trees() for booster in ranker.boosters), default=0)
    steps = sorted({round(rounds * share) for share in (0, 0.25, 0.5, 0.75, 1)})
    cut = [ranker.first_rounds(step) for step in steps]
    return tuple(figures(score_panels(r.rank_panel, panels), panels).mean("ndcg") for r in cut)


def _linear_stage(ranker: Ranker) -> Ranking:
    return lambda panel: np.asarray(panel.inputs @ ranker.weights.astype(np.float32), float)


def _calibrated(ranker: Ranker, everybody: Sequence[Panel]) -> Ranker:
    """The ranker with its probabilities fitted to what creators did, also those who adopted nothing."""
    if not everybody:
        return ranker
    raw, terms, came = _outcomes(ranker, everybody)
    return ranker.with_calibration(Calibration.fit(raw, terms, came))


def _outcomes(ranker: Ranker, panels: Sequence[Panel]) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    """Raw score, creator's terms and outcome of every trend on every shortlist."""
    raw, terms, came = [], [], []
    for asked in panels:
        scores = ranker.rank_panel(asked)
        seen = asked.allowed & (scores > LEAST)
        raw.append(scores[seen])
        terms.append(np.stack([creator_terms(creator) for creator in asked.creators])[np.nonzero(seen)[0]])
        came.append(asked.grades[seen] > 0)
    return np.concatenate(raw), np.concatenate(terms), np.concatenate(came)


def _record(
    parameters: Mapping[str, object],
    split: Split,
    panels: Mapping[datetime, Panel],
    held_out: Ranker,
    final: Ranker,
    judged: Judgement,
) -> RunRecord:
    return RunRecord(
        parameters=parameters,
        metrics=judged.metrics,
        figures={
            "importance.png": report.importance_figure(final.importance()),
            "weights.png": report.weights_figure(final.named_weights()),
            "learning.png": report.learning_figure(judged.curve),
            **judged.drawings,
        },
        reports={"comparison.md": judged.table},
        curve={"test.ndcg20_by_trees": judged.curve},
        ranker=final,
        held_out_ranker=held_out,
        trained_through=split.trained_through,
        example=_example(final, panels),
    )


def _example(ranker: Ranker, panels: Mapping[datetime, Panel]) -> Floats:
    """A few rows of the trees' features, shape (m, len(FEATURES)); a row of zeros where there is no query."""
    if not panels:
        return np.zeros((1, len(FEATURES)))
    some = panels[max(panels)]
    return ranker.best(some.market, some.creators[0], some.inputs[0].astype(float), some.allowed[0], 5).features


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


def _segment_metrics(
    scores: Sequence[Floats], panels: Sequence[Panel], parts: Mapping[str, Segment]
) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for part, segment in parts.items():
        found = figures(scores, panels, segment)
        metrics[f"test.ranker.{part}.queries"] = float(len(found.per_query["ndcg"]))
        metrics |= {f"test.ranker.{part}.{metric}": found.mean(metric) for metric in METRICS}
    return metrics


def _parameters(
    lake: Lake, as_of: datetime, split: Split, panels: Mapping[datetime, Panel], settings: Settings
) -> dict[str, object]:
    options = settings.ranker
    return {
        "as_of": as_of.isoformat(),
        "data_hash": lake.fingerprint(),
        "train_cutoffs": _dates(split.train),
        "validation_cutoffs": _dates(split.validation),
        "test_cutoffs": _dates(split.test),
        "train_queries": sum(len(p) for p in chosen(panels, split.train)),
        "test_queries": sum(len(p) for p in chosen(panels, split.test)),
        **{f"ranker.{k}": v for k, v in options.model_dump(exclude={"linear", "trees"}).items()},
        **{f"linear.{k}": v for k, v in options.linear.model_dump().items()},
        **{f"trees.{k}": v for k, v in options.trees.model_dump().items()},
        **{f"candidates.{k}": v for k, v in settings.candidates.model_dump().items()},
        "posts_known": settings.lake.posts_known,
    }


def _dates(cutoffs: Sequence[datetime]) -> str:
    return " ".join(f"{cutoff:%Y-%m-%d}" for cutoff in cutoffs)
