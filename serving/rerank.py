"""Stage «re-rank»: from scores to a slate that is diverse and holds no near-duplicates."""

from __future__ import annotations

import math

import numpy as np

from models.interactions import Ints
from models.market import Market
from serving.schemas import Scored


def diversify(scored: Scored, market: Market, k: int, max_share_of_kind: float) -> Ints:
    """The k best, at most one of each group of variants, and no kind above its share while others can fill.

    Args:
        scored: candidates, best first.

    Returns:
        Their places among the candidates, best first; fewer than k only where there are no more groups of variants.
    """
    order = _first_of_group(market.variant_group[scored.rows])
    kinds = market.types[scored.rows[order]]
    limit = max(1, math.floor(k * max_share_of_kind))
    within = np.zeros(len(order), bool)
    for kind in set(kinds.tolist()):
        within[np.flatnonzero(kinds == kind)[:limit]] = True
    chosen = np.concatenate([np.flatnonzero(within)[:k], np.flatnonzero(~within)])[:k]
    return np.asarray(order[np.sort(chosen)])


def _first_of_group(groups: Ints) -> Ints:
    """Places of the first of each group, ascending."""
    return np.sort(np.unique(groups, return_index=True)[1])
