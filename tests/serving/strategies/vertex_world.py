"""A model's server, a writer without a model, and what stands between them, as tests of strategies use them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import configs
from configs import VertexSettings
from serving.strategies.drafting.author import Author, Commission, Composed
from serving.strategies.drafting.cache import StrategyCache
from serving.strategies.drafting.spending import SpendingLedger
from serving.strategies.grounding import check
from serving.strategies.prompt import Draft
from serving.strategies.schemas import Check, Evidence, Strategy, StrategyRequest
from serving.strategies.untrusted import withheld
from serving.strategies.vertex import Vertex
from tests import grounded
from tests.grounded import KNOWN, Teller

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
Screen = Callable[[Evidence], Evidence]
LIBRARY = {"duet-chain": {"name": "Duet chain", "steps": [KNOWN["step.1"]]}}


def plain(evidence: Evidence, _: StrategyRequest) -> Strategy:
    """Writes what the evidence proves."""
    return grounded.strategy(evidence, Teller(random.Random(0)))


def checker(strategy: Strategy, evidence: Evidence) -> Check:
    return check(strategy, evidence, KNOWN)


def draft_of(evidence: Evidence, teller: Teller | None = None) -> dict[str, Any]:
    """A draft that the evidence proves, as the model would send it."""
    written = grounded.strategy(evidence, teller or Teller(random.Random(1)))
    return {name: value for name, value in written.model_dump(mode="json").items() if name in Draft.model_fields}


def settings(url: str, **changes: Any) -> VertexSettings:
    patient = {"deadline_seconds": 20.0, "timeout_seconds": 10.0, "wait_seconds": 0.02, "project": "p", "base_url": url}
    return configs.load().strategy.vertex.model_copy(update={**patient, **changes})


def vertex(url: str, folder: Path, **changes: Any) -> Vertex:
    chosen = settings(url, **changes)
    return Vertex(chosen, SpendingLedger(folder / "vertex.sqlite", chosen.budget_usd_per_day))


def author(model: Vertex | None = None, folder: Path | None = None) -> Author:
    """Keeps what it wrote in a folder, where one is given."""
    kept = StrategyCache(folder / "strategies.sqlite", 100, 1.0) if folder else None
    return Author(plain, checker, LIBRARY, model, kept)


def commission(evidence: Evidence, now: datetime = NOW, screen: Screen = withheld, **request: Any) -> Commission:
    return Commission(evidence, StrategyRequest(creator_id=evidence.creator_id, **request), now, screen)


def composed(model: Vertex | None, *asked: Commission, folder: Path | None = None) -> list[Composed]:
    """One strategy after another."""

    async def run() -> list[Composed]:
        writes = author(model, folder)
        found = [await writes.compose(one) for one in asked]
        if model is not None:
            await model.aclose()
        return found

    return asyncio.run(run())


Write = Callable[[dict[str, Any]], dict[str, Any]]
