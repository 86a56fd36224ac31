"""Job: rolling-origin evaluation: at each cut-off train on what was known then, and judge on what was adopted after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from configs import Settings
from features.errors import EmptyLake
from features.history import History
from features.lake import Lake
from features.materialize import dense_from, known_by
from features.scratch import scratch
from features.store import FeatureRepository
from models.baseline import generator_baselines, popularity_baselines
from models.errors import TooLittleData
from models.moment import Moment
from models.panel import Panel
from models.ranker import Ranker, fit_ranker
from models.registry import Registry
from training import rolling_report
from training.dataset import panel
from training.errors import TooShort
from training.evaluate import figures, score_panels
from training.judge import linear_stage
from training.labels import adoptions
from training.origins import Origin, Rolling
from training.panels import Moments, Progress, SharedMoments, build_panels, chosen, moment_at
from training.split import Split, plan


def regular_cutoffs(as_of: datetime, last: int, step_days: int, horizon_days: int) -> tuple[datetime, ...]:
    """The `last` midnights (UTC), `step_days` apart, of which the latest has its whole horizon before `as_of`."""
    latest = (as_of.astimezone(UTC) - timedelta(days=horizon_days)).replace(hour=0, minute=0, second=0, microsecond=0)
    return tuple(latest - timedelta(days=step_days) * back for back in reversed(range(last)))


def evaluate_rolling(
    lake: Lake,
    features: FeatureRepository,
    registry: Registry,
    as_of: datetime,
    cutoffs: Sequence[datetime],
    settings: Settings,
    *,
    horizon_days: int | None = None,
    history_days: int | None = None,
    progress: Progress = lambda *_: None,
) -> Rolling:
    """Train at every cut-off as `harmonic train --as-of` it would, judge on the adoptions after it, log one MLflow run.

    Args:
        as_of: outcomes are those known by then; every cut-off's horizon has to be over.
        cutoffs: instants, UTC, in any order.
        horizon_days: length of the judged window (cut-off, cut-off + horizon]; `ranker.horizon_days` where absent.
        history_days: as if posts from so long before each cut-off were the first there are, also where it is said
            what was used before; public counts and followers stay. All posts count where absent.

    Raises:
        TooShort: a cut-off's horizon is not over by `as_of`.
        TooLittleData: nobody adopted anything after any of them.
    """
    days, ordered = horizon_days or settings.ranker.horizon_days, sorted(set(cutoffs))
    _refuse_unfinished(ordered, days, as_of)
    origins = []
    worlds = _worlds(lake, features, ordered, as_of, settings)
    if history_days is not None:
        worlds = _short_worlds(lake, ordered, as_of, history_days, settings)
    for number, world in enumerate(worlds):
        told = _part(progress, number, len(ordered), f"{world.cutoff:%Y-%m-%d}")
        ranker, learned = ranker_as_of(
            world.lake, world.features, world.cutoff, world.split, settings, world.moments, told
        )
        told("judging", 0.95)
        asked = judged_panel(world.moments(world.cutoff), world.after, days, settings)
        if asked is not None:
            origins.append(_origin(ranker, learned, asked))
    if not origins:
        raise TooLittleData(
            f"nobody who was known by any of {len(ordered)} cut-offs adopted anything in the {days} days after it: "
            "choose others with --cutoffs, or --last, --step-days and --horizon; or ingest more posts"
        )
    skipped = tuple(cutoff for cutoff in ordered if cutoff not in {origin.cutoff for origin in origins})
    done = Rolling.of(tuple(origins), skipped, days, settings, history_days)
    rolling_report.log(done, registry, lake.fingerprint(), as_of, settings)
    return done


LOCAL_STORE: Final = "features/feature_store.yaml"
"""How features of a history that never was are kept for a moment."""

SHORT: Final = ".short-"
"""How folders begin that hold them."""


@dataclass(frozen=True)
class World:
    """What there is to learn from at a cut-off, and what came after it.

    Attributes:
        cutoff: instant, UTC.
        lake, features: as they are seen there.
        split: of the history before it.
        moments: gives the moments of the split's cut-offs, and of this one.
        after: history that holds the outcomes.
    """

    cutoff: datetime
    lake: Lake
    features: FeatureRepository
    split: Split
    moments: Moments
    after: History


def _worlds(
    lake: Lake, features: FeatureRepository, cutoffs: Sequence[datetime], as_of: datetime, settings: Settings
) -> Iterator[World]:
    """The lake as it is, moments being shared between cut-offs; one before the first post is left out."""
    after = known_by(lake, as_of, settings)
    splits = {cutoff: _split_at(lake, cutoff, settings) for cutoff in cutoffs}
    judged = {cutoff: split for cutoff, split in splits.items() if split is not None}
    needed = [cutoff for at, split in judged.items() for cutoff in (at, *split.final)]
    moments = SharedMoments(partial(moment_at, lake, features, settings=settings), needed)
    for cutoff, split in judged.items():
        yield World(cutoff, lake, features, split, moments, after)


def _short_worlds(
    lake: Lake, cutoffs: Sequence[datetime], as_of: datetime, history_days: int, settings: Settings
) -> Iterator[World]:
    """The lake as if the first posts were those of so many days before each cut-off; its features are not kept.

    A cut-off before which nobody posted for so long is left out.
    """
    for cutoff in cutoffs:
        seen = lake.since(cutoff - timedelta(days=history_days))
        split = _split_at(seen, cutoff, settings)
        if split is None:
            continue
        with scratch(settings.home, SHORT) as home:
            store = settings.feast.model_copy(update={"config": LOCAL_STORE})
            features = FeatureRepository.open(settings.model_copy(update={"home": home, "feast": store}))
            features.apply()
            moments = partial(moment_at, seen, features, settings=settings)
            yield World(cutoff, seen, features, split, moments, known_by(seen, as_of, settings))


def ranker_as_of(
    lake: Lake,
    features: FeatureRepository,
    cutoff: datetime,
    split: Split,
    settings: Settings,
    moments: Moments,
    progress: Progress = lambda *_: None,
) -> tuple[Ranker, int]:
    """The ranker that `harmonic train --as-of` the cut-off would let serve, uncalibrated, and its number of queries.

    Calibration orders nothing anew, so it is left out.
    """
    known = known_by(lake, cutoff, settings)
    panels = build_panels(
        lake,
        features,
        known,
        split,
        settings,
        lambda text, share: progress(text, 0.75 * share),
        only=split.final,
        moments=moments,
    )
    progress("training", 0.75)
    learn = chosen(panels, split.final)
    return fit_ranker(learn, settings.ranker), sum(map(len, learn))


def judged_panel(moment: Moment, after: History, horizon_days: int, settings: Settings) -> Panel | None:
    """Everybody known at the moment who then adopted something that was allowed; None where nobody did."""
    labels = adoptions(after, moment.market.as_of, horizon_days)
    return panel(moment, labels, 1.0, settings.ranker.max_cells, settings.ranker.seed)


def _origin(ranker: Ranker, learned: int, asked: Panel) -> Origin:
    rankings = {
        "ranker": ranker.rank_panel,
        "linear_stage": linear_stage(ranker),
        **popularity_baselines(),
        **generator_baselines(),
    }
    found = {name: figures(score_panels(ranking, [asked]), [asked]) for name, ranking in rankings.items()}
    return Origin.of(asked, found, learned, ranker.trees)


def _split_at(lake: Lake, cutoff: datetime, settings: Settings) -> Split | None:
    """None where no post was known."""
    try:
        return plan(dense_from(lake, cutoff, settings), cutoff, settings.ranker)
    except EmptyLake:
        return None


def _refuse_unfinished(cutoffs: Sequence[datetime], days: int, as_of: datetime) -> None:
    late = [cutoff for cutoff in cutoffs if cutoff + timedelta(days=days) > as_of]
    if late:
        raise TooShort(
            f"the {days} days after {late[0]:%Y-%m-%d %H:%M} are not over by {as_of:%Y-%m-%d %H:%M} UTC: choose "
            f"cut-offs up to {as_of - timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}"
        )


def _part(progress: Progress, number: int, of: int, title: str) -> Progress:
    """Progress of one of several equal parts, as a share of the whole."""
    return lambda text, share: progress(f"{title}: {text}", (number + share) / of)
