"""From validated requests to answers: what the HTTP face and the command line both say."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

import numpy as np

from features.schemas import split_trend_key
from models.pairs import region_share
from serving import present
from serving.errors import TooMany, UnknownCreator, UnknownTrend
from serving.pipeline import Pipeline
from serving.schemas import (
    CreatorMetrics,
    Ranking,
    RankQuery,
    RankRequest,
    RecommendationRequest,
    Slate,
    Trend,
    Trends,
)


class Answers:
    """Answers from whatever pipeline is current when a request begins.

    Args:
        pipeline: gives the current pipeline; called once per request.
    """

    def __init__(self, pipeline: Callable[[], Pipeline]) -> None:
        self._pipeline = pipeline

    def slate(self, request: RecommendationRequest) -> Slate:
        """One creator's slate."""
        pipeline = self._pipeline()
        settings = pipeline.settings
        query = RankQuery(
            creator_id=request.creator_id,
            k=min(request.k or settings.default_k, settings.max_k),
            kinds=request.kinds or ("sound", "hashtag"),
            region=request.region or "",
            tags=request.tags,
            exclude=frozenset(trend.key for trend in request.exclude),
            include_used=request.include_used,
        )
        creator, scored = pipeline.recommend(query)
        market, model = pipeline.snapshot.market, pipeline.model
        return Slate.model_construct(
            recommendation_id=uuid.uuid4().hex,
            creator_id=request.creator_id,
            known_creator=creator.known,
            model=model.version,
            market=pipeline.snapshot.version,
            as_of=market.as_of,
            feature_age_ms=max(0, int((time.time() - market.as_of.timestamp()) * 1000)),
            items=present.items(scored, creator, pipeline.snapshot, model, settings.reasons),
        )

    def ranking(self, request: RankRequest) -> Ranking:
        """The caller's own candidates.

        Raises:
            TooMany: more candidates than one request may bring.
        """
        pipeline = self._pipeline()
        market, model, limit = pipeline.snapshot.market, pipeline.model, pipeline.settings.max_candidates
        if len(request.candidates) > limit:
            raise TooMany(f"{len(request.candidates)} candidates; one request may bring {limit}")
        keys = dict.fromkeys(trend.key for trend in request.candidates)
        query = RankQuery(
            request.creator_id, len(keys), region=request.region or "", tags=request.tags, only=tuple(keys)
        )
        creator, scored = pipeline.rank(query)
        unknown = {trend.key: trend for trend in request.candidates if trend.key not in market.row_of}
        return Ranking.model_construct(
            creator_id=request.creator_id,
            model=model.version,
            as_of=market.as_of,
            items=present.items(scored, creator, pipeline.snapshot, model, pipeline.settings.reasons),
            unknown=tuple(unknown.values()),
        )

    def trends(self, kind: str | None, region: str | None, limit: int) -> Trends:
        """What is rising: the strongest bursts among trends that are not generic."""
        pipeline = self._pipeline()
        market = pipeline.snapshot.market
        wanted = market.recommendable.copy()
        if kind:
            wanted &= market.types == kind
        heat = market.column("burst") * np.log1p(market.column("adopters_7d"))
        if region:
            heat = heat * np.nan_to_num(region_share(market, region))
            wanted &= heat > 0
        rows = np.flatnonzero(wanted)
        best = rows[np.argsort(-heat[rows], kind="stable")[:limit]]
        return Trends(
            as_of=market.as_of, trends=tuple(present.trend(pipeline.snapshot, int(row), pipeline.model) for row in best)
        )

    def trend(self, key: str) -> Trend:
        """One live trend.

        Raises:
            UnknownTrend: it is not live, or was never seen.
        """
        pipeline = self._pipeline()
        market = pipeline.snapshot.market
        if key not in market.row_of:
            kind, trend_id = split_trend_key(key)
            raise UnknownTrend(f"no live {kind} «{trend_id}» as of {market.as_of:%Y-%m-%d %H:%M} UTC")
        return present.trend(pipeline.snapshot, market.row_of[key], pipeline.model)

    def creator(self, creator_id: str) -> CreatorMetrics:
        """What is known of a creator.

        Raises:
            UnknownCreator: no post of theirs is known.
        """
        pipeline = self._pipeline()
        creator = pipeline.states.get(creator_id)
        if creator is None:
            raise UnknownCreator(f"no post of creator «{creator_id}» is known: ingest their posts first")
        return present.creator_metrics(creator, pipeline.snapshot.market.as_of)
