"""Stage «source»: which trends of the market a query is about, and what the linear stage takes in for each."""

from __future__ import annotations

import numpy as np

from models.creator import Creator
from models.interactions import Floats
from models.market import Market
from models.pairs import linear_inputs, proposals
from serving.schemas import Candidates, RankQuery


def source(query: RankQuery, creator: Creator, market: Market, of_trends: Floats) -> Candidates:
    """The whole market, or the caller's own candidates that are in it.

    Args:
        of_trends: `models.pairs.trend_inputs` of the market.
    """
    scores = {name: table[0] for name, table in proposals(market, [creator]).items()}
    inputs = linear_inputs(market, of_trends, creator, scores)
    if query.only is None:
        return Candidates(np.arange(len(market)), inputs)
    rows = {row for key in query.only if (row := market.row_of.get(key)) is not None}
    return Candidates(np.array(sorted(rows), np.int64), inputs)
