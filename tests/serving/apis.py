"""The service's application as a test asks it: the gate and the routes around one pipeline, without a server."""

from __future__ import annotations

from collections.abc import Callable

from starlette.testclient import TestClient
from starlette.types import ASGIApp

import configs
from serving.access.guard import guarded
from serving.answers import Alone, Answers
from serving.api import create_api
from serving.assemble import event_log
from serving.intake import Intake
from serving.pipeline import Pipeline

REPORT = {"ready": True, "market": None, "models": {}, "refused": [], "trouble": ""}
"""What a worker would say of its models."""

HERE = ("127.0.0.1", 50_000)
"""A client on the same machine, who need not say who they are."""


def app_of(pipeline: Callable[[], Pipeline], settings: configs.Settings) -> ASGIApp:
    """Gate and routes; events go to a log in the settings' home."""
    routes = create_api(
        Answers(Alone(pipeline)), lambda: Intake(event_log(settings)), lambda: b"figures 1\n", lambda: REPORT
    )
    return guarded(routes, lambda: settings)


def client_of(pipeline: Callable[[], Pipeline], settings: configs.Settings) -> TestClient:
    """A client of that application, from the same machine."""
    return TestClient(app_of(pipeline, settings), base_url="http://127.0.0.1", client=HERE)
