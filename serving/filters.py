"""Stage «filter»: the only one that drops candidates; it says what it removed and why."""

from __future__ import annotations

from models.creator import Creator
from models.market import Bools, Market
from serving.schemas import Filtered, RankQuery


def eligible(query: RankQuery, creator: Creator, market: Market, candidates: Bools) -> Filtered:
    """Drop generic trends, kinds not asked for, what the caller excludes, and what the creator has used or dismissed.

    Args:
        candidates: trends the query is about, shape (n,).
    """
    known, wanted = market.recommendable, market.of_kinds(query.kinds)
    rows = {
        "excluded": [row for key in query.exclude if (row := market.row_of.get(key)) is not None],
        "used": () if query.include_used else creator.rows_used(market),
        "dismissed": creator.rows_dismissed(market),
    }
    kept = candidates & known
    kept &= wanted
    for dropped in rows.values():
        if len(dropped):
            kept[dropped] = False
    return Filtered(kept, candidates, {"generic": known, "kind": wanted}, rows)
