"""From settings to whoever writes strategies over what is published, for the service, for jobs and the command line."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from configs import Settings
from features.eventlog.log import EventLog
from serving.answers import Alone, Answers
from serving.assemble import creator_states, event_log, pipeline, serving_home
from serving.errors import ServingError
from serving.strategies.drafting.cache import StrategyCache
from serving.strategies.drafting.spending import SpendingLedger
from serving.strategies.following.outcomes import Outcomes
from serving.strategies.following.stores import given_store
from serving.strategies.library import library
from serving.strategies.planner import Planner
from serving.strategies.published import LibraryFile
from serving.strategies.strategist import Strategist
from serving.strategies.vertex import Vertex

if TYPE_CHECKING:
    from features.lake import Lake


class NoCreators(ServingError):
    """Nobody to write for; only the command line meets it."""

    status = 422
    title = "No creators"


def planner(settings: Settings) -> Planner:
    """A planner over the market, model and libraries that are published now.

    Raises:
        NotReady: no market or no model is published.
    """
    made = pipeline(settings)
    return Planner(Answers(Alone(lambda: made)), library(), LibraryFile(serving_home(settings)).get)


def creator_names(settings: Settings, chosen: Path | None = None) -> list[str]:
    """The creators of a file, one a line, each once; everybody of whom a post is known where there is none.

    Raises:
        NoCreators: there are none, or the file cannot be read.
    """
    if chosen is None:
        names = sorted(creator_states(settings).ids())
    else:
        try:
            names = list(dict.fromkeys(filter(None, map(str.strip, chosen.read_text(encoding="utf-8").splitlines()))))
        except (OSError, UnicodeDecodeError) as error:
            raise NoCreators(f"{chosen} cannot be read: {error}") from None
    if not names:
        raise NoCreators(f"{chosen or 'the published market'} names no creator")
    return names


def vertex(settings: Settings) -> Vertex | None:
    """The model that writes, None where no project is named."""
    chosen = settings.strategy.vertex
    if chosen.project is None:
        return None
    return Vertex(chosen, SpendingLedger(settings.home / chosen.path, chosen.budget_usd_per_day))


def cache(settings: Settings) -> StrategyCache:
    """Of what the model wrote."""
    chosen = settings.strategy.vertex
    return StrategyCache(settings.home / chosen.cache_path, chosen.cache_entries, chosen.cache_days)


def strategist(settings: Settings, over: Planner, events: Callable[[], EventLog] | None = None) -> Strategist:
    """Who answers for strategies in this process; a planner gives evidence and writes where the model does not.

    Args:
        events: gives the log that is told when a strategy was followed; one of its own where there is none yet.
    """
    return Strategist(over, vertex(settings), cache(settings), outcomes(settings, events))


def outcomes(settings: Settings, events: Callable[[], EventLog] | None = None) -> Outcomes:
    """What was given, and what became of it; see `strategist`."""

    def lake() -> Lake:
        from features.lake import Lake  # and Arrow, which answering slates needs nothing of

        return Lake(settings.home / "lake", settings.lake.memory_limit)

    return Outcomes(given_store(settings), lake, events or lru_cache(lambda: event_log(settings)))
