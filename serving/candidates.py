"""Stage «source»: which trends of the market a query is about."""

from __future__ import annotations

import numpy as np

from models.market import Bools, Market
from serving.schemas import RankQuery


def source(query: RankQuery, market: Market) -> Bools:
    """The whole market, or the caller's own candidates that are in it, shape (n,)."""
    if query.only is None:
        return market.whole
    asked = np.zeros(len(market), np.bool_)
    asked[[row for key in query.only if (row := market.row_of.get(key)) is not None]] = True
    return asked
