"""From settings to the writer of strategies over what is published, for jobs and the command line."""

from __future__ import annotations

from configs import Settings
from serving.answers import Alone, Answers
from serving.assemble import pipeline, serving_home
from serving.strategies.library import library
from serving.strategies.planner import Planner
from serving.strategies.published import LibraryFile


def planner(settings: Settings) -> Planner:
    """A planner over the market, model and libraries that are published now.

    Raises:
        NotReady: no market or no model is published.
    """
    made = pipeline(settings)
    return Planner(Answers(Alone(lambda: made)), library(), LibraryFile(serving_home(settings)).get)
