"""Job: let a challenger become champion, only where held-out queries say so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from configs import PromotionSettings
from models.metrics import Interval
from models.panel import Panel
from models.registry import CHALLENGER, CHAMPION, Registered, Registry
from training.errors import NotComparable
from training.evaluate import Figures, difference, figures, score_panels


@dataclass(frozen=True)
class Verdict:
    """What promotion decided, and why, in one sentence for people.

    Attributes:
        promoted: whether the champion alias moved.
        version: the challenger's version.
        gain: challenger − champion (or − best popularity baseline for the first), with its interval.
        message: what happened.
    """

    promoted: bool
    version: str
    gain: Interval | None
    message: str


def promote_first(
    registry: Registry,
    version: str,
    ranker: Figures,
    popularity: Mapping[str, Figures],
    settings: PromotionSettings,
    seed: int,
    at: datetime,
) -> Verdict:
    """Where no champion fits, a model becomes one if its mean lies above every popularity baseline's."""
    best = max(popularity, key=lambda name: popularity[name].per_query[settings.metric].mean())
    gain = difference(ranker, popularity[best], settings.metric, settings.resamples, seed, settings.confidence)
    told = f"{settings.metric} {gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}] against {best}"
    if gain.mean <= 0:
        told = f"version {version} does not beat popularity ({told}): it stays challenger"
        return Verdict(False, version, gain, told)
    registry.promote(version, f"beats popularity: {told}", at)
    return Verdict(True, version, gain, f"version {version} is champion: {told}")


def promote_challenger(
    registry: Registry, panels: Sequence[Panel], settings: PromotionSettings, seed: int, at: datetime
) -> Verdict:
    """Compare challenger and champion on the same held-out queries; move the alias only for a proven gain.

    Args:
        panels: held-out queries that neither model's held-out twin was trained on.

    Raises:
        NoChampion: one of the two aliases points nowhere.
        NotComparable: one of the two was trained on the period of `panels`.
    """
    challenger, champion = registry.load(CHALLENGER), registry.load(CHAMPION)
    if challenger.version == champion.version:
        return Verdict(False, champion.version, None, f"version {champion.version} is champion already")
    starts = min(panel.cutoff for panel in panels)
    for model in (challenger, champion):
        refuse_seen(model, starts)
    ours, theirs = (_figures(m, panels) for m in (challenger, champion))
    gain = difference(ours, theirs, settings.metric, settings.resamples, seed, settings.confidence)
    queries = sum(map(len, panels))
    told = f"{settings.metric} {gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}] on {queries} held-out queries"
    versions = f"version {challenger.version} against champion {champion.version}"
    if gain.low <= 0:
        return Verdict(
            False, challenger.version, gain, f"kept the champion: {versions}: {told}; the gain is not proven"
        )
    registry.promote(challenger.version, told, at)
    return Verdict(True, challenger.version, gain, f"promoted: {versions}: {told}")


def refuse_seen(model: Registered, starts: datetime) -> None:
    """Raise `NotComparable` where a model's held-out twin has learned from labels after `starts`."""
    if model.trained_through > starts:
        raise NotComparable(
            f"version {model.version} has learned from labels up to {model.trained_through:%Y-%m-%d}, but the held-out "
            f"queries start on {starts:%Y-%m-%d}: train a challenger on later data"
        )


def _figures(model: Registered, panels: Sequence[Panel]) -> Figures:
    return figures(score_panels(model.held_out_ranker.rank_panel, panels), panels)
