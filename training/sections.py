"""The sections of a report that judge a ranker: what is compared with what, in words and tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from models.baseline import generator_baselines, popularity_baselines
from models.candidates import GENERATORS
from models.metrics import Interval
from training import report
from training.evaluate import METRICS, Figures, best_of
from training.report import Section

OURS: Final = {"ranker": "this model", "linear_stage": "its first stage alone"}


def kind_of(name: str) -> str:
    """What a ranking is, for a reader."""
    if name in popularity_baselines():
        return "popularity"
    if name in GENERATORS:
        return "single generator"
    return OURS.get(name) or ("generator × popularity" if name in generator_baselines() else "classifier")


def headline(found: Mapping[str, Figures], ratios: Mapping[str, Interval], by_lot: Mapping[str, float]) -> str:
    """The figures that matter, in words."""
    ranker = found["ranker"]
    told = [f"The ranker reaches NDCG@20 {ranker.mean('ndcg'):.4f} on {len(ranker.per_query['ndcg']):,} queries"]
    for kind, names in (("single generator", GENERATORS), ("popularity list", tuple(popularity_baselines()))):
        if any(name in found for name in names):
            best = best_of(found, names)
            told.append(f"{report.times(ratios[best])} what the best {kind} ({best}) does")
    return f"{', '.join(told)}. A list drawn by lot would reach {by_lot['ndcg']:.4f}."


def judged(
    found: Mapping[str, Figures],
    intervals: Mapping[str, Mapping[str, Interval]],
    ratios: Mapping[str, Interval],
    by_lot: Mapping[str, float],
    parts: Mapping[str, Mapping[str, float]],
    proposed: Mapping[str, float],
    established_posts: int,
) -> tuple[Section, ...]:
    """What a comparison on held-out queries shows: rankings, segments, calibration and what generators propose."""
    new = f"New creators have fewer than {established_posts} known posts."
    return (
        Section(
            "Rankings on the held-out queries",
            headline(found, ratios, by_lot),
            comparison(found, intervals, ratios, by_lot),
            "rankings.png",
        ),
        Section(
            "The ranker by segment",
            f"{new} Sounds and hashtags: only these are ranked and wanted, so their figures are not comparable with "
            "one another. The generator is the best one of the table above.",
            by_segment(parts),
        ),
        Section(
            "Calibration",
            "What the model said of each creator's shortlist, also of creators who then adopted nothing, in ten groups "
            "from the least to the most probable. On the dotted line as much came true as was said; above it the model "
            "was too modest, below it too bold. Both axes are logarithmic: most single adoptions are improbable.",
            drawing="calibration.png",
        ),
        Section(
            "Adoptions among the generators' 500 best",
            "How much of what was adopted each generator proposes at all; union: any of them.",
            [["generator", "recall@500"], *([n, f"{v:.4f}"] for n, v in proposed.items())],
        ),
    )


def comparison(
    found: Mapping[str, Figures],
    intervals: Mapping[str, Mapping[str, Interval]],
    ratios: Mapping[str, Interval],
    by_lot: Mapping[str, float],
) -> report.Table:
    """One row per ranking, best NDCG first, each figure with its interval; the list drawn by lot is the last."""
    head = ["ranking", "what it is", "NDCG@20", "Recall@20", "MRR", "ranker ÷ it (NDCG)", "coverage", "novelty"]
    rows = [
        [
            name,
            kind_of(name),
            *(report.with_interval(interval) for interval in intervals[name].values()),
            report.times(ratios[name]) if name in ratios else "–",
            f"{found[name].coverage:.3f}",
            f"{found[name].novelty:.3f}",
        ]
        for name in sorted(intervals, key=lambda n: -intervals[n]["ndcg"].mean)
    ]
    lot = ["(by lot)", "chance", *(f"{by_lot[metric]:.4f}" for metric in METRICS), "", "", ""]
    return [head, *rows, lot]


def by_segment(parts: Mapping[str, Mapping[str, float]]) -> report.Table:
    """One row per segment: the ranker, and beside it the best generator."""
    head = ["segment", "queries", "NDCG@20", "Recall@20", "MRR", "generator's NDCG@20", "ranker ÷ it", "NDCG by lot"]
    rows = [
        [
            part.replace("_", " "),
            f"{v['queries']:.0f}",
            *(f"{v[metric]:.4f}" for metric in METRICS),
            f"{v['generator_ndcg']:.4f}",
            report.times(Interval(v["ratio"], v["ratio.low"], v["ratio.high"])),
            f"{v['chance_ndcg']:.4f}",
        ]
        for part, v in parts.items()
    ]
    return [head, *rows]
