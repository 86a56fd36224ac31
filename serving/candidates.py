"""Stage «source»: every trend of the market is a candidate, with what each generator says of it for this creator."""

from __future__ import annotations

import numpy as np

from models.candidates import propose
from models.creator import Creator, histories
from models.market import Market
from serving.schemas import Candidates, RankQuery


def source(query: RankQuery, creator: Creator, market: Market) -> Candidates:
    """The whole market, or the caller's own candidates that are in it."""
    past = histories([creator], market)
    proposals = {name: generator.scores(past)[0] for name, generator in market.generators.items()}
    if query.only is None:
        return Candidates(np.arange(len(market)), proposals)
    rows = {row for key in query.only if (row := market.row_of.get(key)) is not None}
    return Candidates(np.array(sorted(rows), np.int64), proposals)


def shortlist(candidates: Candidates, market: Market, limit: int) -> Candidates:
    """The rows that the generators propose most, as many as are worth scoring."""
    allowed = np.zeros(len(market), bool)
    allowed[candidates.rows] = True
    return Candidates(propose(candidates.proposals, allowed, limit), candidates.proposals)
