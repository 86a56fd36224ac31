"""What the ranker of strategies takes in, of creators and every kind of strategy, and how it is fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from configs import StageSettings
from features.evidence.lifts import Measure
from models.compiled.masks import CompiledForest
from models.compiled.prepared import compiled_forest
from models.interactions import Floats, Ints
from models.linear import fit_linear
from models.queries import Queries, stage_one_columns
from models.ranker import Calibration, Ranker, fit_trees
from models.schema import Schema
from models.strategies.kinds import (
    EFFORTS,
    FIT_WEIGHT,
    NO_CONDITIONS_FIT,
    PRIOR_LIFT,
    KindLike,
    Known,
    fit,
    shrunk_lift,
)
from models.strategies.practice import COLUMNS, WAYS

PACE: Final = ("log_posts_28d", "log_days_since_post")
"""What of a creator says how much they will take up at all."""

STRATEGIES: Final = Schema.of_table(
    "strategies",
    inputs=("lift", "own_fit", "told_fit", "effort", *COLUMNS),
    others=PACE,
    rising=("lift",),
    falling=("stage_one_place",),
    terms=PACE,
)
"""Own fit is by what a creator's profile tells, told fit by the slate and the request. What rises by its lift also
rises among the others, and must not fall for that."""

RULE: Final = {"lift": 1 / PRIOR_LIFT, "own_fit": FIT_WEIGHT / PRIOR_LIFT, "told_fit": FIT_WEIGHT / PRIOR_LIFT}
"""Today's rule as weights: where they start, and stay where nothing can be learned. Raw scores × `PRIOR_LIFT` are in
log-lift."""

Measures = Mapping[str, Measure]


def inputs_of(
    kinds: Sequence[KindLike], measures: Measures, followed: Measures, own: Known, told: Known, columns: Floats
) -> Floats:
    """The inputs of every creator and kind, shape (q, k, len(STRATEGIES.inputs)).

    Args:
        measures: evidence query → what it was worth in the lake.
        followed: strategy's id → what it was worth to those who were given it and followed.
        own, told: features of conditions; of both no feature twice, one value per creator or one for all.
        columns: `Practice.columns` of the creators, shape (q, w, len(COLUMNS)).
    """
    inputs = np.zeros((len(columns), len(kinds), len(STRATEGIES.inputs)))
    usual = columns.mean(axis=1)  # of what posts cannot be recognised by
    for at, kind in enumerate(kinds):
        inputs[:, at, 0] = shrunk_lift(measures.get(kind.evidence), followed.get(kind.id))
        inputs[:, at, 1] = fit(kind, own) if kind.fits else NO_CONDITIONS_FIT
        inputs[:, at, 2] = fit(kind, told)
        inputs[:, at, 3] = EFFORTS.index(kind.effort)
        inputs[:, at, 4:] = columns[:, WAYS.index(kind.evidence)] if kind.evidence in WAYS else usual
    return inputs


def pace_of(posts_28d: Floats, days_since_post: Floats) -> Floats:
    """`PACE` of creators, shape (q, 2)."""
    return np.log1p(np.column_stack([posts_28d, days_since_post]))


def fit_strategies(tables: Sequence[Queries], settings: StageSettings) -> Ranker:
    """Both stages; what was measured to work never counts for less than by today's rule.

    Args:
        tables: every query wants something.
        settings: of the stages; the linear one starts at `RULE`.
    """
    weights = fit_linear(tables, settings.linear.model_copy(update={"prior": RULE}), STRATEGIES)
    lift = STRATEGIES.inputs.index("lift")
    weights[lift] = max(weights[lift], RULE["lift"])
    linear, queries = replace(the_rule(), weights=weights), sum(len(table) for table in tables)
    if queries < max(settings.trees.least_queries, 1):
        return linear
    trust = queries / (queries + settings.trees.trust_queries)
    return replace(linear, boosters=fit_trees(linear, tables, settings.trees), trust=trust)


@dataclass(frozen=True)
class StrategyScorer:
    """A ranker of strategies, its trees compiled, for one creator at a time.

    Attributes:
        ranker: of `STRATEGIES`.
        forest: its trees; None where it has none, or LightGBM has to predict them.
    """

    ranker: Ranker
    forest: CompiledForest | None

    @classmethod
    def of(cls, ranker: Ranker) -> StrategyScorer:
        """Compile a ranker."""
        return cls(ranker, compiled_forest(ranker))

    def score(self, inputs: Floats, pace: Floats) -> Floats:
        """Scores of every kind in log-lift, shape (k,); by the rule alone, they are the rule's.

        Args:
            inputs: shape (k, len(STRATEGIES.inputs)).
            pace: shape (len(PACE),).
        """
        raw = inputs @ self.ranker.weights
        if self.ranker.boosters:
            rows = np.arange(len(raw))
            own = np.broadcast_to(pace, (len(raw), len(pace)))
            features = np.column_stack([inputs, own, stage_one_columns(raw, rows)])
            raw = raw + self._added(features, rows)
        return np.asarray(raw * PRIOR_LIFT)

    def _added(self, features: Floats, rows: Ints) -> Floats:
        if self.forest is None:
            return self.ranker.correction(features, threads=1)
        prepared = self.forest.prepare(np.zeros((len(rows), 0)))
        return np.asarray(self.ranker.trust * prepared.score(np.zeros(0), rows, features))


def the_rule() -> Ranker:
    """Today's rule as a ranker."""
    calibration = Calibration(pace=(0.0,) * len(STRATEGIES.terms))
    return Ranker(STRATEGIES.weights(RULE), (), 0.0, 100, calibration, schema=STRATEGIES)
