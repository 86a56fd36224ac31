"""A rolling-origin evaluation for people and for MLflow: tables, sentences, drawings and one run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from configs import Settings
from models.registry import Registry
from training import drawings, report
from training.evaluate import METRICS
from training.origins import Origin, Rolling, Standing
from training.report import Section, Table
from training.sections import OURS, kind_of

FEW_QUERIES: Final = 100
FEW: Final = " So few queries tell little: their intervals are wide, and one creator can turn the verdict."


def headline(found: Rolling) -> str:
    """What it all comes to, in words."""
    ranker, best = found.pooled["ranker"].means["ndcg"], found.pooled[found.generator]
    n, below = len(found.origins), len(found.below)
    cutoffs = f"{n} cut-off{'s' if n > 1 else ''}"
    against = (
        f"below it at {below} of {cutoffs} ({_days(found.below)})" if below else f"not below it at any of {cutoffs}"
    )
    own = len(found.below_own)
    each = f"at {own} of {n} ({_days(found.below_own)})" if own else "never"
    of = f" that know {found.history_days} days of posts" if found.history_days else ""
    return (
        f"NDCG@20 of the ranker is {report.with_interval(ranker)} over {found.queries:,} queries at {cutoffs}{of}: "
        f"{report.times(best.ratio)} the figure of its best single generator ({found.generator}): {against}; below the "
        f"generator that was best at the cut-off itself: {each}. The best plain baseline is {found.plain}: "
        f"{report.times(found.pooled[found.plain].ratio)}. A list drawn by lot reaches {found.by_lot['ndcg']:.4f}."
        f"{FEW if found.queries < FEW_QUERIES else ''}"
    )


def for_terminal(found: Rolling) -> str:
    """A table per cut-off, the pooled figures, and what they come to."""
    parts = []
    for origin, standing in zip(found.origins, found.standings, strict=True):
        parts.append(
            f"{_title(origin)} · {_learned(origin)}\n{report.aligned(_at_cutoff(origin, standing, found), '  ')}"
        )
        parts.append(f"  {verdict(standing, found.generator)}\n\n")
    parts.append(f"All cut-offs together\n{report.aligned(_pooled_briefly(found), '  ')}\n{headline(found)}\n")
    parts.append(f"{_left_out(found)}\n" if found.skipped else "")
    return "".join(parts)


def verdict(standing: Standing, generator: str) -> str:
    """Whether the ranker fell below its own best generator at one cut-off."""
    if standing.below:
        return f"BELOW its best single generator ({generator}): {report.times(standing.to_generator)}"
    told = f"Not below its best single generator ({generator}): {report.times(standing.to_generator)}"
    if standing.below_own:
        told += f"; BELOW {standing.own_generator}, the best at this cut-off: {report.times(standing.to_own_generator)}"
    return told


def sections(found: Rolling, confidence: float) -> list[Section]:
    """The report."""
    seen = (
        f" No post older than {found.history_days} days was known at a cut-off, neither to learn from nor to say what "
        "is used for the first time: these are other outcomes than those of a full history."
        if found.history_days
        else ""
    )
    how = (
        "At each cut-off a ranker was trained on what was known by then, by the recipe of «harmonic train», and judged "
        f"on who used what for the first time in the {found.horizon_days} days after it.{seen} Intervals come from "
        f"resampling queries ({confidence:.0%}); over all cut-offs whole creators are resampled."
    )
    by_cutoff = [
        Section(_title(o), f"{verdict(s, found.generator)}. It {_learned(o)}.", _at_cutoff(o, s, found))
        for o, s in zip(found.origins, found.standings, strict=True)
    ]
    return [
        *([Section("Warning", found.warning)] if found.warning else []),
        Section("What it comes to", f"{headline(found)}\n{how}", drawing="ratio.png"),
        Section("All cut-offs together", "", _pooled(found), "rankings.png"),
        Section("Cut-off by cut-off", _left_out(found), _overview(found)),
        *by_cutoff,
        Section("Every ranking at every cut-off", "NDCG@20.", _everything(found)),
    ]


def drawn(found: Rolling) -> dict[str, Any]:
    """File name → figure."""
    labels = [f"{origin.cutoff:%Y-%m-%d}" for origin in found.origins]
    series = {
        f"{found.generator}, the best generator of all": [s.to_generator for s in found.standings],
        "the best generator at that cut-off": [s.to_own_generator for s in found.standings],
        "the best plain baseline at that cut-off": [s.to_plain for s in found.standings],
    }
    means = {name: pooled.means["ndcg"] for name, pooled in found.pooled.items()}
    return {
        "ratio.png": drawings.ratio_figure(labels, series),
        "rankings.png": drawings.rankings_figure(means, tuple(OURS), found.by_lot["ndcg"]),
    }


def log(found: Rolling, registry: Registry, data_hash: str, as_of: datetime, settings: Settings) -> str:
    """Everything as one MLflow run; returns its id."""
    known = f", {found.history_days} days of posts" if found.history_days else ""
    title = f"Rolling evaluation as of {as_of:%Y-%m-%d}{known}"
    figures, parts = drawn(found), sections(found, settings.promotion.confidence)
    metrics = {"below_best_generator": float(len(found.below)), "below_own_best_generator": float(len(found.below_own))}
    metrics |= {"suspicious": float(len(found.jumps)), "queries": float(found.queries)}
    for name, pooled in found.pooled.items():
        for label, interval in ({**pooled.means} | {"ranker_over_it": pooled.ratio}).items():
            metrics[f"pooled.{name}.{label}"] = interval.mean
            metrics[f"pooled.{name}.{label}.low"], metrics[f"pooled.{name}.{label}.high"] = interval.low, interval.high
    curve = {
        f"cutoff.{n}.{m}": tuple(o.figures[n].mean(m) for o in found.origins) for n in found.pooled for m in METRICS
    }
    curve["cutoff.ranker_over_best_generator"] = tuple(s.to_generator.mean for s in found.standings)
    return registry.log_evaluation(
        title.lower(),
        metrics,
        parameters={
            "as_of": as_of.isoformat(),
            "data_hash": data_hash,
            "cutoffs": " ".join(f"{o.cutoff:%Y-%m-%dT%H:%M:%SZ}" for o in found.origins),
            "horizon_days": found.horizon_days,
            "history_days": found.history_days or "all",
            "best_generator": found.generator,
            "posts_known": settings.lake.posts_known,
            "ranker": settings.ranker.model_dump_json(),
            "candidates": settings.candidates.model_dump_json(),
        },
        curve=curve,
        figures=figures,
        reports={
            "report.md": report.markdown_report(title, parts),
            "report.html": report.html_report(title, parts, figures),
        },
        tags={"warning": found.warning} if found.warning else {},
    )


def _at_cutoff(origin: Origin, standing: Standing, found: Rolling) -> Table:
    """The ranker, its first stage, the generators and the plain baseline that matter here, and chance."""
    roles = {"ranker": "this model", "linear_stage": "its first stage alone"}
    roles[found.generator] = "best generator of all"
    same = standing.own_generator == found.generator
    roles[standing.own_generator] = "best generator, here and of all" if same else "best generator here"
    roles[standing.plain] = "best plain baseline here"
    ratios = {found.generator: standing.to_generator, standing.own_generator: standing.to_own_generator}
    ratios[standing.plain] = standing.to_plain
    rows = [
        [
            f"{name} ({role})",
            f"{origin.figures[name].mean('ndcg'):.4f}",
            f"{origin.figures[name].mean('recall'):.4f}",
            report.times(ratios[name]) if name in ratios else "",
        ]
        for name, role in roles.items()
    ]
    lot = ["a list drawn by lot", f"{origin.by_lot['ndcg']:.4f}", f"{origin.by_lot['recall']:.4f}", ""]
    return [["ranking", "NDCG@20", "Recall@20", "ranker ÷ it (NDCG)"], *rows, lot]


def _pooled(found: Rolling) -> Table:
    head = [
        "ranking",
        "what it is",
        "NDCG@20",
        "Recall@20",
        "ranker − it (NDCG)",
        "ranker − it (Recall)",
        "ranker ÷ it",
    ]
    rows = []
    for name, of in sorted(found.pooled.items(), key=lambda item: -item[1].means["ndcg"].mean):
        means = [report.with_interval(of.means[metric]) for metric in ("ndcg", "recall")]
        gains = [report.with_interval(of.gains[metric]) for metric in ("ndcg", "recall")]
        beside = ["", "", ""] if name == "ranker" else [*gains, report.times(of.ratio)]
        rows.append([name, kind_of(name), *means, *beside])
    lot = ["(by lot)", "chance", f"{found.by_lot['ndcg']:.4f}", f"{found.by_lot['recall']:.4f}", "", "", ""]
    return [head, *rows, lot]


def _pooled_briefly(found: Rolling) -> Table:
    """As `_pooled`, as wide as a terminal."""
    rows = [[name, ndcg, recall, *gains] for name, _, ndcg, recall, *gains, _ in _pooled(found)]
    return [[cell.partition(" [")[0] if at in (1, 2) else cell for at, cell in enumerate(row)] for row in rows]


def _overview(found: Rolling) -> Table:
    head = ["cut-off", "queries", "ranker", found.generator, "ranker ÷ it", "best there", "ranker ÷ it", "below?"]
    rows = []
    for o, s in zip(found.origins, found.standings, strict=True):
        below = "below" if s.below else "below the best there" if s.below_own else "no"
        ours, theirs = (f"{o.figures[name].mean('ndcg'):.4f}" for name in ("ranker", found.generator))
        own = f"{s.own_generator} {o.figures[s.own_generator].mean('ndcg'):.4f}"
        middle = [ours, theirs, report.times(s.to_generator), own, report.times(s.to_own_generator)]
        rows.append([f"{o.cutoff:%Y-%m-%d}", str(len(o.creators)), *middle, below])
    return [head, *rows]


def _everything(found: Rolling) -> Table:
    names = sorted(found.pooled, key=lambda name: -found.pooled[name].means["ndcg"].mean)
    rows = [[name, *(f"{o.figures[name].mean('ndcg'):.4f}" for o in found.origins)] for name in names]
    return [["ranking", *(f"{o.cutoff:%Y-%m-%d}" for o in found.origins)], *rows]


def _title(origin: Origin) -> str:
    return f"{origin.cutoff:%Y-%m-%d %H:%M}, {len(origin.creators):,} queries"


def _learned(origin: Origin) -> str:
    trees = f"{origin.trees} trees" if origin.trees else "no trees: too little to learn them from"
    return f"learned from {origin.learned:,} queries, {trees}"


def _left_out(found: Rolling) -> str:
    if not found.skipped:
        return ""
    why = f"nobody known by then adopted anything in the {found.horizon_days} days after it"
    return f"Left out: {_days(found.skipped)} ({why})."


def _days(cutoffs: Sequence[datetime]) -> str:
    return ", ".join(f"{cutoff:%Y-%m-%d}" for cutoff in cutoffs)
