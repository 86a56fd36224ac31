"""From validated requests to answers: what the HTTP face and the command line both say, in the form that JSON has."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np
import orjson

from features.contract import split_trend_key
from models.creator import Creator
from models.interactions import Floats, Ints
from models.market import Market
from models.pairs import region_share
from serving import present
from serving.errors import TooMany, UnknownCreator, UnknownTrend
from serving.pipeline import Lap, Pipeline, untimed
from serving.present import Json
from serving.schemas import RankQuery, RankRequest, RecommendationRequest


class Turn(Protocol):
    """Which pipeline answers one creator."""

    @property
    def pipeline(self) -> Pipeline:
        """What answers, from beginning to end of the request."""
        ...


T = TypeVar("T", bound=Turn)


class Turns(Protocol[T]):
    """Whose turn it is, and what becomes of a slate beside its being answered."""

    def turn(self, creator_id: str) -> T:
        """Whose turn it is for a creator; for nobody in particular where it is empty."""
        ...

    def explored(self, turn: T, recommendation_id: str, slate: Ints, ranked: Ints, raw: Floats) -> tuple[Ints, Floats]:
        """Places in `ranked` of what is shown, and with which propensity each.

        Args:
            slate: places in `ranked`, best first, shape (k,).
            ranked, raw: rows of the shortlist and their scores, best first, shape (m,).
        """
        ...

    def record(
        self, turn: T, query: RankQuery, recommendation_id: str, rows: Ints, scores: Floats, propensities: Floats
    ) -> None:
        """A slate was answered."""
        ...


@dataclass(frozen=True)
class OneTurn:
    """Always the same pipeline."""

    pipeline: Pipeline


class Alone:
    """One pipeline for everybody; shows the slate as it was made, and records nothing."""

    def __init__(self, pipeline: Callable[[], Pipeline]) -> None:
        self._pipeline = pipeline

    def turn(self, creator_id: str) -> OneTurn:
        """See `Turns.turn`."""
        return OneTurn(self._pipeline())

    def explored(
        self, turn: OneTurn, recommendation_id: str, slate: Ints, ranked: Ints, raw: Floats
    ) -> tuple[Ints, Floats]:
        """See `Turns.explored`."""
        return slate, np.ones(len(slate))

    def record(
        self, turn: OneTurn, query: RankQuery, recommendation_id: str, rows: Ints, scores: Floats, propensities: Floats
    ) -> None:
        """See `Turns.record`."""


class Encoded(NamedTuple):
    """An answer as it goes out.

    Attributes:
        body: JSON.
        model: that made it.
        degraded: something could not be read, and it was made without.
    """

    body: bytes
    model: str
    degraded: bool


class Answers(Generic[T]):
    """Answers, each from one pipeline.

    Args:
        turns: gives the pipeline that is current when a request begins.
    """

    def __init__(self, turns: Turns[T]) -> None:
        self._turns = turns

    def slate(self, request: RecommendationRequest) -> Json:
        """One creator's slate, as `schemas.Slate`."""
        return self.drawn(request)[0]

    def drawn(self, request: RecommendationRequest) -> tuple[Json, Creator]:
        """One creator's slate, as `schemas.Slate`, and the creator as they were seen when it was made."""
        answer, creator, market = self._drawn(request, untimed)
        return {**orjson.loads(answer.body), "as_of": market.as_of}, creator

    def encoded_slate(self, request: RecommendationRequest, lap: Lap = untimed) -> Encoded:
        """One creator's slate as bytes."""
        return self._drawn(request, lap)[0]

    def _drawn(self, request: RecommendationRequest, lap: Lap) -> tuple[Encoded, Creator, Market]:
        turn = self._turns.turn(request.creator_id)
        pipeline, settings = turn.pipeline, turn.pipeline.settings
        query = RankQuery(
            creator_id=request.creator_id,
            k=min(request.k or settings.default_k, settings.max_k),
            kinds=request.kinds or ("sound", "hashtag"),
            region=request.region or "",
            tags=request.tags,
            exclude=frozenset(trend.key for trend in request.exclude),
            include_used=request.include_used,
        )
        ranking = pipeline.ranked(query, lap)
        ranked, recommendation_id = ranking.scored, os.urandom(16).hex()
        slate = pipeline.slate(query, ranked, lap)
        places, chances = self._turns.explored(turn, recommendation_id, slate, ranked.rows, ranked.raw)
        shown = ranked.take(places)
        items = present.items(shown, ranking.creator, pipeline, settings.reasons)
        self._turns.record(turn, query, recommendation_id, shown.rows, items.scores, chances)
        market = pipeline.snapshot.market
        head = {
            "recommendation_id": recommendation_id,
            "creator_id": request.creator_id,
            "known_creator": ranking.creator.known,
            "degraded": ranking.degraded,
            "model": pipeline.model.version,
            "market": pipeline.snapshot.version,
            "as_of": market.as_of,
            "feature_age_ms": max(0, int((time.time() - market.as_of.timestamp()) * 1000)),
        }
        answer = Encoded(_with_items(head, items), pipeline.model.version, ranking.degraded)
        lap("present")
        return answer, ranking.creator, market

    def standing(self, creator_id: str) -> tuple[object, ...]:
        """What a creator's slate follows from, beside the request and what has come in since the market was published.

        Raises:
            StatesUnavailable: creators cannot be read now.
        """
        pipeline = self._turns.turn(creator_id).pipeline
        creator = pipeline.states.get(creator_id)
        known = (creator.trend_keys, creator.adopted, creator.dismissed, creator.profile.tobytes()) if creator else ()
        return pipeline.model.version, pipeline.snapshot.published, known

    def encoded_ranking(self, request: RankRequest) -> Encoded:
        """The caller's own candidates as bytes of `schemas.Ranking`.

        Raises:
            TooMany: more candidates than one request may bring.
        """
        pipeline = self._turns.turn(request.creator_id).pipeline
        market, limit = pipeline.snapshot.market, pipeline.settings.max_candidates
        if len(request.candidates) > limit:
            raise TooMany(f"{len(request.candidates)} candidates; one request may bring {limit}")
        refs = {trend.key: trend for trend in request.candidates}
        query = RankQuery(
            request.creator_id, len(refs), region=request.region or "", tags=request.tags, only=tuple(refs)
        )
        ranking = pipeline.rank(query)
        items = present.items(ranking.scored, ranking.creator, pipeline, pipeline.settings.reasons)
        head = {
            "creator_id": request.creator_id,
            "degraded": ranking.degraded,
            "model": pipeline.model.version,
            "as_of": market.as_of,
            "unknown": [{"kind": t.kind, "id": t.id} for key, t in refs.items() if key not in market.row_of],
        }
        return Encoded(_with_items(head, items), pipeline.model.version, ranking.degraded)

    def trends(self, kind: str | None, region: str | None, limit: int) -> Json:
        """What is rising, as `schemas.Trends`: the strongest bursts among trends that are not generic."""
        pipeline = self._turns.turn("").pipeline
        market = pipeline.snapshot.market
        wanted = market.recommendable & market.of_kinds([kind] if kind else ("sound", "hashtag"))
        heat = market.column("burst") * np.log1p(market.column("adopters_7d"))
        if region:
            heat = heat * np.nan_to_num(region_share(market, region))
            wanted &= heat > 0
        rows = np.flatnonzero(wanted)
        best = rows[np.argsort(-heat[rows], kind="stable")[:limit]]
        return {"as_of": market.as_of, "trends": [present.trend(pipeline, int(row)) for row in best]}

    def trend(self, key: str) -> Json:
        """One live trend, as `schemas.Trend`.

        Raises:
            UnknownTrend: it is not live, or was never seen.
        """
        pipeline = self._turns.turn("").pipeline
        market = pipeline.snapshot.market
        if key not in market.row_of:
            kind, trend_id = split_trend_key(key)
            raise UnknownTrend(f"no live {kind} «{trend_id}» as of {market.as_of:%Y-%m-%d %H:%M} UTC")
        return present.trend(pipeline, market.row_of[key])

    def creator(self, creator_id: str) -> Json:
        """What is known of a creator, as `schemas.CreatorMetrics`.

        Raises:
            UnknownCreator: no post of theirs is known.
            StatesUnavailable: creators cannot be read now.
        """
        pipeline = self._turns.turn(creator_id).pipeline
        creator = pipeline.states.get(creator_id)
        if creator is None or not creator.known:
            raise UnknownCreator(f"no post of creator «{creator_id}» is known: ingest their posts first")
        return present.creator_metrics(creator, pipeline.snapshot.market.as_of)


def _with_items(head: Json, items: present.Items) -> bytes:
    return b"".join((orjson.dumps(head)[:-1], b',"items":[', *items.pieces, b"]}"))
