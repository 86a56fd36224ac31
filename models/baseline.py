"""Baselines that the ranker must beat: popularity, each generator by itself, and scikit-learn models of adoption."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from models.candidates import GENERATORS
from models.interactions import Floats
from models.pairs import INPUTS
from models.panel import Panel, Ranking

POPULARITY: Final = ("creators_1d", "creators_3d", "creators_7d", "creators_28d", "adopters_7d")


def popularity_baselines() -> dict[str, Ranking]:
    """The same list for everybody: distinct creators over four windows, and first uses in a week."""
    return {f"popular_{name}": _by_column(name) for name in POPULARITY}


def generator_baselines() -> dict[str, Ranking]:
    """Each candidate generator by itself, and the plain walk weighted by the week's creators."""
    walk = INPUTS.index("walk")

    def walk_by_week(panel: Panel) -> Floats:
        return np.asarray(panel.inputs[:, :, walk] + np.log(panel.market.column("creators_7d") + 0.1))

    return {**{name: _by_input(name) for name in GENERATORS}, "walk_x_popular_7d": walk_by_week}


def classifier_baselines(train: Sequence[Panel], seed: int, most_rows: int = 200_000) -> dict[str, Ranking]:
    """Histogram gradient boosting and logistic regression of «adopted or not» on the linear stage's inputs.

    Args:
        train: what to learn from.
        seed: of the sample of rows.
        most_rows: rows beyond this many are sampled down; adopted ones are all kept.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    inputs, adopted = _rows(train, seed, most_rows)
    trees = HistGradientBoostingClassifier(max_iter=100, early_stopping=False, random_state=seed)
    logistic = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    with threadpool_limits(limits=1):  # so few columns cost more in threads that wait than in work
        return {
            "hist_gradient_boosting": _by_probability(trees.fit(inputs, adopted)),
            "logistic": _by_probability(logistic.fit(inputs, adopted)),
        }


def _by_column(name: str) -> Ranking:
    return lambda panel: np.broadcast_to(panel.market.column(name), panel.allowed.shape)


def _by_input(name: str) -> Ranking:
    at = INPUTS.index(name)
    return lambda panel: np.asarray(panel.inputs[:, :, at], float)


def _by_probability(estimator: Any) -> Ranking:
    def scores(panel: Panel) -> Floats:
        flat = panel.inputs.reshape(-1, len(INPUTS))
        return np.asarray(estimator.predict_proba(flat)[:, 1]).reshape(panel.allowed.shape)

    return scores


def _rows(train: Sequence[Panel], seed: int, most: int) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    share = most / max(sum(int(panel.allowed.sum()) for panel in train), 1)
    inputs, adopted = [], []
    for panel in train:
        kept = panel.allowed & ((rng.random(panel.allowed.shape) < share) | (panel.grades > 0))
        inputs.append(panel.inputs[kept])
        adopted.append(panel.grades[kept] > 0)
    return np.concatenate(inputs), np.concatenate(adopted)
