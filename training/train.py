"""Job: from the lake to a trained ranker, evaluated once on a period it has not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Final

import numpy as np

from configs import Settings
from features.lake import Lake
from features.materialize import dense_from, known_by
from features.store import FeatureRepository
from models.baseline import classifier_baselines, generator_baselines, popularity_baselines
from models.interactions import Floats
from models.pairs import FEATURES
from models.panel import Panel
from models.ranker import Calibration, Ranker, fit_ranker
from models.registry import RunRecord
from training import drawings, report
from training.ablate import Ablation, ablation_section, taken_away
from training.judge import NOT_JUDGED, Judgement, judge, outcomes
from training.panels import Progress, SharedMoments, build_panels, chosen, everybody, moment_at
from training.split import Split, plan
from training.stages import stage_hit_rates, stage_metrics


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
    split = plan(dense_from(lake, as_of, settings), as_of, settings.ranker)
    calibrating = [max(split.validation or split.train)] if split.train else []
    needed = [*split.all, *calibrating, *split.test]
    moments = SharedMoments(partial(moment_at, lake, features, settings=settings), needed)
    panels = build_panels(
        lake, features, known, split, settings, lambda text, share: progress(text, 0.7 * share), moments=moments
    )
    progress("the ranker under test", 0.7)
    learn = chosen(panels, split.train)
    held_out = _calibrated(fit_ranker(learn, settings.ranker), everybody(known, calibrating, settings, moments))
    progress("the ranker that serves", 0.8)
    stages = stage_hit_rates(list(panels.values()), known)
    final = fit_ranker(chosen(panels, split.final), settings.ranker).with_calibration(held_out.calibration)
    final = final.with_hit_rates({stage: rate.share for stage, rate in stages.items()})
    progress("baselines and evaluation", 0.9)
    judged, losses, test = NOT_JUDGED, list[Ablation](), chosen(panels, split.test)
    if test:
        classifiers = classifier_baselines(learn, settings.ranker.seed) if learn else {}
        plain = {**popularity_baselines(), **generator_baselines(), **classifiers}
        judged = judge(held_out, plain, test, settings, everybody(known, split.test, settings, moments))
        losses = taken_away(held_out, test, settings)
    parameters = _parameters(lake, as_of, split, panels, settings)
    record = _record(parameters, split, panels, held_out, final, judged, losses)
    return Trained(replace(record, metrics={**record.metrics, **stage_metrics(stages)}), judged)


def _calibrated(ranker: Ranker, everybody: Sequence[Panel]) -> Ranker:
    """The ranker with its probabilities fitted to what creators did, also those who adopted nothing."""
    if not everybody:
        return ranker
    raw, terms, came = outcomes(ranker, everybody)
    return ranker.with_calibration(Calibration.fit(raw, terms, came))


def _record(
    parameters: Mapping[str, object],
    split: Split,
    panels: Mapping[datetime, Panel],
    held_out: Ranker,
    final: Ranker,
    judged: Judgement,
    losses: Sequence[Ablation],
) -> RunRecord:
    drawn = {
        "importance.png": drawings.importance_figure(final.importance()),
        "weights.png": drawings.weights_figure(final.named_weights()),
        "learning.png": drawings.learning_figure(judged.curve),
        **(
            {"ablation.png": drawings.losses_figure({a.family: a.loss for a in losses}, "Taken away")} if losses else {}
        ),
        **judged.drawings,
    }
    return RunRecord(
        parameters=parameters,
        metrics={**judged.metrics, **{f"test.without.{a.family}.ndcg_loss": a.loss.mean for a in losses}},
        figures=drawn,
        reports=_reports(parameters, judged, losses, drawn),
        curve={"test.ndcg20_by_trees": judged.curve},
        ranker=final,
        held_out_ranker=held_out,
        trained_through=split.trained_through,
        example=_example(final, panels),
        tags={"warning": judged.warning} if judged.warning else {},
    )


def _reports(
    parameters: Mapping[str, object], judged: Judgement, losses: Sequence[Ablation], drawn: Mapping[str, Any]
) -> dict[str, str]:
    """The run's report as Markdown and as one page of HTML."""
    title = f"Ranker as of {parameters['as_of']}"
    told = (
        f"Judged on {parameters['test_queries']} queries after {parameters['test_cutoffs'] or 'no cut-off'}, by a twin "
        f"that learned from {parameters['train_queries']} queries whose outcomes were known before. A query is one "
        "creator at one cut-off; wanted are the trends that creator used for the first time within the days after it."
    )
    warning = (report.Section("Warning", judged.warning),) if judged.warning else ()
    sections = (
        *warning,
        report.Section("What was judged", told if judged.sections else judged.summary),
        *judged.sections,
        *((ablation_section(losses, ABLATED, "ablation.png"),) if losses else ()),
        report.Section("What the trees add", drawing="learning.png"),
        report.Section("What the model looks at", "Of the model that serves.", drawing="weights.png"),
        report.Section("What its trees split on", drawing="importance.png"),
        report.Section("Parameters", table=[["parameter", "value"], *([k, str(v)] for k, v in parameters.items())]),
    )
    return {
        "report.md": report.markdown_report(title, sections),
        "report.html": report.html_report(title, sections, drawn),
    }


ABLATED: Final = (
    "Each family of features is taken away from the trained model, which is not trained again: what it relies on. "
    "«harmonic ablate» trains again without each family, and so says what the family is worth."
)


def _example(ranker: Ranker, panels: Mapping[datetime, Panel]) -> Floats:
    """A few rows of the trees' features, shape (m, len(FEATURES)); a row of zeros where there is no query."""
    if not panels:
        return np.zeros((1, len(FEATURES)))
    some = panels[max(panels)]
    return ranker.best(some.query(0), 5).features


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
