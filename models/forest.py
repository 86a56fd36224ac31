"""LambdaRank trees that correct a first stage: fitted from its score on, several seeds averaged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.interactions import Floats, Ints


@dataclass(frozen=True)
class Examples:
    """Labelled candidates, query after query.

    Attributes:
        features: shape (m, f).
        grades: 0 not wanted, higher is better, shape (m,).
        start: the first stage's score, which the trees add to, shape (m,).
        sizes: candidates of each query, shape (q,).
        weights: of each candidate's query, shape (m,); None weighs all alike.
    """

    features: Floats
    grades: Ints
    start: Floats
    sizes: Ints
    weights: Floats | None = None

    @classmethod
    def joined(cls, parts: Sequence[Examples]) -> Examples:
        """The queries of all parts, in their order; at least one part, and weights in all or in none."""
        weights = [part.weights for part in parts if part.weights is not None]
        return cls(
            features=np.concatenate([part.features for part in parts]),
            grades=np.concatenate([part.grades for part in parts]),
            start=np.concatenate([part.start for part in parts]),
            sizes=np.concatenate([part.sizes for part in parts]),
            weights=np.concatenate(weights) if weights else None,
        )


class StoredBooster:
    """A booster kept as text: LightGBM is imported only when it has to predict or describe itself."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._booster: Any = None

    def model_to_string(self, **options: Any) -> str:
        """The text it was made from; LightGBM's own where options are given."""
        return str(self._made().model_to_string(**options)) if options else self._text

    def save_model(self, path: Path) -> None:
        """Write the text."""
        path.write_text(self._text)

    def num_trees(self) -> int:
        """Number of trees."""
        return self._text.count("\nTree=")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._made(), name)

    def __getstate__(self) -> str:
        return self._text

    def __setstate__(self, text: str) -> None:
        self._text, self._booster = text, None

    def _made(self) -> Any:
        if self._booster is None:
            import lightgbm

            self._booster = lightgbm.Booster(model_str=self._text)
        return self._booster


@dataclass(frozen=True)
class Forest:
    """Fitted trees.

    Attributes:
        boosters: `lightgbm.Booster`s whose mean is taken; none correct nothing.
    """

    boosters: tuple[Any, ...] = ()

    def correction(self, features: Floats, threads: int = 0) -> Floats:
        """What the trees add to the first stage's score, shape (m,); `threads` 0 means all cores."""
        if not self.boosters or len(features) == 0:
            return np.zeros(len(features))
        each = [booster.predict(features, raw_score=True, num_threads=threads) for booster in self.boosters]
        return np.asarray(np.mean(each, axis=0))


def fit_forest(
    examples: Examples, names: Sequence[str], lightgbm: Mapping[str, Any], seeds: Sequence[int], most_grade: int = 4
) -> Forest:
    """LambdaRank (Burges, 2010) starting from the first stage's score; one booster a seed.

    Args:
        examples: at least one query.
        names: of the features, shape (f,).
        lightgbm: parameters; `n_estimators` is the number of rounds.
        seeds: of bagging and feature sampling.
        most_grade: the highest grade; a grade is its own gain.
    """
    import lightgbm as gbm

    parameters: dict[str, Any] = {"objective": "lambdarank", "metric": "None", "verbosity": -1, "deterministic": True}
    parameters |= {"force_row_wise": True, "label_gain": list(range(most_grade + 1))} | dict(lightgbm)
    rounds = int(parameters.pop("n_estimators"))
    data = gbm.Dataset(
        examples.features,
        examples.grades,
        group=examples.sizes,
        weight=examples.weights,
        init_score=examples.start,
        feature_name=list(names),
        free_raw_data=False,
    )
    return Forest(tuple(gbm.train(parameters | {"seed": seed}, data, rounds) for seed in seeds))
