"""The one screen of a written strategy: slate, strategies, evidence, text, check."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np

from features.evidence.lifts import Measure
from features.evidence.viral import Viral
from models.creator import Creator
from serving.answers import Answers
from serving.errors import StatesUnavailable
from serving.present import Json
from serving.schemas import RecommendationRequest
from serving.strategies.evidence import LEAST_OF_KIND, gather, is_unfit, items_of, weak_habits
from serving.strategies.grounding import check
from serving.strategies.library import LibraryStrategy, trusted_texts
from serving.strategies.published import PublishedLibrary
from serving.strategies.ranking import (
    Near,
    RankedStrategy,
    condition_features,
    nearest_artists,
    rank_strategies,
)
from serving.strategies.schemas import Check, Evidence, Strategy, StrategyRequest
from serving.strategies.untrusted import withheld
from serving.strategies.writer import DeterministicWriter
from serving.strategies.writing.plays import LEAST_PLAYS

SLATE: Final = 20
GOAL_BONUS: Final = 0.1
"""In log-lift: what a strategy gains whose text shares a word with the goal."""


class Planner:
    """Writes strategies, and shows the two libraries.

    Args:
        answers: gives slates.
        library: the strategies by id.
        published: gives what was measured of them.
    """

    def __init__(
        self, answers: Answers[Any], library: Mapping[str, LibraryStrategy], published: Callable[[], PublishedLibrary]
    ) -> None:
        self._answers, self._library, self._published = answers, library, published
        self._writer = DeterministicWriter(library)
        self._texts = trusted_texts(library)

    def written(self, request: StrategyRequest) -> tuple[Strategy, Evidence]:
        """One creator's strategy by the deterministic writer, checked, with the evidence that it rests on.

        Raises:
            NotReady: nothing serves.
        """
        evidence = self.evidence(request)
        strategy = self.unchecked(evidence, request)
        return strategy.model_copy(update={"check": self.check(strategy, evidence)}), evidence

    def unchecked(self, evidence: Evidence, request: StrategyRequest) -> Strategy:
        """What the deterministic writer makes of evidence; may be asked from any thread."""
        return self._writer.write(evidence, request.locale)

    def check(self, strategy: Strategy, evidence: Evidence) -> Check:
        """What of a strategy, whoever wrote it, the evidence proves; may be asked from any thread."""
        return check(strategy, evidence, self._texts)

    def standing(self, request: StrategyRequest) -> tuple[Hashable, ...] | None:
        """What the evidence follows from, but for what came in since the last publications; None where nobody knows.

        Raises:
            NotReady: nothing serves.
        """
        try:
            published = self._published()
            return request, published.as_of, published.edition, *self._answers.standing(request.creator_id)
        except StatesUnavailable:
            return None

    def versions(self, creator_id: str) -> dict[str, str]:
        """What a creator's evidence is made with: ranker, market and measured library."""
        try:
            ranker, market, *_ = self._answers.standing(creator_id)
        except StatesUnavailable:
            return {}
        return {"ranker": str(ranker), "market": str(market), "library": self._published().edition}

    @property
    def library(self) -> Mapping[str, LibraryStrategy]:
        """The strategies by id."""
        return self._library

    def evidence(self, request: StrategyRequest) -> Evidence:
        """Everything that a strategy for this request may say."""
        published = self._published()
        slate, creator = self._slate(request)
        items = items_of(slate, published.cleared, request.is_business)
        known = condition_features(creator, items, request.is_business)
        weak = {habit.name for habit in weak_habits(published.habits.get(creator.creator_id, ()))}
        ranked = _sparing(weak, _towards(request.goal, rank_strategies(self._library, published, known, creator)))
        near = nearest_artists(creator, published, range(len(published.artists)))
        return withheld(gather(slate, items, creator, published, ranked, near, request))

    def _slate(self, request: StrategyRequest) -> tuple[Json, Creator]:
        """The creator's slate; where it is short of sounds or of hashtags, the best of these come after it."""
        asked: Json = {"creator_id": request.creator_id, "region": request.region, "tags": request.tags}
        slate, creator = self._answers.drawn(RecommendationRequest.model_validate(asked | {"k": SLATE}))
        for kind in ("sound", "hashtag"):
            have = [item for item in slate["items"] if item["kind"] == kind and not is_unfit(item)]
            if len(have) < LEAST_OF_KIND:
                asked |= {"kinds": (kind,), "k": 2 * LEAST_OF_KIND}
                more = self._answers.drawn(RecommendationRequest.model_validate(asked))[0]["items"]
                known = {(item["kind"], item["id"]) for item in slate["items"]}
                new = [item for item in more if (item["kind"], item["id"]) not in known]
                last = len(slate["items"])
                added = [item | {"rank": last + place} for place, item in enumerate(new, 1)]
                slate = slate | {"items": [*slate["items"], *added]}
        return slate, creator

    def strategies(self, creator_id: str | None = None) -> Json:
        """The library of strategies: measured lifts; with a creator only what applies to them, best first."""
        published = self._published()
        if creator_id is None:
            measures, outcomes = published.measures, published.outcomes
            every = self._library.values()
            shown = [RankedStrategy(s, measures.get(s.evidence), 0.0, 0.0, outcomes.get(s.id)) for s in every]
            return {"as_of": published.as_of, "creator_id": None, "strategies": [_row(r, False) for r in shown]}
        slate, creator = self._answers.drawn(RecommendationRequest(creator_id=creator_id, k=SLATE))
        known = condition_features(creator, items_of(slate, published.cleared, False))
        shown = rank_strategies(self._library, published, known, creator)
        return {"as_of": published.as_of, "creator_id": creator_id, "strategies": [_row(r, True) for r in shown]}

    def artists(
        self, creator_id: str | None = None, region: str | None = None, tag: str | None = None, limit: int = 20
    ) -> Json:
        """The library of viral artists; nearest to a creator first where one is named, else strongest burst first."""
        published, creator = self._published(), self._creator(creator_id)
        chosen = [
            at
            for at, artist in enumerate(published.artists)
            if (not region or artist.region == region) and (not tag or tag in (*artist.tags, *artist.before.tags))
        ]
        near = nearest_artists(creator, published, chosen)[:limit]
        rows = [_artist(one, creator is not None) for one in near]
        return {"as_of": published.as_of, "creator_id": creator_id, "artists": rows}

    def _creator(self, creator_id: str | None) -> Creator | None:
        if creator_id is None:
            return None
        return self._answers.drawn(RecommendationRequest(creator_id=creator_id, k=1))[1]


def _sparing(weak: set[str], ranked: list[RankedStrategy]) -> list[RankedStrategy]:
    """Without what the creator's own posts speak against, whatever it is worth to others; that much is always left."""
    kept = [one for one in ranked if one.strategy.evidence not in weak]
    return kept if len(kept) >= LEAST_PLAYS else ranked


def _towards(goal: str | None, ranked: list[RankedStrategy]) -> list[RankedStrategy]:
    """The same strategies, those that speak of the goal a little higher; the goal itself is never repeated."""
    words = {word for word in (goal or "").casefold().split() if len(word) > 3}
    if not words:
        return ranked

    def bonus(one: RankedStrategy) -> float:
        text = " ".join((one.strategy.name, one.strategy.goal, *one.strategy.kpis)).casefold()
        return GOAL_BONUS * any(word in text for word in words)

    return sorted((replace(r, shrunk=r.shrunk + bonus(r)) for r in ranked), key=lambda r: (-r.score, r.strategy.id))


def _row(ranked: RankedStrategy, is_ranked: bool) -> Json:
    strategy = ranked.strategy
    return {
        **strategy.model_dump(mode="json", exclude={"evidence"}),
        "query": strategy.evidence,
        "score": round(ranked.score, 4) if is_ranked else None,
        "fit": round(ranked.fit, 4) if is_ranked else None,
        "measured": _measured(ranked.measure),
        "followed": _measured(ranked.followed),
    }


def _measured(measure: Measure | None) -> Json:
    enough = measure is not None and measure.lift is not None
    return {
        "verdict": "measured" if enough else "not enough data",
        "lift": _percent(measure.lift) if measure else None,
        "lo80": _percent(measure.lo) if measure else None,
        "hi80": _percent(measure.hi) if measure else None,
        "posts": measure.posts if measure else 0,
        "others": measure.others if measure else 0,
        "creators": measure.creators if measure else 0,
    }


def _percent(lift: float | None) -> float | None:
    """A log-lift as a share: 0.08 is eight percent more views."""
    return None if lift is None else round(float(np.expm1(lift)), 4)


def _artist(near: Near, is_near: bool) -> Json:
    artist: Viral = near.artist
    told = {name: getattr(artist, name) for name in artist.__dataclass_fields__ if name not in ("taste", "before")}
    before = {name: getattr(artist.before, name) for name in artist.before.__dataclass_fields__}
    return {**told, "before": before, "nearness": round(near.nearness, 4) if is_near else None}
