"""The service's application around a strategist whose model is a server of the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.types import ASGIApp

import configs
from serving.access.guard import guarded
from serving.answers import Alone, Answers
from serving.api import create_api
from serving.assemble import event_log
from serving.intake import Intake
from serving.pipeline import Pipeline
from serving.strategies.drafting.cache import StrategyCache
from serving.strategies.planner import Planner
from serving.strategies.strategist import Strategist
from tests.serving.strategies.vertex_world import vertex


def strategist(url: str, planner: Planner, home: Path, **changes: Any) -> Strategist:
    """Asks the model at an address; keeps everything in a folder."""
    model = vertex(url, home, **changes)
    model.prepare()
    return Strategist(planner, model, StrategyCache(home / "strategies.sqlite", 1000, model.settings.cache_days))


def app_of(served: Pipeline, writes: Strategist, home: Path) -> ASGIApp:
    """Gate and routes, for callers on this machine, as often as they like."""
    rates = {name: {"requests": 100_000, "seconds": 1} for name in configs.load().auth.limits.rates}
    settings = configs.load(home=home, auth={"limits": {"rates": rates}})
    routes = create_api(
        Answers(Alone(lambda: served)), lambda: Intake(event_log(settings)), lambda: b"", dict, lambda: writes
    )
    return guarded(routes, lambda: settings)
