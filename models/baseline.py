"""Baselines that the ranker must beat: popularity as it is, and scikit-learn models of adoption."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from models.candidates import Floats, Ints
from models.examples import Examples
from models.pairs import FEATURES


class Scorer(Protocol):
    """Anything that gives every row of features a score to rank by."""

    def score(self, features: Floats) -> Floats:
        """Scores, shape (m,), higher is better."""
        ...


@dataclass(frozen=True)
class OneFeature:
    """Ranks by a single feature as it is; unknown comes last."""

    feature: str

    def score(self, features: Floats) -> Floats:
        """See `Scorer.score`."""
        return np.nan_to_num(features[:, FEATURES.index(self.feature)], nan=-np.inf)


@dataclass(frozen=True)
class Classifier:
    """A scikit-learn classifier of «adopted or not» over some of the features; ranks by its probability."""

    estimator: Any
    columns: Ints

    def score(self, features: Floats) -> Floats:
        """See `Scorer.score`."""
        return np.asarray(self.estimator.predict_proba(features[:, self.columns])[:, 1])


def popularity_baselines() -> dict[str, OneFeature]:
    """Distinct creators over four windows, and first uses in a week."""
    columns = ("creators_1d", "creators_3d", "creators_7d", "creators_28d", "adopters_7d")
    return {f"popular_{name}": OneFeature(name) for name in columns}


def generator_baselines() -> dict[str, OneFeature]:
    """Each candidate generator by itself."""
    return {name: OneFeature(name) for name in FEATURES if name.endswith("_score")}


def fit_classifiers(train: Examples, seed: int, most_rows: int = 200_000) -> dict[str, Classifier]:
    """Histogram gradient boosting and logistic regression on the ranker's own features.

    Args:
        train: what to learn from; columns that are unknown throughout are left out.
        seed: of the sample of rows.
        most_rows: rows beyond this many are sampled down.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows = np.sort(np.random.default_rng(seed).permutation(len(train.grades))[:most_rows])
    features, adopted = train.features[rows], train.grades[rows] > 0
    known = np.flatnonzero(~np.isnan(features).all(axis=0))
    trees = HistGradientBoostingClassifier(max_iter=150, learning_rate=0.08, early_stopping=False, random_state=seed)
    logistic = make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), LogisticRegression(max_iter=300, C=0.1))
    return {
        "hist_gradient_boosting": Classifier(trees.fit(features[:, known], adopted), known),
        "logistic": Classifier(logistic.fit(features[:, known], adopted), known),
    }
