"""Evaluation on held-out queries: figures per query, their intervals, and the same by segment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from models.candidates import Floats
from models.examples import Examples, top_hits, top_rows
from models.metrics import Interval, bootstrap, coverage, ndcg, paired_bootstrap, recall, reciprocal_rank

K: Final = 20
METRICS: Final = ("ndcg", "recall", "mrr")


@dataclass(frozen=True)
class Figures:
    """One ranking's figures per query, each of shape (q,), and its coverage of the pool."""

    per_query: Mapping[str, Floats]
    coverage: float

    def interval(self, metric: str, resamples: int, seed: int, confidence: float) -> Interval:
        """Mean with bootstrap interval."""
        return bootstrap(self.per_query[metric], resamples, seed, confidence)


def figures(scores: Floats, examples: Examples, k: int = K) -> Figures:
    """Figures of ranking the rows of each query by `scores`, shape (m,)."""
    hits = top_hits(scores, examples, k)
    best = top_rows(scores, examples, k)
    listed = np.where(best >= 0, examples.rows[np.maximum(best, 0)], -1)
    values = {
        "ndcg": ndcg(hits, examples.wanted),
        "recall": recall(hits, examples.wanted),
        "mrr": reciprocal_rank(hits),
    }
    return Figures(values, coverage(listed, int(examples.rows.max(initial=0)) + 1))


def segments(scores: Floats, examples: Examples, k: int = K) -> dict[str, dict[str, float]]:
    """Segment → metric → mean: new and established creators, sounds and hashtags by themselves."""
    table: dict[str, dict[str, float]] = {}
    for name in ("new", "established"):
        chosen = examples.segments["creators"] == name
        table[f"{name}_creators"] = _means(scores, examples, chosen, np.ones(len(scores), bool), examples.of_queries(chosen), k)
    for name, sounds in (("sounds", True), ("hashtags", False)):
        part, chosen = examples.of_kind(sounds)
        table[name] = _means(scores, examples, chosen, examples.is_sound == sounds, part, k)
    return table


def _means(
    scores: Floats, examples: Examples, chosen: npt.NDArray[np.bool_], rows: npt.NDArray[np.bool_], part: Examples, k: int
) -> dict[str, float]:
    if not len(part):
        return {"queries": 0.0}
    per_query = figures(scores[examples.row_mask(chosen, rows)], part, k).per_query
    return {"queries": float(len(part)), **{metric: float(values.mean()) for metric, values in per_query.items()}}


def difference(
    a: Figures, b: Figures, metric: str, resamples: int, seed: int, confidence: float
) -> Interval:
    """Interval of the mean difference a − b over the same queries."""
    return paired_bootstrap(a.per_query[metric], b.per_query[metric], resamples, seed, confidence)
