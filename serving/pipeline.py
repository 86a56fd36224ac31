"""The one screen: a query becomes a slate, stage by stage."""

from __future__ import annotations

from dataclasses import dataclass

from configs import ServingSettings
from models.creator import Creator
from models.explain import PathContributions
from models.ranker import LambdaRanker
from serving.candidates import shortlist, source
from serving.filters import eligible
from serving.hydrate import CreatorStates, hydrate
from serving.rerank import diversify
from serving.schemas import RankQuery, Scored
from serving.score import score
from serving.snapshot import TrendSnapshot


@dataclass(frozen=True)
class Model:
    """What scores: a ranker, its version, and what its trees' paths say of each feature."""

    version: str
    ranker: LambdaRanker
    paths: PathContributions


@dataclass(frozen=True)
class Pipeline:
    """Everything one request needs; a request uses one of these from beginning to end.

    Attributes:
        snapshot, model: the published market and the champion.
        states: where creators are read.
        settings: limits and rules of the slate.
        candidates: how many rows are worth scoring.
    """

    snapshot: TrendSnapshot
    model: Model
    states: CreatorStates
    settings: ServingSettings
    candidates: int

    def recommend(self, query: RankQuery) -> tuple[Creator, Scored]:
        """The slate: the query's k best, diverse and without near-duplicates."""
        market = self.snapshot.market
        creator = hydrate(query, self.states)
        pool = source(query, creator, market)
        allowed = eligible(query, creator, market, pool).kept
        scored = score(self.model.ranker, market, creator, shortlist(allowed, market, self.candidates))
        return creator, diversify(scored, market, query.k, self.settings.max_share_of_kind)

    def rank(self, query: RankQuery) -> tuple[Creator, Scored]:
        """The caller's own candidates that are live, all of them, best first."""
        market = self.snapshot.market
        creator = hydrate(query, self.states)
        scored = score(self.model.ranker, market, creator, source(query, creator, market))
        return creator, scored.take((-scored.raw).argsort(kind="stable"))
