"""Stage «score»: features of every candidate and the model's raw score, length and order kept."""

from __future__ import annotations

from models.creator import Creator
from models.market import Market
from models.pairs import pair_features
from models.ranker import LambdaRanker
from serving.schemas import Candidates, Scored


def score(ranker: LambdaRanker, market: Market, creator: Creator, candidates: Candidates) -> Scored:
    """Features and raw scores of the candidates."""
    features = pair_features(market, creator, candidates.rows, candidates.proposals)
    return Scored(candidates.rows, features, ranker.score(features, threads=1))
