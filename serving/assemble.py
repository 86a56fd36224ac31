"""The composition root: from settings and what has been published to a pipeline."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from configs import Settings
from models.errors import ModelError
from models.explain import Explainer
from models.ranker import Ranker
from models.registry import CHAMPION
from serving.errors import NotReady, ServingError
from serving.hydrate import PackedStates
from serving.pipeline import Pipeline
from serving.score import Model
from serving.snapshot import current_version, load

log = logging.getLogger(__name__)


def serving_home(settings: Settings) -> Path:
    """Where published markets, models and creator states live."""
    return settings.home / "serving"


def market_folder(settings: Settings) -> Path:
    """Where snapshots are published."""
    return serving_home(settings) / "market"


def creator_states(settings: Settings) -> PackedStates:
    """The packed creator states."""
    return PackedStates(serving_home(settings) / "creators.sqlite")


def released_version(settings: Settings) -> str:
    """The version of the champion that was last released to serving.

    Raises:
        NotReady: none has been released.
    """
    try:
        return (settings.released_models / CHAMPION).read_text()
    except FileNotFoundError:
        raise NotReady("no champion has been released: run «harmonic train», or «harmonic up»") from None


def has_model(settings: Settings) -> bool:
    """Whether a champion has been released to serving."""
    try:
        return bool(released_version(settings))
    except NotReady:
        return False


def released_model(settings: Settings) -> Model:
    """The champion, ready to score.

    Raises:
        NotReady: none has been released.
    """
    version = released_version(settings)
    return model_of(version, Ranker.load(settings.released_models / version))


def model_of(version: str, ranker: Ranker) -> Model:
    """A ranker with what explaining it needs."""
    return Model(version, ranker, Explainer.of(ranker))


def pipeline(settings: Settings) -> Pipeline:
    """The pipeline over what is published now.

    Raises:
        NotReady: no market or no model is published.
    """
    snapshot = load(market_folder(settings), settings.trends)
    return Pipeline(
        snapshot=snapshot,
        model=released_model(settings),
        states=creator_states(settings),
        settings=settings.serving,
    )


class PipelineHolder:
    """Keeps one pipeline over what is published, and makes a new one when that changes.

    Args:
        settings: gives the settings, when the first pipeline is made.
    """

    def __init__(self, settings: Callable[[], Settings]) -> None:
        self._settings = settings
        self._pipeline: Pipeline | None = None
        self._trouble = ""

    @property
    def is_ready(self) -> bool:
        """Whether a pipeline could be made."""
        return self._pipeline is not None

    def keep_fresh(self, every_seconds: float) -> None:
        """Look for what is published now, and go on looking from a thread until the process ends.

        While nothing has been published, or something is that cannot be read, what was there before stays.
        """
        self._try_refresh()
        threading.Thread(target=self._watch, args=(every_seconds,), name="publications", daemon=True).start()

    def _watch(self, every_seconds: float) -> None:
        while True:
            time.sleep(every_seconds)
            self._try_refresh()

    def _try_refresh(self) -> None:
        try:
            self.refresh()
        except (ServingError, ModelError, OSError) as error:
            if str(error) != self._trouble:
                log.warning("%s", error)
            self._trouble = str(error)
        else:
            self._trouble = ""

    def refresh(self) -> None:
        """Make a pipeline of what is published now, if that differs from the present one.

        Raises:
            NotReady: nothing has been published.
        """
        settings = self._settings()
        published = (current_version(market_folder(settings)), released_version(settings))
        if self._pipeline is None or published != (
            self._pipeline.snapshot.version,
            self._pipeline.model.version,
        ):
            self._pipeline = pipeline(settings)

    def get(self) -> Pipeline:
        """The present pipeline.

        Raises:
            NotReady: nothing was published when it was last looked for.
        """
        if self._pipeline is None:
            raise NotReady("no market and model are published yet: run «harmonic up»")
        return self._pipeline
