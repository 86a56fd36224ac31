"""What a rolling-origin evaluation found: how rankings stand to one another at each cut-off, and over all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np

from configs import Settings
from models.baseline import generator_baselines, popularity_baselines
from models.candidates import GENERATORS
from models.interactions import Floats, Ints
from models.metrics import Interval
from models.panel import Panel
from training.evaluate import METRICS, Figures, best_of, chance, ratio, ratio_of_sums
from training.judge import jumps_of, warning_of

PLAIN: Final = (*popularity_baselines(), *(name for name in generator_baselines() if name not in GENERATORS))
"""Baselines that are no generator: popularity, and a generator times popularity."""


@dataclass(frozen=True)
class Origin:
    """One cut-off: what was learned before it, and how every ranking did after it.

    Attributes:
        cutoff: instant, UTC.
        creators: who asks, one per query, shape (q,).
        figures: ranking → figures per query, in the order of `creators`.
        by_lot: metric → what a list drawn by lot reaches on average.
        learned: queries that the ranker was trained on.
        trees: how many trees it has; 0 where there was too little to learn them from.
    """

    cutoff: datetime
    creators: tuple[str, ...]
    figures: Mapping[str, Figures]
    by_lot: Mapping[str, float]
    learned: int
    trees: int

    @classmethod
    def of(cls, asked: Panel, found: Mapping[str, Figures], learned: int, trees: int) -> Origin:
        """Of a judged panel, every query of which wants something."""
        names = tuple(creator.creator_id for creator in asked.creators)
        return cls(asked.cutoff, names, found, chance([asked]), learned, trees)


@dataclass(frozen=True)
class Standing:
    """The ranker beside others at one cut-off, by NDCG@20; ratios are ranker ÷ other over the same queries.

    Attributes:
        to_generator: to the generator that is best over all cut-offs together.
        own_generator, to_own_generator: the generator that is best at this cut-off, and the ratio to it.
        plain, to_plain: the plain baseline that is best at this cut-off, and the ratio to it.
    """

    to_generator: Interval
    own_generator: str
    to_own_generator: Interval
    plain: str
    to_plain: Interval

    @property
    def below(self) -> bool:
        """Whether the ranker fell below the generator that is best over all cut-offs."""
        return self.to_generator.mean < 1

    @property
    def below_own(self) -> bool:
        """Whether the ranker fell below the generator that is best at this cut-off."""
        return self.to_own_generator.mean < 1


@dataclass(frozen=True)
class Pooled:
    """One ranking over all cut-offs; whole creators are resampled, for one's queries at several cut-offs are alike.

    Attributes:
        means: metric → mean over queries.
        gains: metric → ranker − it.
        ratio: ranker ÷ it, by NDCG@20.
    """

    means: Mapping[str, Interval]
    gains: Mapping[str, Interval]
    ratio: Interval


@dataclass(frozen=True)
class Rolling:
    """A rolling-origin evaluation.

    Attributes:
        origins: ascending by cut-off.
        skipped: cut-offs after which nobody adopted anything, or before which no post was known.
        horizon_days: length of the judged window.
        history_days: no post older than so many days was known at a cut-off; None where all counted.
        pooled: ranking → figures over all cut-offs.
        by_lot: metric → what a list drawn by lot reaches over all cut-offs.
        generator: the generator that is best over all cut-offs together.
        standings: one per origin.
        jumps: rankings that are too good to be true → how many times as good as the best plain one.
    """

    origins: tuple[Origin, ...]
    skipped: tuple[datetime, ...]
    horizon_days: int
    history_days: int | None
    pooled: Mapping[str, Pooled]
    by_lot: Mapping[str, float]
    generator: str
    standings: tuple[Standing, ...]
    jumps: Mapping[str, float]

    @classmethod
    def of(
        cls,
        origins: Sequence[Origin],
        skipped: Iterable[datetime],
        horizon_days: int,
        settings: Settings,
        history_days: int | None = None,
    ) -> Rolling:
        """Pool at least one origin."""
        joined = {name: _joined([origin.figures[name] for origin in origins]) for name in origins[0].figures}
        creators = [name for origin in origins for name in origin.creators]
        codes = np.unique(creators, return_inverse=True)[1].astype(np.int64)
        generator = best_of(joined, GENERATORS)
        queries = np.array([len(origin.creators) for origin in origins])
        return cls(
            origins=tuple(origins),
            skipped=tuple(skipped),
            horizon_days=horizon_days,
            history_days=history_days,
            pooled={name: _pooled(joined["ranker"], other, codes, settings) for name, other in joined.items()},
            by_lot={m: float(np.average([o.by_lot[m] for o in origins], weights=queries)) for m in METRICS},
            generator=generator,
            standings=tuple(_standing(origin, generator, settings) for origin in origins),
            jumps=jumps_of(joined, settings),
        )

    @property
    def queries(self) -> int:
        """Queries at all cut-offs."""
        return sum(len(origin.creators) for origin in self.origins)

    @property
    def plain(self) -> str:
        """The plain baseline that is best over all cut-offs together."""
        return max(PLAIN, key=lambda name: self.pooled[name].means["ndcg"].mean)

    @property
    def below(self) -> tuple[datetime, ...]:
        """Cut-offs at which the ranker fell below the generator that is best over all of them."""
        return tuple(o.cutoff for o, s in zip(self.origins, self.standings, strict=True) if s.below)

    @property
    def below_own(self) -> tuple[datetime, ...]:
        """Cut-offs at which the ranker fell below the generator that was best there."""
        return tuple(o.cutoff for o, s in zip(self.origins, self.standings, strict=True) if s.below_own)

    @property
    def warning(self) -> str:
        """What to look into before this is believed, empty where there is nothing."""
        return warning_of(self.jumps)

    def to_dict(self) -> dict[str, Any]:
        """All of it for machines."""
        return {
            "horizon_days": self.horizon_days,
            "history_days": self.history_days,
            "queries": self.queries,
            "best_generator": self.generator,
            "best_plain": self.plain,
            "below_best_generator": self.below,
            "below_own_best_generator": self.below_own,
            "skipped": self.skipped,
            "pooled": {
                name: {
                    **{metric: vars(interval) for metric, interval in pooled.means.items()},
                    "ranker_minus_it": {metric: vars(interval) for metric, interval in pooled.gains.items()},
                    "ranker_over_it": vars(pooled.ratio),
                }
                for name, pooled in self.pooled.items()
            },
            "chance": self.by_lot,
            "suspicious": self.jumps,
            "warning": self.warning,
            "cutoffs": [_told(o, s) for o, s in zip(self.origins, self.standings, strict=True)],
        }


def _told(origin: Origin, standing: Standing) -> dict[str, Any]:
    rankings = {name: {m: found.mean(m) for m in METRICS} for name, found in origin.figures.items()}
    return {
        "cutoff": origin.cutoff,
        "queries": len(origin.creators),
        "learned_queries": origin.learned,
        "trees": origin.trees,
        "rankings": rankings,
        "chance": origin.by_lot,
        "ranker_over_best_generator": vars(standing.to_generator),
        "below_best_generator": standing.below,
        "own_best_generator": standing.own_generator,
        "ranker_over_own_best_generator": vars(standing.to_own_generator),
        "below_own_best_generator": standing.below_own,
        "own_best_plain": standing.plain,
        "ranker_over_own_best_plain": vars(standing.to_plain),
    }


def _joined(parts: Sequence[Figures]) -> Figures:
    per_query = {metric: np.concatenate([part.per_query[metric] for part in parts]) for metric in METRICS}
    return Figures(per_query, *(float(np.mean([getattr(p, of) for p in parts])) for of in ("coverage", "novelty")))


def _pooled(ranker: Figures, other: Figures, codes: Ints, settings: Settings) -> Pooled:
    options = (settings.promotion.resamples, settings.ranker.seed, settings.promotion.confidence)

    def of(metric: str, figures: Figures) -> Floats:
        return np.asarray(np.bincount(codes, figures.per_query[metric]), float)

    count = np.bincount(codes).astype(float)
    return Pooled(
        means={m: ratio_of_sums(of(m, other), count, *options) for m in METRICS},
        gains={m: ratio_of_sums(of(m, ranker) - of(m, other), count, *options) for m in METRICS},
        ratio=ratio_of_sums(of("ndcg", ranker), of("ndcg", other), *options),
    )


def _standing(origin: Origin, generator: str, settings: Settings) -> Standing:
    options = (settings.promotion.resamples, settings.ranker.seed, settings.promotion.confidence)
    ranker, found = origin.figures["ranker"], origin.figures
    own, plain = best_of(found, GENERATORS), best_of(found, PLAIN)
    to_generator, to_own, to_plain = (ratio(ranker, found[name], "ndcg", *options) for name in (generator, own, plain))
    return Standing(to_generator, own, to_own, plain, to_plain)
