"""Stage one: a linear score over logarithms of generator scores and counts, held near a prior where data are few."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from configs import LinearSettings
from models.interactions import Floats
from models.pairs import INPUTS
from models.panel import Panel


def prior_weights(prior: Mapping[str, float]) -> Floats:
    """Weights in the order of `INPUTS`; what the prior does not name starts at 0.

    Raises:
        ValueError: the prior names something that is no input.
    """
    unknown = sorted(set(prior) - set(INPUTS))
    if unknown:
        raise ValueError(f"ranker.linear.prior names inputs that do not exist: {unknown}")
    return np.array([prior.get(name, 0.0) for name in INPUTS])


def fit_linear(panels: Sequence[Panel], settings: LinearSettings) -> Floats:
    """Weights that make the adopted trends likely under a softmax over what was allowed (ListNet, Cao et al., 2007).

    Minimises the cross-entropy of the adopted trends, summed over queries by their panel's weight, plus
    ridge × |w − prior|², and then moves only n ÷ (n + trust_queries) of the way from the prior for n queries.

    Returns:
        Shape (len(INPUTS),).
    """
    from scipy.optimize import minimize

    start = prior_weights(settings.prior)
    queries = sum(len(panel) for panel in panels)
    if queries == 0:
        return start

    def loss(weights: Floats) -> tuple[float, Floats]:
        gap = weights - start
        total, slope = settings.ridge * float(gap @ gap), 2 * settings.ridge * gap
        for panel in panels:
            value, gradient = _cross_entropy(panel, weights)
            total, slope = total + panel.weight * value, slope + panel.weight * gradient
        return total, slope

    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 60}).x
    return np.asarray(start + queries / (queries + settings.trust_queries) * (found - start))


def _cross_entropy(panel: Panel, weights: Floats) -> tuple[float, Floats]:
    scores = np.where(panel.allowed, panel.inputs @ weights.astype(np.float32), -np.inf).astype(np.float64)
    scores -= scores.max(axis=1, keepdims=True)
    powers = np.exp(scores)
    sums = powers.sum(axis=1, keepdims=True)
    adopted = panel.grades > 0
    target = adopted / adopted.sum(axis=1, keepdims=True)
    value = -(target * (np.where(adopted, scores, 0) - np.log(sums))).sum()
    surplus = (powers / sums - target).astype(np.float32)
    gradient = np.tensordot(surplus, panel.inputs, ([0, 1], [0, 1]))
    return float(value), gradient.astype(np.float64)
