"""Stage one: a linear score over logarithms of generator scores and counts, held near a prior where data are few."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from configs import LinearSettings
from models.interactions import Floats
from models.queries import Queries
from models.schema import Schema


def fit_linear(panels: Sequence[Queries], settings: LinearSettings, schema: Schema) -> Floats:
    """Weights that make what was wanted likely under a softmax over what was allowed (ListNet, Cao et al., 2007).

    Minimises the cross-entropy of what was wanted, summed over queries by their panel's weight, plus
    ridge × |w − prior|², and then moves only n ÷ (n + trust_queries) of the way from the prior for n queries.

    Args:
        panels: every query wants something.
        settings: the prior names inputs; what it does not name starts at 0.
        schema: names the inputs.

    Returns:
        Shape (len(schema.inputs),).
    """
    from scipy.optimize import minimize

    start = schema.weights(settings.prior)
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


def _cross_entropy(panel: Queries, weights: Floats) -> tuple[float, Floats]:
    scores = np.where(panel.allowed, panel.inputs @ weights.astype(np.float32), -np.inf).astype(np.float64)
    scores -= scores.max(axis=1, keepdims=True)
    powers = np.exp(scores)
    sums = powers.sum(axis=1, keepdims=True)
    wanted = panel.grades > 0
    target = wanted / wanted.sum(axis=1, keepdims=True)
    value = -(target * (np.where(wanted, scores, 0) - np.log(sums))).sum()
    surplus = (powers / sums - target).astype(np.float32)
    gradient = np.tensordot(surplus, panel.inputs, ([0, 1], [0, 1]))
    return float(value), gradient.astype(np.float64)
