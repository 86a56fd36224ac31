"""Verbs of the command line about what has been learned: which models there are, who was champion, what will grow."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from configs.console import print_json, progress, remark, say, write_parquet
from configs.options import AsJson, AsOf, Horizon, Out, TrendType
from models.workspace import Workspace

STALE: Final = timedelta(days=7)
"""After so long without any metrics an instant is no present any more."""


def models(as_json: AsJson = False) -> None:
    """Champion and challenger, and what serving processes are given of them; a release that they refuse is named.

    Example: `harmonic models`
    """
    from models.registry import CHALLENGER, CHAMPION
    from models.releases import released, trouble

    work = Workspace()
    told: dict[str, Any] = {}
    for alias in (CHAMPION, CHALLENGER):
        release = released(work.settings.released_models, alias)
        told[alias] = {
            "registered": work.registry.version(alias),
            "released": release.version if release else None,
            "trouble": trouble(release) if release else None,
        }
    if as_json:
        print_json(told)
        return
    for alias, about in told.items():
        line = f"{alias}: version {about['registered'] or '–'}, released {about['released'] or '–'}"
        say(line + (f", refused: {about['trouble']}" if about["trouble"] else ""))


def audit(as_json: AsJson = False) -> None:
    """Who was champion from when to when, and why.

    Example: `harmonic audit`
    """
    tenures = Workspace().registry.audit()
    if as_json:
        print_json([vars(tenure) for tenure in tenures])
        return
    for t in tenures:
        until = f"{t.until:%Y-%m-%d %H:%M}" if t.until else "now"
        say(f"version {t.version}: {t.since:%Y-%m-%d %H:%M} to {until} · {t.reason}")


def forecast(
    out: Out, trend_type: TrendType = "hashtag", horizon: Horizon = 7, as_of: AsOf = None, as_json: AsJson = False
) -> None:
    """Log growth of every trend with a public count, with its 80 % interval.

    Example: `harmonic forecast --type sound --horizon 7 --out growth.parquet`
    """
    from features.errors import EmptyLake
    from models.forecaster import forecast as predict

    work = Workspace()
    latest = work.lake.latest_at()
    if latest is None:
        raise EmptyLake("the lake is empty: load trend snapshots, e.g. «harmonic ingest PATH»")
    at = told_instant(work, as_of) if as_of else latest
    with progress("forecast") as told:
        table = predict(work.lake, trend_type, horizon, at, work.settings.forecast, told)
        write_parquet(table, out)
    tell_forecasts(len(table), 1, out, as_json)


def told_instant(work: Workspace, as_of: datetime | None) -> datetime:
    """`Workspace.instant`, with a remark where nothing is known of the time before it."""
    at, latest = work.instant(as_of), work.lake.latest_at()
    if latest is not None and at - latest > STALE:
        remark(
            f"nothing in the lake is later than {latest:%Y-%m-%d %H:%M} UTC, {(at - latest).days} days before "
            f"{at:%Y-%m-%d}: load newer metrics, or choose an earlier --as-of"
        )
    return at


def tell_forecasts(rows: int, cutoffs: int, out: Path, as_json: bool) -> None:
    """How many forecasts were written where."""
    summary = {"rows": rows, "cutoffs": cutoffs, "out": out}
    print_json(summary) if as_json else say(f"{rows:,} forecasts at {cutoffs:,} cut-offs → {out}")
