"""Who writes a strategy: the model where its draft can be proven, the deterministic writer in every other case."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncGenerator, Callable, Hashable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from serving.strategies.checking.passages import CITATION, passages
from serving.strategies.drafting.cache import StrategyCache
from serving.strategies.drafting.faults import Deadline, VertexFault
from serving.strategies.drafting.spending import Account, Spent
from serving.strategies.prompt import Draft, Prompt, make_prompt
from serving.strategies.schemas import Check, Evidence, Strategy, StrategyRequest
from serving.strategies.untrusted import withheld
from serving.strategies.vertex import Vertex

log = logging.getLogger(__name__)
TRIES: Final = 2
MODEL_SHARE: Final = 0.9
"""Of the deadline; the rest is kept for the deterministic writer."""

WORTH_ANOTHER_TRY: Final = frozenset({"unreadable", "empty", "cut off"})
Stage = Literal["asking", "writing", "checking", "checked", "again", "falling back", "done"]
UNCHECKED: Final = Check(claims=0, faults=())
NOTHING: Final = Spent(0.0, 0, 0, 0)


@dataclass(frozen=True)
class Commission:
    """What is to be written.

    Attributes:
        now: when it was asked, UTC; budget and cache go by it.
        screen: what suspect titles are replaced with before the model sees them.
        standing: what the evidence follows from; None where nobody can say.
        tenant: whoever asked, as `Principal.caller`; None of the command line.
    """

    evidence: Evidence
    request: StrategyRequest
    now: datetime
    screen: Callable[[Evidence], Evidence] = withheld
    standing: Hashable | None = None
    tenant: str | None = None


@dataclass(frozen=True)
class Composed:
    """A strategy, why the model did not write it where it did not, and what asking the model has cost."""

    strategy: Strategy
    reason: str | None = None
    cached: bool = False
    spent: Spent = NOTHING


@dataclass(frozen=True)
class Progress:
    """How far the writing is; `check` comes with `checked`, `composed` with the last one."""

    stage: Stage
    characters: int = 0
    check: Check | None = None
    composed: Composed | None = None


Tell = Callable[[Progress], None]


@dataclass(frozen=True)
class Author:
    """Writes strategies with whoever is there.

    Attributes:
        write: the deterministic writer; asked from other threads.
        check: what of a strategy its evidence proves; asked from other threads.
        strategies: the library's entries by id, as the model may read them.
        vertex: the model, None where there is none.
        cache: of what the model wrote.
    """

    write: Callable[[Evidence, StrategyRequest], Strategy]
    check: Callable[[Strategy, Evidence], Check]
    strategies: Mapping[str, Mapping[str, Any]]
    vertex: Vertex | None = None
    cache: StrategyCache | None = None

    async def compose(self, commission: Commission) -> Composed:
        """A strategy within the deadline, always: the model's, checked, or the deterministic writer's."""
        return await self._composed(commission, None)

    async def composing(self, commission: Commission) -> AsyncGenerator[Progress, None]:
        """The same, with how far it is; leaving the iteration stops the model's call."""
        events: asyncio.Queue[Progress] = asyncio.Queue()
        task = asyncio.create_task(self._composed(commission, events.put_nowait))
        task.add_done_callback(lambda _: events.put_nowait(Progress("done")))
        try:
            while (event := await events.get()).stage != "done":
                yield event
            yield Progress("done", composed=await task)
        finally:
            task.cancel()

    async def _composed(self, commission: Commission, tell: Tell | None) -> Composed:
        reason, account = "no model", None
        if vertex := self.vertex:
            account = Account(vertex.ledger, vertex.settings.budget_usd_per_request, commission.now)
            deadline = Deadline.after(vertex.settings.deadline_seconds * MODEL_SHARE)
            try:
                async with asyncio.timeout(deadline.seconds):
                    return await self._by_model(commission, vertex, account, deadline, tell)
            except VertexFault as fault:
                reason = fault.reason
            except TimeoutError:
                reason = "deadline"
            except Exception:  # of a library that knows more errors than it documents; a strategy is owed all the same
                log.exception("the model could not be asked")
                reason = "failed"
            log.info("the deterministic writer takes over: %s", reason)
        if tell:
            tell(Progress("falling back"))
        strategy = await asyncio.to_thread(self.fallback, commission)
        return Composed(strategy, reason, spent=account.spent if account else NOTHING)

    def fallback(self, commission: Commission) -> Strategy:
        """What the deterministic writer makes of it, checked."""
        evidence = withheld(commission.evidence)
        strategy = self.write(evidence, commission.request)
        return strategy.model_copy(update={"check": self.check(strategy, evidence)})

    def prompt(self, commission: Commission, faults: tuple[str, ...] = ()) -> Prompt:
        """What the model is asked."""
        request = commission.request
        return make_prompt(
            commission.screen(commission.evidence), self.strategies, request.locale, request.goal, faults
        )

    def proven(self, draft: Draft, commission: Commission, key: str) -> Strategy:
        """A draft as a strategy, with what the check found in it."""
        evidence = commission.screen(commission.evidence)
        strategy = _assembled(draft, evidence, commission.request.locale, key)
        return strategy.model_copy(update={"check": self.check(strategy, evidence)})

    def kept(self, key: str, now: datetime) -> Strategy | None:
        """What the cache holds, as it was checked then."""
        body = self.cache.get(key, now) if self.cache else None
        try:
            return Strategy.model_validate_json(body) if body else None
        except ValueError:  # written by another version of this program
            return None

    def keep(self, key: str, strategy: Strategy, now: datetime) -> None:
        """Put what was proven into the cache."""
        if self.cache:
            self.cache.keep(key, strategy.model_dump_json(), now)

    async def _by_model(
        self, commission: Commission, vertex: Vertex, account: Account, deadline: Deadline, tell: Tell | None
    ) -> Composed:
        """Cache, draft, check, and one more try with the list of faults."""
        prompt = await asyncio.to_thread(self.prompt, commission)
        key = key_of(prompt, commission, vertex.settings.model)
        if kept := await asyncio.to_thread(self.kept, key, commission.now):
            return Composed(kept, cached=True)
        for attempt in range(TRIES):
            if tell:
                tell(Progress("again" if attempt else "asking"))
            try:
                draft = await vertex.draft(prompt, account, deadline, _counting(tell))
            except VertexFault as fault:
                if attempt + 1 < TRIES and fault.reason in WORTH_ANOTHER_TRY:
                    continue
                raise
            if tell:
                tell(Progress("checking"))
            strategy = await asyncio.to_thread(self.proven, draft, commission, key)
            if tell:
                tell(Progress("checked", check=strategy.check))
            if strategy.check.is_grounded:
                await asyncio.to_thread(self.keep, key, strategy, commission.now)
                return Composed(strategy, spent=account.spent)
            prompt = await asyncio.to_thread(self.prompt, commission, strategy.check.faults)
        raise VertexFault("ungrounded", f"{len(strategy.check.faults)} faults")


def key_of(prompt: Prompt, commission: Commission, model: str) -> str:
    """Of everything that the model's answer follows from; the evidence as it is, not only as the model is told it."""
    told = commission.screen(commission.evidence).model_dump_json()
    return hashlib.sha256(f"{prompt.key}\0{model}\0{told}".encode()).hexdigest()


def _counting(tell: Tell | None) -> Callable[[int], None] | None:
    return (lambda characters: tell(Progress("writing", characters))) if tell else None


def _assembled(draft: Draft, evidence: Evidence, locale: str, key: str) -> Strategy:
    """A draft with what the model has no say in; its sources are the facts that it cites."""
    strategy = Strategy(
        strategy_id=key[:20],
        creator_id=evidence.creator_id,
        locale=locale,
        writer="vertex",
        check=UNCHECKED,
        as_of=evidence.as_of,
        sources=(),
        **{name: getattr(draft, name) for name in Draft.model_fields},
    )
    texts = (group for passage in passages(strategy) for group in CITATION.findall(passage.text))
    cited = {name.strip() for group in texts for name in group.replace(";", ",").split(",")}
    cited |= {name for play in draft.plays for name in play.facts}
    return strategy.model_copy(update={"sources": tuple(fact for fact in evidence.facts if fact.id in cited)})
