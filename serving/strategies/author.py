"""Who writes a strategy: the model where its draft can be proven, the deterministic writer in every other case."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, Protocol

from serving.strategies.passages import CITATION, passages
from serving.strategies.prompt import Draft, Prompt, make_prompt
from serving.strategies.schemas import Check, Evidence, Strategy
from serving.strategies.untrusted import withheld
from serving.strategies.vertex import Deadline, Vertex, VertexFault

log = logging.getLogger(__name__)
TRIES: Final = 2
MODEL_SHARE: Final = 0.9
"""Of the deadline; the rest is kept for the deterministic writer."""

WORTH_ANOTHER_TRY: Final = frozenset({"unreadable", "empty", "cut off"})
Stage = Literal["asking", "writing", "checking", "again", "falling back", "done"]
Checker = Callable[[Strategy, Evidence], Check]
UNCHECKED: Final = Check(claims=0, faults=())


class Writer(Protocol):
    """A writer that needs no model and always answers."""

    def write(self, evidence: Evidence) -> Strategy:
        """The strategy for this evidence."""
        ...


@dataclass(frozen=True)
class Commission:
    """What is to be written, and by when.

    Attributes:
        strategies: the library's entries by id, as the model may read them.
        now: when it was asked, UTC; budget and cache go by it.
        screen: what suspect titles are replaced with before the model sees them.
    """

    evidence: Evidence
    strategies: Mapping[str, Mapping[str, Any]]
    now: datetime
    locale: str = "en"
    goal: str | None = None
    screen: Callable[[Evidence], Evidence] = withheld


@dataclass(frozen=True)
class Composed:
    """A strategy, and why the model did not write it where it did not."""

    strategy: Strategy
    reason: str | None = None
    cached: bool = False


@dataclass(frozen=True)
class Progress:
    """How far the writing is; `composed` comes with the last one."""

    stage: Stage
    characters: int = 0
    composed: Composed | None = None


async def compose(commission: Commission, deterministic: Writer, vertex: Vertex | None, checker: Checker) -> Composed:
    """A strategy within the deadline, always: the model's, checked, or the deterministic writer's."""
    return await _composed(commission, deterministic, vertex, checker, None)


async def composing(
    commission: Commission, deterministic: Writer, vertex: Vertex | None, checker: Checker
) -> AsyncIterator[Progress]:
    """The same, with how far it is; leaving the iteration stops the model's call."""
    events: asyncio.Queue[Progress] = asyncio.Queue()
    task = asyncio.create_task(_composed(commission, deterministic, vertex, checker, events.put_nowait))
    task.add_done_callback(lambda _: events.put_nowait(Progress("done")))
    try:
        while (event := await events.get()).stage != "done":
            yield event
        yield Progress("done", composed=await task)
    finally:
        task.cancel()


async def _composed(
    commission: Commission, deterministic: Writer, vertex: Vertex | None, checker: Checker,
    tell: Callable[[Progress], None] | None,
) -> Composed:  # fmt: skip
    reason = "no model"
    if vertex is not None:
        deadline = Deadline.after(vertex.settings.deadline_seconds * MODEL_SHARE)
        try:
            async with asyncio.timeout(deadline.seconds):
                return await _by_model(commission, vertex, checker, deadline, tell)
        except VertexFault as fault:
            reason = fault.reason
        except TimeoutError:
            reason = "deadline"
        log.info("the deterministic writer takes over: %s", reason)
    if tell:
        tell(Progress("falling back"))
    evidence = withheld(commission.evidence)
    strategy = deterministic.write(evidence)
    return Composed(strategy.model_copy(update={"check": checker(strategy, evidence)}), reason)


async def _by_model(
    commission: Commission, vertex: Vertex, checker: Checker, deadline: Deadline,
    tell: Callable[[Progress], None] | None,
) -> Composed:  # fmt: skip
    """Cache, draft, check, and one more try with the list of faults."""
    evidence = commission.screen(commission.evidence)
    prompt = _prompt(commission, evidence, ())
    key = hashlib.sha256(f"{prompt.key}\0{vertex.settings.model}".encode()).hexdigest()
    if kept := await asyncio.to_thread(vertex.ledger.cached, key, commission.now):
        strategy = _assembled(Draft.model_validate_json(kept), commission, evidence, key)
        if (check := checker(strategy, evidence)).is_grounded:
            return Composed(strategy.model_copy(update={"check": check}), cached=True)
    for attempt in range(TRIES):
        if tell:
            tell(Progress("again" if attempt else "asking"))
        try:
            draft = await vertex.draft(prompt, commission.now, deadline, _counting(tell))
        except VertexFault as fault:
            if attempt + 1 < TRIES and fault.reason in WORTH_ANOTHER_TRY:
                continue
            raise
        if tell:
            tell(Progress("checking"))
        strategy = _assembled(draft, commission, evidence, key)
        check = checker(strategy, evidence)
        if check.is_grounded:
            body = draft.model_dump_json()
            await asyncio.to_thread(vertex.ledger.keep, key, body, commission.now, vertex.settings.cache_days)
            return Composed(strategy.model_copy(update={"check": check}))
        prompt = _prompt(commission, evidence, check.faults)
    raise VertexFault("ungrounded", f"{len(check.faults)} faults")


def _counting(tell: Callable[[Progress], None] | None) -> Callable[[int], None] | None:
    return (lambda characters: tell(Progress("writing", characters))) if tell else None


def _prompt(commission: Commission, evidence: Evidence, faults: tuple[str, ...]) -> Prompt:
    return make_prompt(evidence, commission.strategies, commission.locale, commission.goal, faults)


def _assembled(draft: Draft, commission: Commission, evidence: Evidence, key: str) -> Strategy:
    """A draft with what the model has no say in; its sources are the facts that it cites."""
    strategy = Strategy(
        strategy_id=key[:20],
        creator_id=evidence.creator_id,
        locale=commission.locale,
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
