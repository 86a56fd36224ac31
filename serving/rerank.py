"""Stage «re-rank»: from scores to a slate that is diverse and holds no near-duplicates."""

from __future__ import annotations

import math

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
    from models.compiled.choice_kernels import diverse_places

    limit, rows = max(1, math.floor(k * max_share_of_kind)), scored.rows
    return diverse_places(market.variant_group[rows], market.kinds[rows], k, limit)
