"""Job: from the lake to a registered challenger, evaluated once on a period it has not seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np

from configs import Settings
from features.history import History
from features.lake import Lake
from features.materialize import known_by, write_features
from features.store import FeatureRepository
from models.baseline import Scorer, fit_classifiers, generator_baselines, popularity_baselines
from models.errors import TooLittleData
from models.examples import Examples
from models.metrics import Interval, expected_calibration_error
from models.moment import Moment, moment, offline
from models.ranker import Calibration, LambdaRanker, fit_ranker
from models.registry import RunRecord
from training import report
from training.dataset import ranking_examples, training_examples
from training.evaluate import METRICS, Figures, figures, segments
from training.labels import adoptions
from training.split import Split, plan

Progress = Callable[[str, float], None]
"""Called with what is being done and the share of the whole job that is done."""


@dataclass(frozen=True)
class Datasets:
    """Examples of each part of a split; `test` and `calibrate` hold what serving would score, unsampled."""

    split: Split
    train: Examples
    final: Examples
    validation: Examples | None
    calibrate: Examples | None
    test: Examples | None


@dataclass(frozen=True)
class Judgement:
    """How rankings did on held-out queries.

    Attributes:
        figures: ranking → figures per query; empty where the data were too short to hold anything out.
        metrics: name → value, for the run.
        table: Markdown comparison of every ranking.
        drawings: file name → matplotlib figure.
    """

    figures: Mapping[str, Figures]
    metrics: Mapping[str, float]
    table: str
    drawings: Mapping[str, Any]

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


def build_datasets(
    lake: Lake, features: FeatureRepository, as_of: datetime, settings: Settings, progress: Progress
) -> Datasets:
    """Features and labels at every cut-off of the split, nothing in them later than `as_of`.

    Raises:
        TooShort, TooLittleData: there is nothing to learn from.
    """
    known = known_by(lake, as_of, settings)
    split = plan(_start(known), as_of, settings.ranker)
    learn: dict[datetime, Examples | None] = {}
    rank: dict[datetime, Examples | None] = {}
    for number, cutoff in enumerate(split.all):
        progress(f"cut-off {cutoff:%Y-%m-%d}", number / len(split.all))
        world = _world(lake, features, cutoff, settings)
        labels = adoptions(known, cutoff, settings.ranker.horizon_days)
        learn[cutoff] = training_examples(world, labels, settings.ranker)
        if cutoff in (*split.validation, *split.test):
            rank[cutoff] = ranking_examples(world, labels, settings.ranker, settings.candidates.per_request)
    train, final = _join(learn, split.train), _join(learn, split.final)
    if train is None or final is None:
        raise TooLittleData("no creator adopted a live trend within any horizon: nothing to learn from; ingest more posts")
    return Datasets(split, train, final, _join(learn, split.validation), _join(rank, split.validation), _join(rank, split.test))


def held_out_queries(
    lake: Lake, features: FeatureRepository, as_of: datetime, settings: Settings, progress: Progress = lambda *_: None
) -> Examples:
    """The test queries of a run as of `as_of`: what serving would have scored, with what was adopted then.

    Raises:
        TooShort, TooLittleData: there is no test period, or nobody adopted anything in it.
    """
    known = known_by(lake, as_of, settings)
    split = plan(_start(known), as_of, settings.ranker)
    parts: dict[datetime, Examples | None] = {}
    for number, cutoff in enumerate(split.test):
        progress(f"cut-off {cutoff:%Y-%m-%d}", number / len(split.test))
        world = _world(lake, features, cutoff, settings)
        labels = adoptions(known, cutoff, settings.ranker.horizon_days)
        parts[cutoff] = ranking_examples(world, labels, settings.ranker, settings.candidates.per_request)
    examples = _join(parts, split.test)
    if examples is None:
        raise TooLittleData(f"the data up to {as_of:%Y-%m-%d} hold no test queries: ingest more posts")
    return examples


def _world(lake: Lake, features: FeatureRepository, cutoff: datetime, settings: Settings) -> Moment:
    """The moment of a cut-off, its features written to the store and read back through the point-in-time join."""
    past = known_by(lake, cutoff, settings)
    write_features(past, features, settings)
    return moment(past, offline(features, cutoff), settings)


def train(
    lake: Lake, features: FeatureRepository, as_of: datetime, settings: Settings, progress: Progress = lambda *_: None
) -> Trained:
    """Train the ranker and its baselines, and evaluate all of them on the test queries."""
    data = build_datasets(lake, features, as_of, settings, lambda text, share: progress(text, 0.6 * share))
    progress("trees", 0.6)
    options = settings.ranker
    held_out = fit_ranker(data.train, data.validation, options.trees, options.seed)
    held_out = held_out.with_calibration(_calibration(held_out, data))
    progress("the model that serves", 0.75)
    rounds = {**options.trees, "n_estimators": held_out.trees}
    final = fit_ranker(data.final, None, rounds, options.seed).with_calibration(held_out.calibration)
    progress("baselines and evaluation", 0.85)
    judged = NOT_JUDGED
    if data.test is not None:
        plain = {**popularity_baselines(), **generator_baselines(), **fit_classifiers(data.train, options.seed)}
        judged = judge_rankings({"ranker": held_out, **plain}, held_out.calibration, data.test, settings)
    return Trained(_record(data, held_out, final, judged, _parameters(lake, as_of, settings, data)), judged)


def _calibration(ranker: LambdaRanker, data: Datasets) -> Calibration:
    examples = data.calibrate or data.train
    return Calibration.fit(ranker.score(examples.features), examples.grades > 0)


def judge_rankings(
    rankings: Mapping[str, Scorer], calibration: Calibration, examples: Examples, settings: Settings
) -> Judgement:
    """Every ranking on the same queries; the one named «ranker» also by segment and in its calibration."""
    scores = {name: ranking.score(examples.features) for name, ranking in rankings.items()}
    found = {name: figures(score, examples) for name, score in scores.items()}
    intervals = {name: _intervals(f, settings) for name, f in found.items()}
    metrics = _metrics(intervals, found, segments(scores["ranker"], examples))
    probability, happened = calibration.probability(scores["ranker"]), examples.grades > 0
    metrics["test.ranker.calibration_error"] = expected_calibration_error(probability, happened)
    return Judgement(
        figures=found,
        metrics=metrics,
        table=report.comparison_table(intervals, {name: f.coverage for name, f in found.items()}),
        drawings={"calibration.png": report.calibration_figure(probability, happened)},
    )


def _record(
    data: Datasets, held_out: LambdaRanker, final: LambdaRanker, judged: Judgement, parameters: Mapping[str, object]
) -> RunRecord:
    drawings = {
        "importance.png": report.importance_figure(final.importance()),
        "learning.png": report.learning_figure(held_out.curve),
    }
    return RunRecord(
        parameters=parameters,
        metrics=judged.metrics,
        figures={**drawings, **judged.drawings},
        reports={"comparison.md": judged.table},
        curve={"validation.ndcg20": held_out.curve},
        ranker=final,
        held_out_ranker=held_out,
        trained_through=max(data.split.train) + timedelta(days=int(str(parameters["ranker.horizon_days"]))),
        example=data.train.features[:5],
    )


def _intervals(found: Figures, settings: Settings) -> dict[str, Interval]:
    options = settings.promotion
    return {m: found.interval(m, options.resamples, settings.ranker.seed, options.confidence) for m in METRICS}


def _metrics(
    intervals: Mapping[str, Mapping[str, Interval]], found: Mapping[str, Figures], parts: Mapping[str, Mapping[str, float]]
) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for name, by_metric in intervals.items():
        metrics[f"test.{name}.coverage"] = found[name].coverage
        for metric, interval in by_metric.items():
            metrics[f"test.{name}.{metric}"] = interval.mean
            metrics[f"test.{name}.{metric}.low"], metrics[f"test.{name}.{metric}.high"] = interval.low, interval.high
    for part, values in parts.items():
        metrics |= {f"test.ranker.{part}.{metric}": value for metric, value in values.items()}
    return metrics


def _parameters(lake: Lake, as_of: datetime, settings: Settings, data: Datasets) -> dict[str, object]:
    split = data.split
    return {
        "as_of": as_of.isoformat(),
        "data_hash": lake.fingerprint(),
        "train_cutoffs": _dates(split.train),
        "validation_cutoffs": _dates(split.validation),
        "test_cutoffs": _dates(split.test),
        "train_queries": len(data.train),
        "test_queries": len(data.test) if data.test else 0,
        **{f"ranker.{k}": v for k, v in settings.ranker.model_dump().items()},
        **{f"candidates.{k}": v for k, v in settings.candidates.model_dump().items()},
        "posts_known": settings.lake.posts_known,
    }


def _join(parts: Mapping[datetime, Examples | None], cutoffs: tuple[datetime, ...]) -> Examples | None:
    chosen = [part for cutoff in cutoffs if (part := parts.get(cutoff)) is not None]
    return Examples.concatenate(chosen) if chosen else None


def _start(known: History) -> datetime:
    """The instant from which data are dense: before it lie at most 5 % of the posts."""
    return datetime.fromtimestamp(float(np.quantile(known.posts["created"], 0.05)) / 1e6, tz=UTC)


def _dates(cutoffs: tuple[datetime, ...]) -> str:
    return " ".join(f"{cutoff:%Y-%m-%d}" for cutoff in cutoffs)
