"""The ranker: LightGBM LambdaRank over pair features, its raw score calibrated to a probability of adoption."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.candidates import Floats
from models.errors import IncompatibleModel
from models.examples import Examples
from models.pairs import FEATURES

MODEL_FILE = "ranker.txt"
META_FILE = "ranker.json"


@dataclass(frozen=True)
class Calibration:
    """Platt's sigmoid: probability = 1 ÷ (1 + exp(−(slope × score + intercept)))."""

    slope: float
    intercept: float

    def probability(self, raw: Floats) -> Floats:
        """Probability of adoption within the horizon, the shape of `raw`."""
        return np.asarray(1 / (1 + np.exp(-(self.slope * raw + self.intercept))))

    @classmethod
    def fit(cls, raw: Floats, adopted: Floats) -> Calibration:
        """Logistic regression of what happened on the raw score (Platt, 1999)."""
        from sklearn.linear_model import LogisticRegression

        if len(np.unique(adopted)) < 2:
            return cls(1.0, 0.0)
        fitted = LogisticRegression(C=1e6).fit(raw.reshape(-1, 1), adopted)
        return cls(max(float(fitted.coef_[0, 0]), 1e-6), float(fitted.intercept_[0]))


@dataclass(frozen=True)
class LambdaRanker:
    """A trained forest with its calibration.

    Attributes:
        booster: `lightgbm.Booster`; its own prediction is the reference for any faster one.
        calibration: from raw score to probability.
        curve: validation NDCG@20 after each round, empty where there was no validation.
    """

    booster: Any
    calibration: Calibration
    curve: tuple[float, ...] = ()

    @property
    def trees(self) -> int:
        """Number of trees."""
        return int(self.booster.num_trees())

    def score(self, features: Floats, threads: int = 0) -> Floats:
        """Raw scores, shape (m,), of features in the order of `FEATURES`; `threads` 0 means all cores."""
        if len(features) == 0:
            return np.zeros(0)
        return np.asarray(self.booster.predict(features, num_threads=threads))

    def importance(self) -> dict[str, float]:
        """Feature → total gain of its splits, largest first."""
        gain = self.booster.feature_importance("gain")
        return dict(sorted(zip(FEATURES, map(float, gain), strict=True), key=lambda item: -item[1]))

    def with_calibration(self, calibration: Calibration) -> LambdaRanker:
        """The same forest with another calibration."""
        return LambdaRanker(self.booster, calibration, self.curve)

    def save(self, folder: Path) -> None:
        """Write the forest as text and everything else as JSON into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        self.booster.save_model(folder / MODEL_FILE)
        meta = {"features": FEATURES, "slope": self.calibration.slope, "intercept": self.calibration.intercept}
        (folder / META_FILE).write_text(json.dumps(meta | {"curve": self.curve}, indent=1))

    @classmethod
    def load(cls, folder: Path) -> LambdaRanker:
        """The inverse of `save`.

        Raises:
            IncompatibleModel: it was trained on other features than this code computes.
        """
        import lightgbm

        meta = json.loads((folder / META_FILE).read_text())
        if tuple(meta["features"]) != FEATURES:
            different = sorted(set(meta["features"]) ^ set(FEATURES))
            raise IncompatibleModel(f"model in {folder.name} was trained on other features ({different}): train again")
        booster = lightgbm.Booster(model_file=folder / MODEL_FILE)
        return cls(booster, Calibration(meta["slope"], meta["intercept"]), tuple(meta["curve"]))


def fit_ranker(
    train: Examples, validation: Examples | None, trees: Mapping[str, Any], seed: int, patience: int = 50
) -> LambdaRanker:
    """LambdaRank (Burges, 2010) on graded adoptions.

    Args:
        train: queries to learn from.
        validation: later queries; training stops when their NDCG@20 has not risen for `patience` rounds.
            Without it all `n_estimators` rounds are run.
        trees: LightGBM parameters.
        seed: of row and feature sampling.
    """
    import lightgbm

    parameters = {"objective": "lambdarank", "metric": "ndcg", "eval_at": [20], "verbosity": -1, "seed": seed, "deterministic": True}
    parameters |= {"force_row_wise": True, "label_gain": [0, 1, 2, 3, 4], "lambdarank_truncation_level": 30} | dict(trees)
    rounds = int(parameters.pop("n_estimators"))
    data = lightgbm.Dataset(train.features, train.grades, group=train.sizes, feature_name=list(FEATURES))
    if validation is None:
        return LambdaRanker(lightgbm.train(parameters, data, rounds), Calibration(1.0, 0.0))
    record: dict[str, dict[str, list[float]]] = {}
    held_out = lightgbm.Dataset(validation.features, validation.grades, group=validation.sizes, reference=data)
    booster = lightgbm.train(
        parameters,
        data,
        rounds,
        valid_sets=[held_out],
        valid_names=["validation"],
        callbacks=[lightgbm.early_stopping(patience, verbose=False), lightgbm.record_evaluation(record)],
    )
    best = lightgbm.Booster(model_str=booster.model_to_string(num_iteration=booster.best_iteration))
    curve = tuple(record["validation"]["ndcg@20"])
    return LambdaRanker(best, Calibration.fit(best.predict(validation.features), validation.grades > 0), curve)
