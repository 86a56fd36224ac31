"""Evaluation on held-out panels: figures per query, their intervals, and the same by segment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.candidates import GENERATORS
from models.interactions import Floats
from models.metrics import Interval, bootstrap, discounts, ndcg, paired_bootstrap, recall, reciprocal_rank
from models.pairs import OFFSET
from models.panel import Panel, Ranking, best_places
from models.queries import Bools

K: Final = 20
METRICS: Final = ("ndcg", "recall", "mrr")
TOO_GOOD: Final = 2.0
"""What learns from plain rankings has not honestly been this many times as good as the best of them."""
Segment = Callable[[Panel], Bools]
"""Which trends of a panel count for whom, shape (q, n)."""


@dataclass(frozen=True)
class Figures:
    """One ranking's figures over all panels.

    Attributes:
        per_query: metric → value per query, shape (q,).
        coverage: share of a pool that is on some list.
        novelty: mean −log2 of the share of active creators who use a listed trend (Zhou et al., 2010).
    """

    per_query: Mapping[str, Floats]
    coverage: float
    novelty: float

    def mean(self, metric: str) -> float:
        """Mean over queries, NaN without any."""
        values = self.per_query[metric]
        return float(values.mean()) if len(values) else float("nan")

    def interval(self, metric: str, resamples: int, seed: int, confidence: float) -> Interval:
        """Mean with bootstrap interval."""
        return bootstrap(self.per_query[metric], resamples, seed, confidence)


def figures(scores: Sequence[Floats], panels: Sequence[Panel], segment: Segment | None = None, k: int = K) -> Figures:
    """Figures of ranking what is allowed by `scores`, one table of shape (q, n) per panel.

    Args:
        segment: only these trends are ranked and wanted; queries that want none of them do not count.
    """
    parts = [_of_panel(s, p, segment, k) for s, p in zip(scores, panels, strict=True)]
    per_query = {metric: np.concatenate([part[0][metric] for part in parts]) for metric in METRICS}
    covered, novel = (float(np.mean([part[at] for part in parts])) for at in (1, 2))
    return Figures(per_query, covered, novel)


def _of_panel(scores: Floats, panel: Panel, segment: Segment | None, k: int) -> tuple[dict[str, Floats], float, float]:
    allowed = panel.allowed if segment is None else panel.allowed & segment(panel)
    adopted = (panel.grades > 0) & allowed
    asking = adopted.any(axis=1)
    places = best_places(scores[asking], allowed[asking], k)
    hits = (places >= 0) & np.take_along_axis(adopted[asking], np.maximum(places, 0), axis=1)
    wanted = adopted[asking].sum(axis=1)
    listed = places[places >= 0]
    share = np.maximum(panel.market.column("creator_share_28d")[listed], 1e-9)
    values = {"ndcg": ndcg(hits, wanted), "recall": recall(hits, wanted), "mrr": reciprocal_rank(hits)}
    covered = len(np.unique(listed)) / max(int(panel.market.recommendable.sum()), 1)
    return values, covered, float(-np.log2(share).mean()) if len(share) else 0.0


def chance(panels: Sequence[Panel], segment: Segment | None = None, k: int = K) -> dict[str, float]:
    """Metric → what a list drawn by lot from what is allowed reaches on average: exact, nothing is drawn.

    Each place of such a list is wanted with probability w ÷ n, for w wanted of n allowed.
    """
    parts = [_chance_of_panel(panel, segment, k) for panel in panels]
    joined = {metric: np.concatenate([part[metric] for part in parts]) for metric in METRICS}
    return {metric: float(values.mean()) if len(values) else float("nan") for metric, values in joined.items()}


def _chance_of_panel(panel: Panel, segment: Segment | None, k: int) -> dict[str, Floats]:
    allowed = panel.allowed if segment is None else panel.allowed & segment(panel)
    wanted = ((panel.grades > 0) & allowed).sum(axis=1)
    pool, wanted = allowed.sum(axis=1)[wanted > 0], wanted[wanted > 0]
    there = np.arange(k) < pool[:, None]
    ideal = np.cumsum(discounts(k))[np.minimum(wanted, k) - 1]
    first, missed = np.zeros(len(wanted)), np.ones(len(wanted))
    for place in range(k):  # the first hit is here: all before missed, and this one hits
        hit = np.clip(wanted / np.maximum(pool - place, 1), 0, 1)
        first += missed * hit / (place + 1)
        missed *= 1 - hit
    return {
        "ndcg": wanted / pool * (there * discounts(k)).sum(axis=1) / ideal,
        "recall": np.minimum(pool, k) / pool,
        "mrr": first,
    }


def generator_recall(panels: Sequence[Panel], most: int = 500) -> dict[str, float]:
    """Share of the adoptions among each generator's `most` best trends, and among those of all generators together."""
    found: dict[str, list[float]] = {}
    for panel in panels:
        adopted = panel.grades > 0
        together = np.zeros(adopted.shape, bool)
        for at, name in enumerate(GENERATORS):
            places = best_places(np.asarray(panel.inputs[:, :, at], float), panel.allowed, most)
            proposed = np.zeros(adopted.shape, bool)
            np.put_along_axis(proposed, np.maximum(places, 0), True, axis=1)
            proposed &= panel.allowed & (panel.inputs[:, :, at] > np.log(OFFSET) + 1e-6)
            together |= proposed
            found.setdefault(name, []).extend(((adopted & proposed).sum(axis=1) / adopted.sum(axis=1)).tolist())
        found.setdefault("union", []).extend(((adopted & together).sum(axis=1) / adopted.sum(axis=1)).tolist())
    return {name: float(np.mean(values)) for name, values in found.items()}


def segments(established_posts: int) -> dict[str, Segment]:
    """New and established creators, sounds and hashtags, each by itself."""

    def creators(new: bool) -> Segment:
        def chosen(panel: Panel) -> Bools:
            is_new = [creator.column("posts_known") < established_posts for creator in panel.creators]
            return np.broadcast_to((np.array(is_new, bool) == new)[:, None], panel.allowed.shape)

        return chosen

    def kind(name: str) -> Segment:
        return lambda panel: np.broadcast_to(panel.market.types == name, panel.allowed.shape)

    return {
        "new_creators": creators(True),
        "established_creators": creators(False),
        "sounds": kind("sound"),
        "hashtags": kind("hashtag"),
    }


def score_panels(ranking: Ranking, panels: Sequence[Panel]) -> list[Floats]:
    """A ranking's scores of every panel."""
    return [ranking(panel) for panel in panels]


def difference(a: Figures, b: Figures, metric: str, resamples: int, seed: int, confidence: float) -> Interval:
    """Interval of the mean difference a − b over the same queries."""
    return paired_bootstrap(a.per_query[metric], b.per_query[metric], resamples, seed, confidence)


def ratio_of_sums(top: Floats, bottom: Floats, resamples: int, seed: int, confidence: float) -> Interval:
    """Sum of `top` ÷ sum of `bottom` with its percentile bootstrap interval, whole units resampled.

    Args:
        top, bottom: one value per unit that is drawn as a whole, shape (u,): a query, or all queries of a creator.

    Returns:
        NaN everywhere where the sum of `bottom` is not positive.
    """
    if not len(bottom) or bottom.sum() <= 0:
        return Interval(float("nan"), float("nan"), float("nan"))
    rng, size = np.random.default_rng(seed), len(bottom)
    batch = max(1, 4_000_000 // size)
    found = []
    for done in range(0, resamples, batch):
        drawn = rng.integers(0, size, (min(batch, resamples - done), size))
        found.append(top[drawn].sum(axis=1) / np.maximum(bottom[drawn].sum(axis=1), 1e-12))
    low, high = np.quantile(np.concatenate(found), [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(top.sum() / bottom.sum()), float(low), float(high))


def ratio(a: Figures, b: Figures, metric: str, resamples: int, seed: int, confidence: float) -> Interval:
    """How many times as good a is as b over the same queries, with its interval."""
    return ratio_of_sums(a.per_query[metric], b.per_query[metric], resamples, seed, confidence)


def best_of(found: Mapping[str, Figures], names: Iterable[str], metric: str = "ndcg") -> str:
    """The name whose mean is highest; ties by the order of `names`."""
    return max((name for name in names if name in found), key=lambda name: found[name].mean(metric))


def suspicious(
    learned: Mapping[str, Figures],
    plain: Mapping[str, Figures],
    metric: str,
    resamples: int,
    seed: int,
    confidence: float,
) -> dict[str, float]:
    """Learned rankings that are too good to be true: name → how many times as good as the best plain one.

    A jump beyond `TOO_GOOD`, proven on the same queries, is what a feature from the future looks like.
    """
    best = max(plain.values(), key=lambda found: found.mean(metric))
    most = (TOO_GOOD - 1) * best.mean(metric)
    return {
        name: found.mean(metric) / max(best.mean(metric), 1e-9)
        for name, found in learned.items()
        if difference(found, best, metric, resamples, seed, confidence).low > most
    }
