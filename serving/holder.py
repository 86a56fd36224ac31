"""Keeps the pipelines that serve over what is published: a new model or market is tried out first, then swapped in."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from statistics import median
from time import monotonic, perf_counter
from typing import Any, Final

import numpy as np

from configs import Settings
from models.errors import IncompatibleModel, ModelError
from models.registry import CHALLENGER, CHAMPION
from models.releases import Release, load_checked, point, released
from serving import present
from serving.assemble import creator_states, market_folder, released_champion
from serving.errors import NotReady, ServingError
from serving.experiment import Arm
from serving.hydrate import CreatorStates
from serving.pipeline import Pipeline
from serving.process.memory import forget_compiler
from serving.schemas import RankQuery
from serving.score import Model
from serving.snapshot import TrendSnapshot, current_version, load
from serving.watching.telemetry import Telemetry

log = logging.getLogger(__name__)

GOOD: Final = "{}.good"
"""Alias of the last release that passed, for a worker that starts while a bad one is pointed to."""


FAULTS: Final = (ValueError, TypeError, LookupError, ArithmeticError, AssertionError)
"""How a model that does not fit shows itself when it is used; what else goes wrong may be better the next time."""


@dataclass(frozen=True)
class Traffic:
    """What serves at one instant; a request uses one of these from beginning to end."""

    champion: Pipeline
    challenger: Pipeline | None = None

    def of(self, arm: Arm) -> tuple[Arm, Pipeline]:
        """An arm's pipeline; the champion's where there is no challenger."""
        if arm == "challenger" and self.challenger is not None:
            return "challenger", self.challenger
        return "champion", self.champion

    def on(self, snapshot: TrendSnapshot) -> Traffic:
        """The same models on another picture of the market."""
        return Traffic(self.champion.on(snapshot), self.challenger.on(snapshot) if self.challenger else None)


@dataclass(frozen=True)
class Published:
    """What lies ready to be served."""

    market: str
    champion: Release
    challenger: Release | None


@dataclass(frozen=True)
class Refusal:
    """A release that was not let in.

    Attributes:
        market: the one it failed with; empty where it fails whatever the market is.
        why: for people.
    """

    release: Release
    market: str
    why: str
    at: datetime

    def concerns(self, release: Release, market: str) -> bool:
        """Whether trying this release again would be in vain."""
        return self.release == release and self.market in ("", market)


@dataclass(frozen=True)
class Lane:
    """One alias: the release that serves, and the one that was refused last."""

    release: Release | None = None
    model: Model | None = None
    refusal: Refusal | None = None


class PipelineHolder:
    """Follows what is published; what fails its check is refused, told once, and what served before stays.

    Args:
        settings: gives the settings, when the first pipeline is made.
        live: brings a market that was just read up to date with what happened since it was published.
        telemetry: takes the figures.
    """

    def __init__(
        self,
        settings: Callable[[], Settings],
        live: Callable[[TrendSnapshot], TrendSnapshot] = lambda snapshot: snapshot,
        telemetry: Telemetry | None = None,
    ) -> None:
        self._settings, self._live, self.telemetry = settings, live, telemetry
        self._traffic: Traffic | None = None
        self._market = ""
        self._since = 0.0
        self._states: CreatorStates | None = None
        self._seen: Published | None = None
        self._lanes = {CHAMPION: Lane(), CHALLENGER: Lane()}
        self._swapping = threading.Lock()
        self._looking = threading.Lock()
        self._stopped = threading.Event()
        self._trouble = ""

    @property
    def is_ready(self) -> bool:
        """Whether a pipeline that was tried out serves."""
        return self._traffic is not None

    def get(self) -> Pipeline:
        """The champion's pipeline.

        Raises:
            NotReady: nothing fit to serve was published when it was last looked for.
        """
        return self.traffic().champion

    def traffic(self) -> Traffic:
        """What serves now; raises as `get` does."""
        traffic = self._traffic
        if traffic is None:
            raise NotReady("no market and model are published yet: run «harmonic up»")
        return traffic

    def keep_fresh(self, every_seconds: float) -> None:
        """Look for what is published now, and go on looking from a thread until `stop`.

        While nothing has been published, or something is that cannot be read, what was there before stays.
        """
        self._try_refresh()
        threading.Thread(target=self._watch, args=(every_seconds,), name="publications", daemon=True).start()

    def stop(self) -> None:
        """Look no longer."""
        self._stopped.set()

    def _watch(self, every_seconds: float) -> None:
        while not self._stopped.wait(every_seconds):
            self._try_refresh()

    def _try_refresh(self) -> None:
        try:
            self.refresh()
        except (ServingError, ModelError, OSError) as error:
            self._tell(str(error))
        except Exception as error:  # whatever it was: the thread that looks must live, and the next look may succeed
            self._tell(f"cannot take in what is published: {type(error).__name__}", error)
        else:
            self._trouble = ""

    def _tell(self, trouble: str, error: Exception | None = None) -> None:
        if trouble != self._trouble:
            log.warning("%s", trouble, exc_info=error)
        self._trouble = trouble

    def refresh(self) -> None:
        """Take in what is published now, where that differs from what was looked at last.

        Raises:
            NotReady: nothing has been published, or nothing fit to serve.
        """
        settings = self._settings()
        with self._looking:
            published = self._published(settings)
            if published != self._seen:
                self._take_in(settings, published)
                self._seen = published
            if self._traffic is None:
                raise NotReady(self._why())

    def _published(self, settings: Settings) -> Published:
        follows = settings.traffic.wants_challenger
        return Published(
            market=current_version(market_folder(settings)),
            champion=released_champion(settings),
            challenger=released(settings.released_models, CHALLENGER) if follows else None,
        )

    def _take_in(self, settings: Settings, published: Published) -> None:
        snapshot = self._snapshot(settings, published.market)
        champion = self._admit(settings, published.champion, snapshot, published.market)
        if champion is None:
            log.error("market %s is not taken in: %s", published.market, self._why())
            return
        challenger = None
        if published.challenger is None:
            self._lanes[CHALLENGER] = Lane()
        else:
            challenger = self._admit(settings, published.challenger, snapshot, published.market)
        self._swap(Traffic(champion, challenger), published.market)

    def _why(self) -> str:
        refusal = self._lanes[CHAMPION].refusal
        return refusal.why if refusal else "no market and model are published yet: run «harmonic up»"

    def _snapshot(self, settings: Settings, market: str) -> TrendSnapshot:
        if self._traffic is not None and market == self._market:
            return self._traffic.champion.snapshot
        return self._live(load(market_folder(settings)))

    def _admit(self, settings: Settings, release: Release, snapshot: TrendSnapshot, market: str) -> Pipeline | None:
        """A pipeline that was tried out: of the release, else of what served before, else of what was good once."""
        alias = release.alias
        lane = self._lanes[alias]
        good = released(settings.released_models, GOOD.format(alias))
        known = [release, lane.release, replace(good, alias=alias) if good else None]
        for one in dict.fromkeys(one for one in known if one is not None):
            refusal = self._lanes[alias].refusal
            if refusal is not None and refusal.concerns(one, market):
                continue
            if made := self._try(settings, one, snapshot, market):
                if one == release:
                    self._lanes[alias] = replace(self._lanes[alias], refusal=None)
                return made
        return None

    def _try(self, settings: Settings, release: Release, snapshot: TrendSnapshot, market: str) -> Pipeline | None:
        """Load, check and warm a release; None where it is refused."""
        alias, lane = release.alias, self._lanes[release.alias]
        loaded = False
        try:
            model = lane.model if lane.model and lane.release == release else _loaded(release)
            loaded = True
            pipeline = self._pipeline(settings, model, snapshot)
            warm_up(pipeline, settings.traffic.warm_up_creators, settings.traffic.warm_up_milliseconds / 1000)
            forget_compiler()
        except (IncompatibleModel, *FAULTS) as error:
            why = (
                str(error) if isinstance(error, IncompatibleModel) else f"{type(error).__name__} while it is tried out"
            )
            self._refuse(Refusal(release, market if loaded else "", why, datetime.now(UTC)))
            return None
        self._lanes[alias] = replace(lane, release=release, model=model)
        with suppress(OSError):  # a worker may not be allowed to write there; it only loses the memory of a good one
            point(settings.released_models, GOOD.format(alias), release.version)
        return pipeline

    def _pipeline(self, settings: Settings, model: Model, snapshot: TrendSnapshot) -> Pipeline:
        self._states = self._states or creator_states(settings)
        return Pipeline.of(snapshot, model, self._states, settings.serving)

    def _refuse(self, refusal: Refusal) -> None:
        alias = refusal.release.alias
        self._lanes[alias] = replace(self._lanes[alias], refusal=refusal)
        log.error("refused to serve %s %s: %s", alias, refusal.release.version, refusal.why)
        if self.telemetry:
            self.telemetry.refused.labels(alias).inc()

    def _swap(self, traffic: Traffic, market: str) -> None:
        with self._swapping:
            if self._traffic is not None and market == self._market:
                now = self._traffic.champion.snapshot
                traffic = traffic if traffic.champion.snapshot is now else traffic.on(now)
            else:
                self._since = monotonic()
            self._traffic, self._market = traffic, market
        if self.telemetry:
            models = {CHAMPION: traffic.champion.model.version}
            if traffic.challenger:
                models[CHALLENGER] = traffic.challenger.model.version
            self.telemetry.serving(models)
            self.telemetry.swaps.labels("publication").inc()

    def patch(self, change: Callable[[TrendSnapshot], TrendSnapshot]) -> None:
        """Put a changed picture of the same market in place of the present one; nothing is tried out.

        Raises:
            NotReady: there is none yet.
        """
        with self._swapping:
            traffic = self.traffic()
            self._traffic = traffic.on(change(traffic.champion.snapshot))
            self._since = monotonic()
        if self.telemetry:
            self.telemetry.swaps.labels("patch").inc()

    def report(self) -> dict[str, Any]:
        """What serves, since when, and what was refused and why."""
        traffic = self._traffic
        models = {alias: lane.model.version for alias, lane in self._lanes.items() if lane.model}
        refused = [
            {"alias": alias, "version": r.release.version, "why": r.why, "at": r.at.isoformat()}
            for alias, lane in self._lanes.items()
            if (r := lane.refusal)
        ]
        market = traffic.champion.snapshot.version if traffic else None
        return {
            "ready": self.is_ready,
            "market": market,
            "models": models,
            "refused": refused,
            "trouble": self._trouble,
        }

    def tell_ages(self, now: datetime) -> None:
        """Record how old what serves is."""
        if self._traffic is None or self.telemetry is None:
            return
        market = self._traffic.champion.snapshot.market
        self.telemetry.snapshot_age.set(monotonic() - self._since)
        self.telemetry.feature_age.set((now - market.as_of).total_seconds())
        self.telemetry.trends.set(len(market))


def _loaded(release: Release) -> Model:
    return Model.of(release.version, load_checked(release.folder))


def warm_up(pipeline: Pipeline, creators: int, budget_seconds: float) -> float:
    """Make slates until everything is compiled and cached; returns the usual time of one in seconds.

    Args:
        creators: how many that are known; a newcomer comes on top.
        budget_seconds: what the usual slate may take once warm.

    Raises:
        IncompatibleModel: a slate is empty, holds a score that is no number, or takes too long.
    """
    ids = ["", *_some(pipeline.states, creators)]
    for creator_id in ids:
        _make(pipeline, creator_id)
    usual = median(_make(pipeline, creator_id) for creator_id in ids)
    if usual > budget_seconds:
        raise IncompatibleModel(
            f"model {pipeline.model.version}: a slate takes {usual * 1e3:.0f} ms, more than {budget_seconds * 1e3:.0f}"
        )
    return usual


def _some(states: CreatorStates, most: int) -> list[str]:
    """A few known creators; none while their store does not answer, which is no fault of a model's."""
    try:
        return list(islice(states.ids(), most))
    except ServingError:
        return []


def _make(pipeline: Pipeline, creator_id: str) -> float:
    began = perf_counter()
    query = RankQuery(creator_id, pipeline.settings.default_k)
    ranking = pipeline.ranked(query)
    scored = ranking.scored.take(pipeline.slate(query, ranking.scored))
    if not np.isfinite(scored.raw).all():
        raise IncompatibleModel(f"model {pipeline.model.version}: a score on a slate is not a number")
    present.items(scored, ranking.creator, pipeline, pipeline.settings.reasons)
    seconds = perf_counter() - began
    if not len(scored.rows) and not creator_id and pipeline.snapshot.market.recommendable.any():
        raise IncompatibleModel(f"model {pipeline.model.version}: a newcomer's slate is empty")
    return seconds
