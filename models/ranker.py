"""The ranker of whatever a schema names: a linear stage over all, trees that correct it on its best, a calibration."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from configs import StageSettings, TreeSettings
from models.errors import IncompatibleModel
from models.forest import Examples, Forest, StoredBooster, fit_forest
from models.interactions import Floats, Ints
from models.linear import fit_linear
from models.pairs import TRENDS
from models.queries import Bools, Queries, Query
from models.schema import Schema

META_FILE: Final = "ranker.json"
TREES_FILE: Final = "trees-{}.txt"


@dataclass(frozen=True)
class Calibration:
    """Platt's sigmoid over the raw score and the schema's terms, for trends the creator's own pace.

    probability = 1 ÷ (1 + exp(−(slope × score + pace · terms + intercept)))
    """

    slope: float = 1.0
    intercept: float = 0.0
    pace: tuple[float, ...] = (0.0,) * len(TRENDS.terms)

    def probability(self, raw: Floats, terms: Floats) -> Floats:
        """Probability of adoption within the horizon, the shape of `raw`; terms of shape (m, t) or (t,)."""
        return np.asarray(
            1 / (1 + np.exp(-np.clip(self.slope * raw + terms @ np.array(self.pace) + self.intercept, -500, 500)))
        )

    @classmethod
    def fit(cls, raw: Floats, terms: Floats, adopted: Bools) -> Calibration:
        """Logistic regression of what happened on score and pace (Platt, 1999)."""
        from sklearn.linear_model import LogisticRegression

        if len(np.unique(adopted)) < 2:
            return cls(intercept=-5.0, pace=(0.0,) * terms.shape[1])
        fitted = LogisticRegression(C=1e3, max_iter=500).fit(np.column_stack([raw, terms]), adopted)
        slope, *pace = fitted.coef_[0].tolist()
        return cls(max(slope, 1e-6), float(fitted.intercept_[0]), tuple(pace))


@dataclass(frozen=True)
class Shortlisted:
    """The linear stage's best for one query, as the trees see them.

    Attributes:
        rows: of the candidates, for trends rows of the market, best first, shape (m,).
        features: of the trees, shape (m, len(schema.features)).
        stage_one: the linear score above the best allowed one, shape (m,); the trees add to it.
    """

    rows: Ints
    features: Floats
    stage_one: Floats


@dataclass(frozen=True)
class Ranker:
    """Both stages.

    Attributes:
        weights: of the linear stage, shape (len(schema.inputs),).
        boosters: `lightgbm.Booster`s whose mean is taken; none where there was too little to learn trees from.
        trust: how much of the trees' correction counts, 0 to 1.
        shortlist: how many of the linear stage's best the trees see.
        calibration: from raw score to probability.
        stage_hit_rates: lifecycle stage → how often its promise came true before this ranker was trained.
        learned: from how many queries; of none, its weights are the prior's.
        schema: names what it takes in.
    """

    weights: Floats
    boosters: tuple[Any, ...]
    trust: float
    shortlist: int
    calibration: Calibration = Calibration()
    stage_hit_rates: Mapping[str, float] = field(default_factory=dict)
    learned: int = 0
    schema: Schema = TRENDS

    @property
    def trees(self) -> int:
        """Number of trees in all."""
        return sum(int(booster.num_trees()) for booster in self.boosters)

    def linear(self, inputs: Floats, allowed: np.ndarray) -> Floats:
        """Stage one of every candidate, −inf where not allowed, shape (n,); inputs of shape (n, len(schema.inputs))."""
        return np.where(allowed, inputs @ self.weights, -np.inf)

    def best(self, query: Query, most: int) -> Shortlisted:
        """The linear stage's `most` best of one query, with the features of the trees."""
        stage_one = self.linear(query.inputs, query.allowed)
        order = np.argsort(-stage_one, kind="stable")[:most]
        rows = order[np.isfinite(stage_one[order])]
        features = query.features(stage_one, rows)
        top = stage_one[rows[0]] if len(rows) else 0.0
        return Shortlisted(rows, features, stage_one[rows] - top)

    def score(self, shortlisted: Shortlisted, threads: int = 0) -> Floats:
        """Raw scores of a shortlist, shape (m,); `threads` 0 means all cores."""
        return np.asarray(shortlisted.stage_one + self.correction(shortlisted.features, threads))

    def correction(self, features: Floats, threads: int = 0) -> Floats:
        """What the trees add, shape (m,)."""
        return self.trust * Forest(self.boosters).correction(features, threads)

    def rank_panel(self, panel: Queries) -> Floats:
        """Raw scores of every allowed candidate for every query, as serving would give them, shape (q, n).

        What the trees do not see keeps the linear order, below everything they see.
        """
        scores = np.full(panel.allowed.shape, -np.inf)
        shortlists = [self.best(panel.query(i), self.shortlist) for i in range(len(panel))]
        corrections = self.correction(np.concatenate([s.features for s in shortlists]))
        ends = np.cumsum([len(s.rows) for s in shortlists])
        for i, (chosen, added) in enumerate(zip(shortlists, np.split(corrections, ends[:-1]), strict=True)):
            scores[i] = self.linear(panel.inputs[i].astype(np.float64), panel.allowed[i])
            scores[i] += LEAST - scores[i].max(initial=-np.inf) if len(chosen.rows) else 0.0
            scores[i, chosen.rows] = chosen.stage_one + added
        return scores

    def first_rounds(self, rounds: int) -> Ranker:
        """The same ranker with only the first rounds of its trees."""
        import lightgbm

        if rounds == 0:
            return replace(self, boosters=())
        cut = (booster.model_to_string(num_iteration=rounds) for booster in self.boosters)
        return replace(self, boosters=tuple(lightgbm.Booster(model_str=text) for text in cut))

    def named_weights(self) -> dict[str, float]:
        """Input → weight of the linear stage."""
        return dict(zip(self.schema.inputs, self.weights.tolist(), strict=True))

    def with_calibration(self, calibration: Calibration) -> Ranker:
        """The same stages with another calibration."""
        return replace(self, calibration=calibration)

    def with_hit_rates(self, stage_hit_rates: Mapping[str, float]) -> Ranker:
        """The same stages with another record of the lifecycle rule."""
        return replace(self, stage_hit_rates=stage_hit_rates)

    def importance(self) -> dict[str, float]:
        """Feature → total gain of its splits, largest first; empty without trees."""
        if not self.boosters:
            return {}
        gain = np.sum([booster.feature_importance("gain") for booster in self.boosters], axis=0)
        return dict(sorted(zip(self.schema.features, map(float, gain), strict=True), key=lambda item: -item[1]))

    def save(self, folder: Path) -> None:
        """Write the trees as text and everything else as JSON into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        for number, booster in enumerate(self.boosters):
            booster.save_model(folder / TREES_FILE.format(number))
        meta = {
            "inputs": self.schema.inputs,
            "features": self.schema.features,
            "weights": self.weights.tolist(),
            "boosters": len(self.boosters),
            "trust": self.trust,
            "shortlist": self.shortlist,
            "calibration": asdict(self.calibration),
            "stage_hit_rates": dict(self.stage_hit_rates),
            "learned": self.learned,
        }
        (folder / META_FILE).write_text(json.dumps(meta, indent=1))

    @classmethod
    def load(cls, folder: Path, schema: Schema = TRENDS) -> Ranker:
        """The inverse of `save`.

        Args:
            schema: what this code computes.

        Raises:
            IncompatibleModel: it was trained on other features.
        """
        meta = json.loads((folder / META_FILE).read_text())
        inputs, names = tuple(meta.get("inputs", ())), tuple(meta.get("features", ()))
        different = sorted({*inputs, *names} ^ {*schema.inputs, *schema.features})
        if (inputs, names) != (schema.inputs, schema.features):
            raise IncompatibleModel(f"model {folder.name} was trained on other features ({different}): train again")
        boosters = [StoredBooster((folder / TREES_FILE.format(n)).read_text()) for n in range(meta["boosters"])]
        fitted = meta["calibration"]
        calibration = Calibration(fitted["slope"], fitted["intercept"], tuple(fitted["pace"]))
        return cls(
            weights=np.array(meta["weights"]),
            boosters=tuple(boosters),
            trust=meta["trust"],
            shortlist=meta["shortlist"],
            calibration=calibration,
            stage_hit_rates=meta.get("stage_hit_rates", {}),
            learned=meta.get("learned", 1),  # older ones do not say
            schema=schema,
        )


def stored_schema(folder: Path) -> Schema:
    """The names that a saved ranker takes in, whatever this code computes."""
    meta = json.loads((folder / META_FILE).read_text())
    return Schema(folder.name, tuple(meta["inputs"]), tuple(meta["features"]))


LEAST: Final = -60.0
"""The raw score of the best candidate that the trees do not see."""


def fit_ranker(panels: Sequence[Queries], settings: StageSettings, schema: Schema = TRENDS) -> Ranker:
    """Both stages, fitted to the queries of all panels; without any queries the prior stands alone.

    Args:
        panels: every query wants something.
        settings: of the stages.
        schema: names what the panels hold.
    """
    weights, uncalibrated = fit_linear(panels, settings.linear, schema), Calibration(pace=(0.0,) * len(schema.terms))
    queries = sum(len(panel) for panel in panels)
    stage_one = Ranker(weights, (), 0.0, settings.trees.shortlist, uncalibrated, learned=queries, schema=schema)
    if queries < max(settings.trees.least_queries, 1) or _span_days(panels) < settings.trees.least_span_days:
        return stage_one
    boosters = fit_trees(stage_one, panels, settings.trees)
    return replace(stage_one, boosters=boosters, trust=queries / (queries + settings.trees.trust_queries))


def fit_trees(stage_one: Ranker, panels: Sequence[Queries], settings: TreeSettings) -> tuple[Any, ...]:
    """LambdaRank on each query's shortlist, starting from the linear score; one forest a seed.

    All else being equal the score moves with a feature only as the schema lets it.
    """
    schema, examples = stage_one.schema, list(_examples(stage_one, panels, settings.learned))
    if not examples:
        return ()
    parameters = {"monotone_constraints": schema.directions} | settings.lightgbm
    return fit_forest(Examples.joined(examples), schema.features, parameters, settings.seeds).boosters


def _examples(stage_one: Ranker, panels: Sequence[Queries], learned: int | None) -> Iterator[Examples]:
    """The shortlist of every query that has something wanted on it, or the best of it and what was wanted."""
    for panel in panels:
        for number in range(len(panel)):
            chosen = stage_one.best(panel.query(number), stage_one.shortlist)
            grades = panel.grades[number, chosen.rows].astype(np.int64)
            if not grades.any():
                continue
            kept = slice(None) if learned is None else (grades > 0) | (np.arange(len(grades)) < learned)
            wanted = grades[kept]
            weights = np.full(len(wanted), panel.weight)
            yield Examples(chosen.features[kept], wanted, chosen.stage_one[kept], np.array([len(wanted)]), weights)


def _span_days(panels: Sequence[Queries]) -> float:
    """Days between the first cut-off and the last; 0 where the panels are undated."""
    cutoffs = [panel.cutoff for panel in panels if panel.cutoff is not None]
    return (max(cutoffs) - min(cutoffs)).total_seconds() / 86_400 if cutoffs else 0.0
