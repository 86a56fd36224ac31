"""The one screen: a query becomes a slate, stage by stage."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from configs import ServingSettings
from models.creator import Creator
from models.interactions import Floats
from models.pairs import trend_inputs
from serving.candidates import source
from serving.filters import eligible
from serving.hydrate import CreatorStates, hydrate
from serving.rerank import diversify
from serving.schemas import RankQuery, Scored
from serving.score import Model, score
from serving.snapshot import TrendSnapshot


@dataclass(frozen=True)
class Pipeline:
    """Everything one request needs; a request uses one of these from beginning to end.

    Attributes:
        snapshot, model: the published market and the model that serves.
        states: where creators are read.
        settings: limits and rules of the slate.
    """

    snapshot: TrendSnapshot
    model: Model
    states: CreatorStates
    settings: ServingSettings

    @cached_property
    def of_trends(self) -> Floats:
        """The trend side of the linear stage, the same for every request."""
        return trend_inputs(self.snapshot.market)

    def recommend(self, query: RankQuery) -> tuple[Creator, Scored]:
        """The slate: the query's k best, diverse and without near-duplicates."""
        market, ranker = self.snapshot.market, self.model.ranker
        creator = hydrate(query, self.states)
        pool = source(query, creator, market, self.of_trends)
        allowed = eligible(query, creator, market, pool).kept
        scored = score(ranker, market, creator, allowed, max(ranker.shortlist, 2 * query.k))
        return creator, diversify(scored, market, query.k, self.settings.max_share_of_kind)

    def rank(self, query: RankQuery) -> tuple[Creator, Scored]:
        """The caller's own candidates that are live, all of them, best first."""
        market = self.snapshot.market
        creator = hydrate(query, self.states)
        pool = source(query, creator, market, self.of_trends)
        return creator, score(self.model.ranker, market, creator, pool, len(pool.rows))
