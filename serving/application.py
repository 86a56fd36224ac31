"""One serving process: everything that answers, watches and follows, wired together; nothing runs before `start`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from starlette.types import ASGIApp, Receive, Scope, Send

from configs import Settings
from features.eventlog.log import EventLog
from serving.access.guard import Guard, guarded
from serving.answers import Answers
from serving.api import create_api
from serving.assemble import event_log, live_market, serving_home
from serving.errors import StatesUnavailable
from serving.hot import CREATORS
from serving.intake import Intake
from serving.live import LiveMarket
from serving.process import memory
from serving.snapshot import TrendSnapshot
from serving.strategies.assemble import strategist
from serving.strategies.library import library
from serving.strategies.planner import Planner
from serving.strategies.published import LibraryFile
from serving.strategies.strategist import Strategist
from serving.watching.operations import ObservedApp, Operations


class Application:
    """The ASGI application of one worker.

    Args:
        settings: gives the settings, when the process starts.
    """

    def __init__(self, settings: Callable[[], Settings]) -> None:
        self._settings = settings
        self.operations = Operations(settings, self._caught_up)

    def start(self) -> None:
        """Follow what is published and what happens; returns when the first model is warm, if there is one."""
        self.operations.start()
        holder = self.operations.holder
        self._live.follow(lambda: holder.get().snapshot, holder.patch)
        self._strategist.prepare()
        memory.settle()

    @property
    def is_ready(self) -> bool:
        """Whether requests should come here."""
        return self.operations.is_ready

    @property
    def degraded(self) -> list[str]:
        """What answers do without: `creators` who cannot be read, `access`: keys or limits known from before only."""
        found = []
        try:
            self.operations.holder.get().states.get("")
        except StatesUnavailable:
            found.append(CREATORS)
        if self._guard.degraded:
            found.append("access")
        return found

    async def aclose(self) -> None:
        """Close what belongs to the event loop that answered, then write and send what waits."""
        if "_strategist" in vars(self):
            await self._strategist.aclose()
        self.close()

    def close(self) -> None:
        """Write and send what waits."""
        self._live.stop()
        self.operations.close()
        self._events.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        await self._layers(scope, receive, send)

    @cached_property
    def _layers(self) -> ASGIApp:
        return ObservedApp(self._guard, self.operations)

    @cached_property
    def _guard(self) -> Guard:
        operations = self.operations
        told = operations.telemetry.exposition, operations.holder.report
        answers = Answers(operations)
        routes = create_api(answers, lambda: Intake(self._events), *told, lambda: self._strategist)
        return guarded(routes, self._settings)

    @cached_property
    def _strategist(self) -> Strategist:
        published = LibraryFile(serving_home(self._settings())).get
        planner = Planner(Answers(self.operations), library(), published)
        return strategist(self._settings(), planner, lambda: self._events)

    @cached_property
    def _events(self) -> EventLog:
        return event_log(self._settings())

    @cached_property
    def _live(self) -> LiveMarket:
        return live_market(self._settings())

    def _caught_up(self, snapshot: TrendSnapshot) -> TrendSnapshot:
        return self._live.caught_up(snapshot)
