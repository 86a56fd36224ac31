"""Job: train the ranker of strategies on who took up what; it replaces the rule only where proven to be better."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np

from configs import Settings
from features.lake import Lake
from features.materialize import counts_until, dense_from, known_by
from models.interactions import Floats
from models.metrics import Interval, discounts, expected_calibration_error
from models.queries import Table
from models.ranker import Calibration, Ranker
from models.registry import CHAMPION, Registry, RunRecord
from models.schema import Schema
from models.strategies.kinds import read_kinds
from models.strategies.practice import WAYS
from models.strategies.queries import STRATEGIES, fit_strategies, the_rule
from training import drawings, report
from training.evaluate import ratio_of_sums
from training.judge import outcomes
from training.promote import Verdict
from training.report import Section
from training.split import Split, plan
from training.strategy_tables import Asked, Hindsight, asked_at

K: Final = 5
RULE: Final = "rule"
SERVED: Final = "present ranker"
Progress = Callable[[str, float], None]
Ranking = Callable[[Table], Floats]
"""Scores of every kind for every query of a table, shape (q, k)."""


@dataclass(frozen=True)
class Judged:
    """How rankings of strategies did on held-out queries, by NDCG@5.

    Attributes:
        means: ranking → mean over queries with its interval.
        gains: ranking → how much better the new ranker is, creators being resampled whole.
        queries, creators: how many.
        calibration_error: of the ranker's probabilities, over everybody.
    """

    means: Mapping[str, Interval]
    gains: Mapping[str, Interval]
    queries: int
    creators: int
    calibration_error: float

    @property
    def table(self) -> report.Table:
        """One row per ranking, the best first."""
        rows = [
            [name, report.with_interval(mean), report.with_interval(self.gains[name]) if name in self.gains else ""]
            for name, mean in sorted(self.means.items(), key=lambda pair: -pair[1].mean)
        ]
        return [["ranking", f"NDCG@{K}", "ranker − it"], *rows]


@dataclass(frozen=True)
class StrategyOutcome:
    """A finished run: what it found, None where the data are too short to hold anything out, and what became of it."""

    judged: Judged | None
    verdict: Verdict


def strategy_registry(settings: Settings) -> Registry:
    """Where rankers of strategies are registered, under a name of their own."""
    named = settings.mlflow.model_copy(update={"model_name": settings.strategy.ranker.model_name})
    return Registry(named, settings.home, STRATEGIES)


def train_strategies(
    lake: Lake,
    registry: Registry,
    as_of: datetime,
    settings: Settings,
    at: datetime,
    progress: Progress = lambda *_: None,
) -> StrategyOutcome:
    """Train as of an instant, judge on the latest cut-offs, register, and release what is proven to be better.

    Args:
        registry: `strategy_registry`.
        as_of: everything later is unknown, but for counts of posts where it is the latest instant of the lake.
        at: now, for the audit.
    """
    options = settings.strategy.ranker
    known = known_by(lake, counts_until(lake, as_of, settings), settings)
    split = _plan(dense_from(lake, as_of, settings), as_of, settings)
    hindsight, kinds = Hindsight(known), [kind for kind in read_kinds() if kind.evidence in WAYS]
    asked: dict[datetime, Asked] = {}
    for number, cutoff in enumerate(split.all):
        progress(f"cut-off {cutoff:%Y-%m-%d}", 0.8 * number / len(split.all))
        age_days = (as_of - cutoff).total_seconds() / 86_400 - options.horizon_days
        weight = 0.5 ** (age_days / options.half_life_days)
        labels = hindsight.taken_up(cutoff, options.horizon_days)
        asked[cutoff] = asked_at(lake, labels, kinds, options.horizon_days, weight, settings)
    progress("training", 0.8)
    held_out = _calibrated(_fit(asked, split.train, settings), [asked[cutoff] for cutoff in split.train[-1:]])
    final = _fit(asked, split.final, settings).with_calibration(held_out.calibration)
    progress("judging", 0.9)
    tested = [asked[cutoff] for cutoff in split.test]
    judged = judge_strategies(held_out, tested, settings, _served(registry, split)) if _wants(tested) else None
    version = registry.log(
        _record(lake, as_of, split, asked, judged, held_out, final, settings), f"strategies {as_of:%Y-%m-%d}"
    )
    verdict = decide(version, judged, registry.usable(CHAMPION) is not None)
    _release(registry, verdict, settings, at)
    return StrategyOutcome(judged, verdict)


def judge_strategies(
    ranker: Ranker, tested: Sequence[Asked], settings: Settings, served: Ranker | None = None
) -> Judged:
    """A ranker beside the rule, plain rankings and the ranker that serves, on the same queries.

    Args:
        tested: at least one of whom took something up.
        served: None where the rule serves.
    """
    rankings: dict[str, Ranking] = {"ranker": ranker.rank_panel, RULE: the_rule().rank_panel, **plain_rankings()}
    if served is not None:
        rankings[SERVED] = served.rank_panel
    tested = [asked for asked in tested if len(asked.table)]
    wanting = [some for asked in tested if len((some := asked.wanting()).table)]
    creators = np.concatenate([asked.creators for asked in wanting])
    found = {
        name: np.concatenate([graded_ndcg(ranking(asked.table), asked.table) for asked in wanting])
        for name, ranking in rankings.items()
    }
    raw, terms, came = outcomes(ranker, [asked.table for asked in tested])
    said = ranker.calibration.probability(raw, terms)
    return Judged(
        means={name: _mean(values, creators, settings) for name, values in found.items()},
        gains={n: _mean(found["ranker"] - values, creators, settings) for n, values in found.items() if n != "ranker"},
        queries=len(creators),
        creators=len(np.unique(creators)),
        calibration_error=expected_calibration_error(said, came),
    )


def plain_rankings() -> dict[str, Ranking]:
    """By what all take up lately, by what all do, and by what the creator does anyway."""

    def by(*names: str) -> Ranking:
        places = [STRATEGIES.inputs.index(name) for name in names]
        return lambda table: table.inputs[:, :, places].sum(axis=2)

    return {"popular": by("taken_up"), "usual": by("usual"), "own habit": by("usual", "own")}


def graded_ndcg(scores: Floats, table: Table, k: int = K) -> Floats:
    """NDCG of the k best allowed kinds per query that wants something, a grade being its own gain, shape (q,)."""
    grades = np.where(table.allowed, table.grades, 0).astype(float)
    order = np.argsort(-np.where(table.allowed, scores, -np.inf), axis=1, kind="stable")[:, :k]
    found = (np.take_along_axis(grades, order, axis=1) * discounts(k)).sum(axis=1)
    best = (-np.sort(-grades, axis=1)[:, :k] * discounts(k)).sum(axis=1)
    return np.asarray(found / best)


def _mean(values: Floats, creators: np.ndarray, settings: Settings) -> Interval:
    """The mean over queries; all queries of a creator are drawn together, for they are alike."""
    _, of = np.unique(creators, return_inverse=True)
    options = settings.promotion.resamples, settings.ranker.seed, settings.promotion.confidence
    sums, sizes = np.bincount(of, values).astype(np.float64), np.bincount(of).astype(np.float64)
    return ratio_of_sums(sums, sizes, *options)


def _plan(start: datetime, as_of: datetime, settings: Settings) -> Split:
    """Cut-offs of the strategies; nothing is tuned on a validation period, so there is none."""
    options = settings.strategy.ranker
    names = ("horizon_days", "cutoff_step_days", "max_cutoffs", "test_cutoffs", "min_history_days")
    changed = {name: getattr(options, name) for name in names} | {"validation_cutoffs": 0}
    return plan(start, as_of, settings.ranker.model_copy(update=changed))


def _wants(asked: Sequence[Asked]) -> bool:
    return any(one.table.grades.any() for one in asked)


def _fit(asked: Mapping[datetime, Asked], cutoffs: Sequence[datetime], settings: Settings) -> Ranker:
    tables = [asked[cutoff].wanting().table for cutoff in cutoffs]
    return fit_strategies([table for table in tables if len(table)], settings.strategy.ranker)


def _calibrated(ranker: Ranker, everybody: Sequence[Asked]) -> Ranker:
    tables = [asked.table for asked in everybody if len(asked.table)]
    return ranker.with_calibration(Calibration.fit(*outcomes(ranker, tables))) if tables else ranker


def _served(registry: Registry, split: Split) -> Ranker | None:
    """The held-out twin of the ranker that serves, where there is one that has not seen the period of the test."""
    champion = registry.usable(CHAMPION)
    if champion is None or not split.test:
        return None
    model = registry.load(champion)
    return model.held_out_ranker if model.trained_through <= min(split.test) else None


def decide(version: str, judged: Judged | None, serves: bool) -> Verdict:
    """Whether a new ranker takes over: its gain is proven over the rule and what serves, and nothing plain is better.

    Args:
        judged: None where nothing could be held out.
        serves: whether a ranker serves by now, and not the rule.
    """
    if judged is None or (serves and SERVED not in judged.gains):
        why = "nothing could be held out" if judged is None else "the present ranker has seen the held-out period"
        return Verdict(False, version, None, f"version {version} is registered; {_what(serves)} stays: {why}")
    gain = judged.gains[SERVED if serves else RULE]
    told = f"NDCG@{K} {gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}] on {judged.queries} held-out queries"
    better = [name for name, over in judged.gains.items() if over.mean < 0]
    if min(gain.low, judged.gains[RULE].low) <= 0 or better:
        why = f"«{better[0]}» ranks better" if better else "the gain is not proven"
        return Verdict(False, version, gain, f"{_what(serves)} stays: version {version}: {told}; {why}")
    return Verdict(True, version, gain, f"version {version} ranks strategies now: {told} against {_what(serves)}")


def _release(registry: Registry, verdict: Verdict, settings: Settings, at: datetime) -> None:
    if verdict.promoted:
        registry.promote(verdict.version, verdict.message, at)
        registry.release(CHAMPION, settings.released_strategy_models)


def _what(serves: bool) -> str:
    return "the present ranker" if serves else "the rule"


def _record(
    lake: Lake,
    as_of: datetime,
    split: Split,
    asked: Mapping[datetime, Asked],
    judged: Judged | None,
    held_out: Ranker,
    final: Ranker,
    settings: Settings,
) -> RunRecord:
    parameters = {
        "as_of": as_of.isoformat(),
        "data_hash": lake.fingerprint(),
        "train_cutoffs": _dates(split.train),
        "test_cutoffs": _dates(split.test),
        "train_queries": sum(len(asked[cutoff].wanting().table) for cutoff in split.train),
        "test_queries": judged.queries if judged else 0,
        **settings.strategy.ranker.model_dump(exclude={"linear", "trees"}),
        "ridge": settings.strategy.ranker.linear.ridge,
        **{f"trees.{name}": value for name, value in settings.strategy.ranker.trees.model_dump().items()},
    }
    drawn = {
        "weights.png": drawings.weights_figure(final.named_weights()),
        "importance.png": drawings.importance_figure(final.importance()),
    }
    weights = [["input", "weight"], *([name, f"{value:+.3f}"] for name, value in final.named_weights().items())]
    sections = (
        Section("Every ranking on the same queries", TOLD, judged.table if judged else []),
        Section("What the linear stage looks at", table=weights, drawing="weights.png"),
        Section("What the trees split on", drawing="importance.png"),
        Section("Parameters", table=[["parameter", "value"], *([k, str(v)] for k, v in parameters.items())]),
    )
    return RunRecord(
        parameters=parameters,
        metrics=_metrics(judged),
        figures=drawn,
        reports={"report.md": report.markdown_report(f"Ranker of strategies as of {as_of:%Y-%m-%d}", sections)},
        curve={},
        ranker=final,
        held_out_ranker=held_out,
        trained_through=split.trained_through,
        example=_example(final, asked, STRATEGIES),
        tags={"kind": "strategy"},
    )


TOLD: Final = (
    "A query is one creator at one cut-off. Wanted are the ways of posting that they then did for the first time, or "
    "clearly more often than before; the better those posts went against the creator's own, the more."
)


def _metrics(judged: Judged | None) -> dict[str, float]:
    if judged is None:
        return {}
    found = {"test.ranker.calibration_error": judged.calibration_error}
    for kind, intervals in (("", judged.means), ("gain_over.", judged.gains)):
        for name, interval in intervals.items():
            metric = f"test.{kind}{name.replace(' ', '_')}.ndcg{K}"
            found |= {metric: interval.mean, f"{metric}.low": interval.low, f"{metric}.high": interval.high}
    return found


def _example(ranker: Ranker, asked: Mapping[datetime, Asked], schema: Schema) -> Floats:
    """A few rows of the trees' features; a row of zeros where there is no query."""
    some = next((one.table for one in asked.values() if len(one.table)), None)
    return np.zeros((1, len(schema.features))) if some is None else ranker.best(some.query(0), 5).features


def _dates(cutoffs: Sequence[datetime]) -> str:
    return " ".join(f"{cutoff:%Y-%m-%d}" for cutoff in cutoffs)
