"""How good a ranking is: NDCG, recall, MRR, coverage, calibration, and bootstrap intervals for their means."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Interval:
    """A mean with the ends of its bootstrap interval."""

    mean: float
    low: float
    high: float


def discounts(k: int) -> Floats:
    """1 ÷ log2(place + 1) for the places 1 to k (Järvelin and Kekäläinen, 2002)."""
    return np.asarray(1 / np.log2(np.arange(2, k + 2)))


def ndcg(hits: Bools, wanted: npt.NDArray[np.int64]) -> Floats:
    """Binary NDCG per query, shape (q,).

    Args:
        hits: whether the item on each place is wanted, shape (q, k).
        wanted: how many items the query wants in all, shape (q,), at least 1.
    """
    weight = discounts(hits.shape[1])
    best = np.cumsum(weight)[np.minimum(wanted, hits.shape[1]) - 1]
    return np.asarray((hits * weight).sum(axis=1) / best)


def recall(hits: Bools, wanted: npt.NDArray[np.int64]) -> Floats:
    """Share of the wanted items on the list, per query, shape (q,)."""
    return np.asarray(hits.sum(axis=1) / wanted)


def reciprocal_rank(hits: Bools) -> Floats:
    """1 ÷ the place of the first wanted item, 0 where none is on the list, shape (q,)."""
    return np.where(hits.any(axis=1), 1 / (hits.argmax(axis=1) + 1), 0.0)


def coverage(listed: npt.NDArray[np.int64], pool: int) -> float:
    """Share of the pool that appears on at least one list."""
    return len(np.unique(listed[listed >= 0])) / max(pool, 1)


def expected_calibration_error(probability: Floats, happened: Bools, bins: int = 10) -> float:
    """Mean gap between predicted and observed frequency over equally filled bins (Naeini et al., 2015)."""
    if len(probability) == 0:
        return float("nan")
    parts = np.array_split(np.argsort(probability, kind="stable"), bins)
    gaps = [abs(probability[p].mean() - happened[p].mean()) * len(p) for p in parts if len(p)]
    return float(sum(gaps) / len(probability))


def bootstrap(values: Floats, resamples: int, seed: int, confidence: float = 0.95) -> Interval:
    """Percentile bootstrap of the mean over queries (Efron, 1979); NaN everywhere without queries."""
    if len(values) == 0:
        return Interval(float("nan"), float("nan"), float("nan"))
    rng = np.random.default_rng(seed)
    batch = max(1, 4_000_000 // len(values))
    sizes = [min(batch, resamples - done) for done in range(0, resamples, batch)]
    means = np.concatenate([values[rng.integers(0, len(values), (size, len(values)))].mean(axis=1) for size in sizes])
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(values.mean()), float(low), float(high))


def paired_bootstrap(
    challenger: Floats, champion: Floats, resamples: int, seed: int, confidence: float = 0.95
) -> Interval:
    """Interval of the mean difference challenger − champion over the same queries."""
    return bootstrap(challenger - champion, resamples, seed, confidence)
