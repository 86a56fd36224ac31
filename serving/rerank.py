"""Stage «re-rank»: from scores to a slate that is diverse and holds no near-duplicates."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from models.interactions import Ints
from models.market import Market
from serving.schemas import Scored

CHUNK: Final = 4
"""Slates' worth of candidates that are looked at together: most often the first are enough."""


def diversify(scored: Scored, market: Market, k: int, max_share_of_kind: float) -> Ints:
    """The k best, at most one of each group of variants, and no kind above its share while others can fill.

    Args:
        scored: candidates, best first.

    Returns:
        Their places among the candidates, best first; fewer than k only where there are no more groups of variants.
    """
    limit, rows = max(1, math.floor(k * max_share_of_kind)), scored.rows
    groups: set[int] = set()
    counts: dict[str, int] = {}
    within: list[int] = []
    above: list[int] = []
    for start in range(0, len(rows), CHUNK * k):
        some = rows[start : start + CHUNK * k]
        known = zip(market.variant_group[some].tolist(), market.types[some].tolist(), strict=True)
        for place, (group, kind) in enumerate(known, start):
            if group in groups:
                continue
            groups.add(group)
            count = counts[kind] = counts.get(kind, 0) + 1
            (within if count <= limit else above).append(place)
            if len(within) == k:
                return np.array(within)
    return np.array(sorted(within + above[: k - len(within)]), np.int64)
