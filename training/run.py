"""Jobs around the registry: train and register a challenger, judge and promote it, go back; champions are released."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from configs import Settings
from features.lake import Lake
from features.store import FeatureRepository
from models.baseline import generator_baselines, popularity_baselines
from models.registry import CHALLENGER, CHAMPION, Registered, Registry
from models.releases import withdraw
from training.judge import Judgement, judge
from training.panels import Progress, held_out_panels, held_out_with_everybody
from training.promote import Verdict, promote_challenger, promote_first, refuse_seen
from training.train import Trained, train


@dataclass(frozen=True)
class Outcome:
    """A finished training run: its version, what it found, and whether it became champion."""

    version: str
    trained: Trained
    verdict: Verdict


def train_and_register(
    lake: Lake,
    features: FeatureRepository,
    registry: Registry,
    as_of: datetime,
    settings: Settings,
    at: datetime,
    progress: Progress = lambda *_: None,
) -> Outcome:
    """Train as of an instant and register the result as challenger; the first good one becomes champion.

    So does a good one where the champion has learned nothing, or does not fit this code; then it must be of no
    earlier instant.

    Args:
        as_of: everything later is unknown.
        at: now, for the audit.
    """
    trained = train(lake, features, as_of, settings, progress)
    progress("logging the run", 0.95)
    version = registry.log(trained.record, f"ranker {as_of:%Y-%m-%d}")
    verdict = _first_verdict(registry, version, as_of, trained, settings, at)
    release(registry, settings)
    return Outcome(version, trained, verdict)


def release(registry: Registry, settings: Settings) -> None:
    """Hand the champion, where one fits this code, over to serving; a challenger too, where traffic is to reach it."""
    champion, challenger = registry.usable(CHAMPION), registry.version(CHALLENGER)
    if champion is not None:
        registry.release(CHAMPION, settings.released_models)
    if settings.traffic.wants_challenger and challenger not in (None, champion):
        registry.release(CHALLENGER, settings.released_models)
    else:
        withdraw(settings.released_models, CHALLENGER)


def _first_verdict(
    registry: Registry, version: str, as_of: datetime, trained: Trained, settings: Settings, at: datetime
) -> Verdict:
    champion, usable = registry.version(CHAMPION), registry.usable(CHAMPION)
    if usable is not None and (registry.load(usable).ranker.learned or not trained.record.ranker.learned):
        told = f"version {version} is challenger; «harmonic promote» compares it with {usable}"
        return Verdict(False, version, None, told)
    if champion is not None and as_of < datetime.fromisoformat(registry.parameters(champion)["as_of"]):
        told = f"version {version} is challenger; champion {champion} stays, for it is of a later instant"
        return Verdict(False, version, None, told)
    judged = trained.judged
    if not judged.figures:
        reason = f"learned from {trained.record.ranker.learned:,} queries, and nothing held out to judge it on"
        registry.promote(version, reason, at)
        return Verdict(True, version, None, f"version {version} is champion: {reason}")
    return promote_first(
        registry,
        version,
        judged.figures["ranker"],
        judged.popularity,
        settings.promotion,
        settings.ranker.seed,
        at,
    )


def promote(
    lake: Lake,
    features: FeatureRepository,
    registry: Registry,
    as_of: datetime,
    settings: Settings,
    at: datetime,
    progress: Progress = lambda *_: None,
) -> Verdict:
    """Compare challenger and champion on the held-out queries before `as_of`; see `promote_challenger`."""
    panels = held_out_panels(lake, features, as_of, settings, progress)
    verdict = promote_challenger(registry, panels, settings.promotion, settings.ranker.seed, at)
    release(registry, settings)
    return verdict


def rollback(registry: Registry, settings: Settings, at: datetime) -> str:
    """Make the champion before the present one champion again; returns its version.

    Raises:
        NoChampion: there was none before.
    """
    version = registry.rollback(at)
    release(registry, settings)
    return version


def evaluate(
    lake: Lake,
    features: FeatureRepository,
    model: Registered,
    as_of: datetime,
    settings: Settings,
    progress: Progress = lambda *_: None,
) -> Judgement:
    """A registered model's held-out twin beside the plain baselines, on the held-out queries before `as_of`.

    Raises:
        NotComparable: the twin was trained on the period of those queries.
    """
    panels, everybody = held_out_with_everybody(lake, features, as_of, settings, progress)
    refuse_seen(model, min(panel.cutoff for panel in panels))
    plain = {**popularity_baselines(), **generator_baselines()}
    return judge(model.held_out_ranker, plain, panels, settings, everybody)
