"""Exploration: now and then the last place of a slate goes to a runner-up, with a known chance.

A slate of k places s₁ … s_k is made from scores alone. With chance ε its last place is drawn from the runners-up
c₁ … c_N: the best N of the shortlist that are not on the slate, no variant of anything on the first k − 1 places, and
whose kind has room left beside them. A runner-up is drawn by the softmax of the raw scores x at temperature τ, so the
propensities, given the creator's arm, are

    p(sᵢ on its place) = 1                                   for i < k
    p(s_k on the last)  = 1 − ε                               1 where there is no runner-up
    p(c_j on the last)  = ε · exp(x_j ÷ τ) ÷ Σ exp(x_i ÷ τ)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from models.interactions import Floats, Ints
from models.market import Market
from serving.experiment import unit


@dataclass(frozen=True)
class Exploration:
    """The policy.

    Attributes:
        chance: ε; 0 explores nothing.
        candidates: N.
        temperature: τ, in units of the raw score.
        salt: of the draws.
    """

    chance: float = 0.0
    candidates: int = 10
    temperature: float = 1.0
    salt: str = "harmonic"

    def slate(
        self, recommendation_id: str, slate: Ints, ranked: Ints, raw: Floats, market: Market, max_share_of_kind: float
    ) -> tuple[Ints, Floats]:
        """What is shown, and with which propensity each of it.

        Args:
            recommendation_id: decides the draws.
            slate: rows of the market, best first, shape (k,); all of them in `ranked`.
            ranked: rows of the whole shortlist, best first, shape (m,).
            raw: their scores, shape (m,).
            market: of the rows.
            max_share_of_kind: the slate's own rule.

        Returns:
            Places in `ranked` of what is shown, and propensities, both of shape (k,).
        """
        at = {int(row): place for place, row in enumerate(ranked)}
        places = np.array([at[int(row)] for row in slate], np.int64)
        propensity = np.ones(len(slate))
        if not self.chance or not len(slate):
            return places, propensity
        others = _runners_up(slate, ranked, market, max_share_of_kind)[: self.candidates]
        if not len(others):
            return places, propensity
        if unit(self.salt, "explore", recommendation_id) >= self.chance:
            propensity[-1] = 1 - self.chance
            return places, propensity
        chances = _softmax(raw[others] / self.temperature)
        drawn = int(np.searchsorted(np.cumsum(chances), unit(self.salt, "draw", recommendation_id), side="right"))
        drawn = min(drawn, len(others) - 1)
        places[-1], propensity[-1] = others[drawn], self.chance * chances[drawn]
        return places, propensity


def _runners_up(slate: Ints, ranked: Ints, market: Market, max_share_of_kind: float) -> Ints:
    """Places in `ranked` that may take the slate's last place, best first."""
    fixed = slate[:-1]
    fits = ~np.isin(ranked, slate) & ~np.isin(market.variant_group[ranked], market.variant_group[fixed])
    limit = max(1, math.floor(len(slate) * max_share_of_kind))
    for kind in set(market.types[fixed].tolist()):
        if (market.types[fixed] == kind).sum() >= limit:
            fits &= market.types[ranked] != kind
    return np.flatnonzero(fits)


def _softmax(values: Floats) -> Floats:
    raised = np.exp(values - values.max())
    return np.asarray(raised / raised.sum())
