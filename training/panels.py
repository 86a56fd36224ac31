"""From the lake to panels: features and labels at every cut-off of a split, nothing in them later than it may be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial

from configs import Settings
from features.history import History
from features.lake import Lake
from features.materialize import dense_from, known_by
from features.store import FeatureRepository
from models.errors import TooLittleData
from models.moment import Moment, moment, offline, write_moment
from models.panel import Panel
from training.dataset import panel
from training.labels import adoptions
from training.split import Split, plan

Progress = Callable[[str, float], None]
"""Called with what is being done and the share of the whole job that is done."""

Moments = Callable[[datetime], Moment]
"""Gives the moment of a cut-off."""


def held_out_panels(
    lake: Lake,
    features: FeatureRepository,
    as_of: datetime,
    settings: Settings,
    progress: Progress = lambda *_: None,
) -> list[Panel]:
    """The test queries of a run as of `as_of`: what serving would have ranked, and what was adopted then.

    Raises:
        TooLittleData: there is no test period, or nobody adopted anything in it.
    """
    return _held_out(lake, features, as_of, settings, progress, twice=False)[0]


def held_out_with_everybody(
    lake: Lake,
    features: FeatureRepository,
    as_of: datetime,
    settings: Settings,
    progress: Progress = lambda *_: None,
) -> tuple[list[Panel], list[Panel]]:
    """`held_out_panels`, and `everybody` at the same cut-offs.

    Raises:
        TooLittleData: there is no test period, or nobody adopted anything in it.
    """
    return _held_out(lake, features, as_of, settings, progress, twice=True)


def _held_out(
    lake: Lake, features: FeatureRepository, as_of: datetime, settings: Settings, progress: Progress, *, twice: bool
) -> tuple[list[Panel], list[Panel]]:
    known = known_by(lake, as_of, settings)
    split = plan(dense_from(lake, as_of, settings), as_of, settings.ranker)
    moments = SharedMoments(partial(moment_at, lake, features, settings=settings), split.test * (1 + twice))
    panels = build_panels(lake, features, known, split, settings, progress, only=split.test, moments=moments)
    if not panels:
        raise TooLittleData(f"the data up to {as_of:%Y-%m-%d} hold no test queries: ingest more posts")
    return list(panels.values()), everybody(known, split.test, settings, moments) if twice else []


def build_panels(
    lake: Lake,
    features: FeatureRepository,
    known: History,
    split: Split,
    settings: Settings,
    progress: Progress,
    *,
    only: Sequence[datetime] | None = None,
    moments: Moments | None = None,
) -> dict[datetime, Panel]:
    """The panel of every cut-off at which somebody adopted something.

    Args:
        known: history as of the end of the last label.
        only: these cut-offs of the split, the same panels as among all of them; all where absent.
        moments: where moments come from that others need too; each is made anew where absent.
    """
    options, found = settings.ranker, {}
    cells = options.max_cells // max(len(split.all), 1)
    cutoffs = split.all if only is None else only
    for number, cutoff in enumerate(cutoffs):
        progress(f"cut-off {cutoff:%Y-%m-%d}", number / len(cutoffs))
        world = moments(cutoff) if moments else moment_at(lake, features, cutoff, settings)
        age_days = (known.as_of - cutoff).total_seconds() / 86_400 - options.horizon_days
        weight = 0.5 ** (age_days / options.half_life_days)
        made = panel(world, adoptions(known, cutoff, options.horizon_days), weight, cells, options.seed)
        if made is not None:
            found[cutoff] = made
    return found


def everybody(known: History, cutoffs: Sequence[datetime], settings: Settings, moments: Moments) -> list[Panel]:
    """Panels of a sample of all creators, also those who adopted nothing: what probabilities are fitted to and held by.

    Args:
        known: history as of the end of the last label.
        cutoffs: one panel each, none where nobody was known.
        moments: where their moments come from.
    """
    options, found = settings.ranker, list[Panel]()
    for cutoff in cutoffs:
        labels = adoptions(known, cutoff, options.horizon_days)
        made = panel(moments(cutoff), labels, 1.0, options.max_cells // 20, options.seed, everybody=True)
        found += [made] if made is not None else []
    return found


class SharedMoments:
    """Gives moments by cut-off; each is made once, and kept until the last of those who need it has asked.

    Args:
        make: how a moment is made.
        needed: the cut-offs that will be asked for, as often as they will.
    """

    def __init__(self, make: Moments, needed: Iterable[datetime]) -> None:
        self._make = make
        self._left = Counter(needed)
        self._held: dict[datetime, Moment] = {}

    def __call__(self, cutoff: datetime) -> Moment:
        """The moment of a cut-off."""
        found = self._held.pop(cutoff) if cutoff in self._held else self._make(cutoff)
        self._left[cutoff] -= 1
        if self._left[cutoff] > 0:
            self._held[cutoff] = found
        return found


def moment_at(lake: Lake, features: FeatureRepository, cutoff: datetime, settings: Settings) -> Moment:
    """The moment of a cut-off, its features written to the store and read back through the point-in-time join."""
    past = known_by(lake, cutoff, settings)
    write_moment(lake, past, features, settings)
    return moment(past, offline(features, cutoff), settings)


def chosen(panels: Mapping[datetime, Panel], cutoffs: Sequence[datetime]) -> list[Panel]:
    """The panels of these cut-offs, in their order, where there are any."""
    return [panels[cutoff] for cutoff in cutoffs if cutoff in panels]
