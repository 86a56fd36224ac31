"""From a request to a written strategy: what is known from before, or evidence and whoever may write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Hashable
from contextlib import aclosing
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Final

from serving.strategies.answers import Cost, WrittenStrategy
from serving.strategies.drafting.author import Author, Commission, Composed, Progress
from serving.strategies.drafting.cache import StrategyCache
from serving.strategies.following.given import given
from serving.strategies.following.outcomes import Outcomes
from serving.strategies.planner import Planner
from serving.strategies.prompt import PROMPT_VERSION, told_library
from serving.strategies.schemas import StrategyRequest
from serving.strategies.vertex import Vertex

KEPT: Final = 1024
"""Answers that a process keeps at hand for the same question: a plan of two weeks stands although somebody posted, but
not once the creator did, or a model, market or library was published."""

AT_HAND: Final = timedelta(minutes=15)
"""How long at most; the cache of all processes may hold them longer."""

CLOSE_SECONDS: Final = 1.0
FREE: Final = Cost(calls=0, input_tokens=0, output_tokens=0, usd=0.0)


class Strategist:
    """Answers for one process.

    Args:
        planner: gathers evidence, writes without a model, checks.
        vertex: the model; without one the deterministic writer answers.
        cache: of what the model wrote, shared with other processes.
        outcomes: keeps what is given, and tells what became of it; without one nothing is kept.
    """

    def __init__(
        self,
        planner: Planner,
        vertex: Vertex | None = None,
        cache: StrategyCache | None = None,
        outcomes: Outcomes | None = None,
    ) -> None:
        self.planner, self.vertex, self.outcomes = planner, vertex, outcomes
        self.author = Author(planner.unchecked, planner.check, told_library(planner.library), vertex, cache)
        self._kept: dict[Hashable, tuple[datetime, WrittenStrategy]] = {}

    def prepare(self) -> None:
        """Read and load what the first request would otherwise wait for."""
        self.planner.strategies()
        if self.vertex:
            self.vertex.prepare()

    def known(self, request: StrategyRequest, now: datetime) -> WrittenStrategy | None:
        """The answer to the same question, where nothing that it follows from has changed since.

        Raises:
            NotReady: nothing serves.
        """
        key = self.planner.standing(request)
        until, answer = self._kept.get(key, (now, None)) if key else (now, None)
        return answer if now < until else None

    def commission(self, request: StrategyRequest, now: datetime, tenant: str | None = None) -> Commission:
        """The request, by whomever it was asked, with its evidence.

        Raises:
            NotReady: nothing serves.
        """
        standing = self.planner.standing(request)  # first: what changes while evidence is gathered is another question
        return Commission(self.planner.evidence(request), request, now, lambda screened: screened, standing, tenant)

    async def answer(self, commission: Commission) -> WrittenStrategy:
        """The strategy, within the deadline."""
        return await self.handed_over(commission, await self.author.compose(commission))

    async def answering(self, commission: Commission) -> AsyncGenerator[Progress | WrittenStrategy, None]:
        """The same with how far it is; the strategy comes last. Leaving the iteration stops the model's call."""
        async with aclosing(self.author.composing(commission)) as events:
            async for event in events:
                yield await self.handed_over(commission, event.composed) if event.composed else event

    async def handed_over(
        self, commission: Commission, composed: Composed, now: datetime | None = None
    ) -> WrittenStrategy:
        """What the caller is told of it; kept for the same question, and for what becomes of it.

        Args:
            now: when it is answered, where that is long after it was asked.
        """
        await self._keep(commission, composed, now or commission.now)
        return self._noted(commission, composed)

    async def aclose(self) -> None:
        """Close the connections of this event loop, and write down what waits."""
        if self.outcomes:
            await asyncio.to_thread(self.outcomes.close, CLOSE_SECONDS)
        if self.vertex:
            await self.vertex.aclose()

    async def _keep(self, commission: Commission, composed: Composed, now: datetime) -> None:
        """Write down what is given, so that posts after it can be held against it."""
        if self.outcomes is None:
            return
        strategy, versions = composed.strategy, self.planner.versions(commission.request.creator_id)
        if self.vertex and strategy.writer == "vertex":
            versions |= {"model": self.vertex.settings.model, "prompt": PROMPT_VERSION}
        await self.outcomes.keep(given(strategy, commission.evidence, now, commission.tenant, versions))

    def _noted(self, commission: Commission, composed: Composed) -> WrittenStrategy:
        """The answer, kept at hand under what it follows from."""
        answer, key = written(composed), commission.standing
        if key is not None:
            self._kept.pop(key, None)
            until = commission.now + self._lifetime(composed)
            self._kept[key] = (until, answer.model_copy(update={"cached": True, "cost": FREE}))
            while len(self._kept) > KEPT:
                del self._kept[next(iter(self._kept))]
        return answer

    def _lifetime(self, composed: Composed) -> timedelta:
        """An answer that the model failed to write is given again only as long as the breaker would keep it closed."""
        if self.vertex is None:
            return AT_HAND
        settings = self.vertex.settings
        if composed.reason:
            return min(AT_HAND, timedelta(seconds=settings.breaker_seconds))
        return min(AT_HAND, timedelta(days=settings.cache_days))


def written(composed: Composed) -> WrittenStrategy:
    """What a caller is told of it."""
    told = {name: getattr(composed.strategy, name) for name in type(composed.strategy).model_fields}
    cost = Cost(**asdict(composed.spent))
    return WrittenStrategy.model_construct(**told, fallback=composed.reason, cached=composed.cached, cost=cost)
