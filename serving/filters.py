"""Stage «filter»: the only one that drops candidates; it says what it removed and why."""

from __future__ import annotations

import numpy as np

from models.creator import Creator
from models.market import Market
from serving.schemas import Candidates, Filtered, RankQuery


def eligible(query: RankQuery, creator: Creator, market: Market, candidates: Candidates) -> Filtered:
    """Drop generic trends, kinds not asked for, what the caller excludes, and what the creator has used already."""
    rows = candidates.rows
    used = [] if query.include_used else creator.rows_used(market)
    excluded = [row for key in query.exclude if (row := market.row_of.get(key)) is not None]
    tests = {
        "generic": ~market.recommendable[rows],
        "kind": ~np.isin(market.types[rows], query.kinds),
        "excluded": np.isin(rows, excluded),
        "used": np.isin(rows, used),
    }
    dropped = np.logical_or.reduce(list(tests.values()))
    return Filtered(
        kept=Candidates(rows[~dropped], candidates.inputs),
        removed={reason: rows[test] for reason, test in tests.items() if test.any()},
    )
