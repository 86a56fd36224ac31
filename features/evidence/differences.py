"""Differences of means with an honest interval: of one creator's posts, and over many creators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from features.history import Floats

LEVEL: Final = 0.8
LEAST_DONE: Final = 3
"""Fewer posts that did it say nothing of how far such posts scatter."""
LEAST_OTHERS: Final = 5
"""Fewer posts are no baseline."""
LEAST_STUDIES: Final = 8
"""Fewer creators say nothing of others."""
LEAST_VARIANCE: Final = 1e-9
"""Of one creator's difference: posts that are all alike do not outweigh everybody else."""


@dataclass(frozen=True)
class Difference:
    """A difference of means with its interval at `LEVEL`.

    Attributes:
        mean, lo, hi: in the unit of the values.
        done, others: how many values lie on each side; creators, and 0, where many were pooled.
        spread: between creators, a standard deviation of their true differences; 0 of one creator.
    """

    mean: float
    lo: float
    hi: float
    done: int
    others: int
    spread: float = 0.0


def welch(done: Floats, others: Floats) -> Difference | None:
    """Mean of `done` less mean of `others`, the sides scattering as they do; None where one is too short.

    Welch, «The generalization of Student's problem when several different population variances are involved»,
    Biometrika 34 (1947), with the degrees of freedom of Satterthwaite, Biometrics Bulletin 2 (1946).

    Args:
        done, others: finite values, shapes (n,) and (m,).
    """
    if len(done) < LEAST_DONE or len(others) < LEAST_OTHERS:
        return None
    parts = [float(np.var(side, ddof=1)) / len(side) for side in (done, others)]
    error, freedom = _satterthwaite(parts, (len(done), len(others)))
    mean = float(np.mean(done) - np.mean(others))
    half = half_width(error, freedom)
    return Difference(mean, mean - half, mean + half, len(done), len(others))


def half_width(error: float, freedom: float) -> float:
    """Half of the interval at `LEVEL`, for a standard error with so many degrees of freedom (Student's t)."""
    from scipy.special import stdtrit

    return error * float(stdtrit(freedom, (1 + LEVEL) / 2))


def _satterthwaite(parts: Sequence[float], sizes: Sequence[int]) -> tuple[float, float]:
    """Standard error of the difference, and its degrees of freedom; sides without any scatter have many."""
    total = sum(parts)
    below = sum(part**2 / (size - 1) for part, size in zip(parts, sizes, strict=True))
    return total**0.5, total**2 / below if below > 0 else float(sum(sizes) - 2)


def own_effect(done: Floats, others: Floats) -> tuple[float, float] | None:
    """One creator's difference and its variance, for `pooled`; one post that did it is enough.

    A post that did it is taken to scatter as the creator's others do: so few of them cannot tell themselves.
    """
    if len(done) < 1 or len(others) < LEAST_OTHERS:
        return None
    variance = float(np.var(others, ddof=1)) * (1 / len(done) + 1 / len(others))
    return float(np.mean(done) - np.mean(others)), variance


def pooled(effects: Sequence[tuple[float, float]]) -> Difference | None:
    """The mean difference over creators whose true ones differ, too; None where there are too few.

    DerSimonian & Laird, «Meta-analysis in clinical trials», Controlled Clinical Trials 7 (1986), with the interval of
    Hartung & Knapp, Statistics in Medicine 20 (2001), never narrower than the known errors alone make it.

    Args:
        effects: difference and variance of every creator, as `own_effect` gives them.
    """
    if len(effects) < LEAST_STUDIES:
        return None
    values, variances = np.array(effects).T
    weights = 1 / np.maximum(variances, LEAST_VARIANCE)
    fixed = np.average(values, weights=weights)
    surplus = float(weights @ (values - fixed) ** 2) - (len(values) - 1)
    between = max(0.0, surplus / (weights.sum() - (weights @ weights) / weights.sum()))
    weights = 1 / (np.maximum(variances, LEAST_VARIANCE) + between)
    mean = float(np.average(values, weights=weights))
    scatter = float(weights @ (values - mean) ** 2) / (len(values) - 1)
    half = half_width(float(np.sqrt(max(scatter, 1.0) / weights.sum())), len(values) - 1)
    return Difference(mean, mean - half, mean + half, len(values), 0, float(between) ** 0.5)
