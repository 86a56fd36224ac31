"""Stage «filter»: the only one that drops candidates; it says what it removed and why."""

from __future__ import annotations

import numpy as np

from models.creator import Creator
from models.market import Market
from models.panel import Bools
from serving.schemas import Filtered, RankQuery


def eligible(query: RankQuery, creator: Creator, market: Market, candidates: Bools) -> Filtered:
    """Drop generic trends, kinds not asked for, what the caller excludes, and what the creator has used or dismissed.

    Args:
        candidates: trends the query is about, shape (n,).
    """
    excluded = [row for key in query.exclude if (row := market.row_of.get(key)) is not None]
    tests = {
        "generic": candidates & ~market.recommendable,
        "kind": candidates & ~market.of_kinds(query.kinds),
        "excluded": _among(excluded, candidates),
        "used": _among([] if query.include_used else creator.rows_used(market), candidates),
        "dismissed": _among(creator.rows_dismissed(market), candidates),
    }
    dropped = np.logical_or.reduce(list(tests.values()))
    removed = {reason: rows for reason, test in tests.items() if len(rows := np.flatnonzero(test))}
    return Filtered(candidates & ~dropped, removed)


def _among(rows: list[int], candidates: Bools) -> Bools:
    chosen = np.zeros(len(candidates), np.bool_)
    chosen[rows] = candidates[rows]
    return chosen
