"""The one screen: a query becomes a slate, stage by stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from configs import ServingSettings
from models.compiled.prepared import PreparedRanker
from models.creator import Creator
from models.interactions import Ints
from serving.candidates import source
from serving.filters import eligible
from serving.hydrate import CreatorStates, hydrate
from serving.item_texts import ItemTexts
from serving.rerank import diversify
from serving.schemas import RankQuery, Scored
from serving.score import Model, score
from serving.snapshot import TrendSnapshot

Lap = Callable[[str], None]
"""Called with the name of every stage that has just ended."""


def untimed(stage: str) -> None:
    """A lap that nobody takes the time of."""


@dataclass(frozen=True)
class Ranking:
    """Candidates for one creator, best first.

    Attributes:
        degraded: the creator could not be read, and was taken for somebody nobody knows.
    """

    creator: Creator
    scored: Scored
    degraded: bool


@dataclass(frozen=True)
class Pipeline:
    """Everything one request needs; a request uses one of these from beginning to end.

    Attributes:
        snapshot, model: the published market and the model that serves.
        prepared: both together, with everything worked out that no request changes.
        texts: what answers say of trends, whoever asks.
        states: where creators are read.
        settings: limits and rules of the slate.
    """

    snapshot: TrendSnapshot
    model: Model
    prepared: PreparedRanker
    texts: ItemTexts
    states: CreatorStates
    settings: ServingSettings

    @classmethod
    def of(cls, snapshot: TrendSnapshot, model: Model, states: CreatorStates, settings: ServingSettings) -> Pipeline:
        """Prepare a model for a market."""
        prepared = PreparedRanker.of(model.ranker, snapshot.market, model.forest)
        return cls(snapshot, model, prepared, ItemTexts(snapshot, model.ranker.stage_hit_rates), states, settings)

    def on(self, snapshot: TrendSnapshot) -> Pipeline:
        """The same model on another picture of the market; cheap where only a few trends have changed."""
        old, new = self.snapshot.market, snapshot.market
        if snapshot.parent != self.snapshot.version or len(old) != len(new):
            return Pipeline.of(snapshot, self.model, self.states, self.settings)
        prepared = self.prepared.patched(new, snapshot.changed)
        return replace(self, snapshot=snapshot, prepared=prepared, texts=self.texts.on(snapshot))

    def recommend(self, query: RankQuery) -> tuple[Creator, Scored]:
        """The slate: the query's k best, diverse and without near-duplicates."""
        ranking = self.ranked(query)
        return ranking.creator, ranking.scored.take(self.slate(query, ranking.scored))

    def ranked(self, query: RankQuery, lap: Lap = untimed) -> Ranking:
        """The shortlist that a slate is made of, best first."""
        market, ranker = self.snapshot.market, self.model.ranker
        creator, degraded = hydrate(query, self.states)
        lap("hydrate")
        candidates = source(query, market)
        lap("source")
        allowed = eligible(query, creator, market, candidates).kept
        lap("filter")
        scored = score(self.prepared, creator, allowed, max(ranker.shortlist, 2 * query.k))
        lap("score")
        return Ranking(creator, scored, degraded)

    def slate(self, query: RankQuery, scored: Scored, lap: Lap = untimed) -> Ints:
        """Places in a shortlist of what stands on the slate, best first, shape (≤ k,)."""
        chosen = diversify(scored, self.snapshot.market, query.k, self.settings.max_share_of_kind)
        lap("rerank")
        return chosen

    def rank(self, query: RankQuery) -> Ranking:
        """The caller's own candidates that are live, all of them, best first."""
        (creator, degraded), asked = hydrate(query, self.states), source(query, self.snapshot.market)
        return Ranking(creator, score(self.prepared, creator, asked, int(asked.sum())), degraded)
