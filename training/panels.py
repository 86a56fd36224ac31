"""From the lake to panels: features and labels at every cut-off of a split, nothing in them later than it may be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from configs import Settings
from features.history import History
from features.lake import Lake
from features.materialize import known_by, write_features
from features.store import FeatureRepository
from models.errors import TooLittleData
from models.moment import Moment, moment, offline
from models.panel import Panel
from training.dataset import panel
from training.labels import adoptions
from training.split import Split, plan

Progress = Callable[[str, float], None]
"""Called with what is being done and the share of the whole job that is done."""


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
    known = known_by(lake, as_of, settings)
    split = plan(dense_from(known), as_of, settings.ranker)
    only = replace(split, train=(), validation=(), final=())
    panels = build_panels(lake, features, known, only, settings, progress)
    if not panels:
        raise TooLittleData(f"the data up to {as_of:%Y-%m-%d} hold no test queries: ingest more posts")
    return list(panels.values())


def build_panels(
    lake: Lake,
    features: FeatureRepository,
    known: History,
    split: Split,
    settings: Settings,
    progress: Progress,
) -> dict[datetime, Panel]:
    """The panel of every cut-off at which somebody adopted something."""
    options, found = settings.ranker, {}
    cells = options.max_cells // max(len(split.all), 1)
    for number, cutoff in enumerate(split.all):
        progress(f"cut-off {cutoff:%Y-%m-%d}", number / len(split.all))
        world = moment_at(lake, features, cutoff, settings)
        age_days = (known.as_of - cutoff).total_seconds() / 86_400 - options.horizon_days
        weight = 0.5 ** (age_days / options.half_life_days)
        made = panel(world, adoptions(known, cutoff, options.horizon_days), weight, cells, options.seed)
        if made is not None:
            found[cutoff] = made
    return found


def everybody(lake: Lake, features: FeatureRepository, known: History, split: Split, settings: Settings) -> list[Panel]:
    """Panels of a sample of all creators, also those who adopted nothing, at the cut-off that calibrates."""
    if not split.train:
        return []
    cutoff = max(split.validation or split.train)
    world, labels = (
        moment_at(lake, features, cutoff, settings),
        adoptions(known, cutoff, settings.ranker.horizon_days),
    )
    made = panel(world, labels, 1.0, settings.ranker.max_cells // 20, settings.ranker.seed, everybody=True)
    return [made] if made is not None else []


def moment_at(lake: Lake, features: FeatureRepository, cutoff: datetime, settings: Settings) -> Moment:
    """The moment of a cut-off, its features written to the store and read back through the point-in-time join."""
    past = known_by(lake, cutoff, settings)
    write_features(past, features, settings)
    return moment(past, offline(features, cutoff), settings)


def chosen(panels: Mapping[datetime, Panel], cutoffs: Sequence[datetime]) -> list[Panel]:
    """The panels of these cut-offs, in their order, where there are any."""
    return [panels[cutoff] for cutoff in cutoffs if cutoff in panels]


def dense_from(known: History) -> datetime:
    """The instant from which data are dense: before it lies half a percent of the posts."""
    return datetime.fromtimestamp(float(np.quantile(known.posts["created"], 0.005)) / 1e6, tz=UTC)
