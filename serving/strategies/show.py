"""A written strategy and the two libraries as a terminal shows them."""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from serving.strategies.phrases import number, percent
from serving.strategies.schemas import Evidence, Play, Strategy, Target


def show_strategy(strategy: Strategy, evidence: Evidence, console: Console) -> None:
    """The whole plan; citations stay in the text, and what they stand for is listed at the end."""
    titles = {item.id: item for item in evidence.items}
    head = f"{strategy.creator_id} · as of {strategy.as_of:%Y-%m-%d %H:%M} UTC · strategy {strategy.strategy_id}"
    console.print(Text(head, style="bold"))
    _paragraph(console, strategy.summary)
    _heading(console, "Why now")
    _paragraph(console, strategy.why_now)
    for place, play in enumerate(strategy.plays, 1):
        _show_play(console, place, play, {name: item.title for name, item in titles.items()})
    _heading(console, "Calendar")
    for day in strategy.calendar:
        _paragraph(console, f"{day.day:%a %d %b}  {day.what}")
    for name, lines in (("Risks", strategy.risks), ("What to stop", strategy.stop)):
        _heading(console, name)
        for line in lines:
            _paragraph(console, f"· {line}")
    _show_sources(console, strategy)
    _paragraph(console, _verdict(strategy))


def _show_play(console: Console, place: int, play: Play, titles: dict[str, str]) -> None:
    _heading(console, f"{place}. {play.title}  ({play.effort} effort)")
    tags = " ".join(f"#{titles[name].lstrip('#')} [{name}]" for name in play.hashtags)
    sound = f"“{titles[play.sound]}” [{play.sound}]" if play.sound else "no particular one"
    rows = [
        ("Hook", play.hook),
        ("Format", play.format),
        ("Sound", sound),
        ("Hashtags", tags or "none"),
        ("Caption", play.caption),
        ("When", play.window),
        ("Target", _target(play.target)),
    ]
    for name, text in rows:
        _paragraph(console, f"{name + ':':<10} {text}")
    for number_, step in enumerate(play.steps, 1):
        _paragraph(console, f"  {number_}. {step}")


def _target(target: Target | None) -> str:
    if target is None:
        return "beat your usual posts"
    shown = percent if target.unit == "share" else number
    return f"{shown(target.lo)} to {shown(target.hi)}, {target.kpi} [{target.fact}]"


def _show_sources(console: Console, strategy: Strategy) -> None:
    _heading(console, "Sources")
    for fact in strategy.sources:
        shown = percent if fact.unit == "share" else number
        value = str(fact.value) if not isinstance(fact.value, float) else shown(fact.value)
        between = f" ({shown(fact.lo)} to {shown(fact.hi)})" if fact.lo is not None and fact.hi is not None else ""
        sample = f", {number(fact.sample)} posts" if fact.sample else ""
        unit = "" if fact.unit in ("share", "count", "date") else f" {fact.unit}"
        told = f"[{fact.id}] {fact.subject} {fact.name}: {value}{unit}{between}{sample} · {fact.source}"
        _paragraph(console, f"{told} · {fact.as_of:%Y-%m-%d}", style="dim")


def _verdict(strategy: Strategy) -> str:
    check = strategy.check
    said = f"Written by the {strategy.writer} writer; {check.claims} claims checked, "
    return said + ("none without proof." if check.is_grounded else f"faults: {'; '.join(check.faults)}")


def show_strategies(answer: dict[str, Any], console: Console) -> None:
    """The library of strategies with measured lifts."""
    table = Table(box=SIMPLE_HEAD)
    for name in ("strategy", "goal", "effort", "views, 80 % interval", "posts", "score"):
        table.add_column(name, overflow="fold")
    for row in answer["strategies"]:
        told = row["measured"]
        lift = "not enough data"
        if told["lift"] is not None:
            lift = f"{told['lift']:+.1%} [{told['lo80']:+.1%}, {told['hi80']:+.1%}]"
        score = "" if row["score"] is None else f"{row['score']:.3f}"
        cells = (row["name"], row["goal"], row["effort"], lift, f"{told['posts']:,}", score)
        table.add_row(*(Text(cell) for cell in cells))
    console.print(table)


def show_artists(answer: dict[str, Any], console: Console) -> None:
    """The library of viral artists with what they did before."""
    table = Table(box=SIMPLE_HEAD)
    for name in ("who", "week of", "region", "burst", "what they did in the two weeks before"):
        table.add_column(name, overflow="fold")
    for row in answer["artists"]:
        before = row["before"]
        did = "nothing known"
        if before["posts"]:
            tags = " ".join(f"#{tag}" for tag in before["tags"][:4])
            hours = ", ".join(f"{hour:02d}h" for hour in before["hours_utc"])
            did = (
                f"{before['posts']} posts by {before['creators']}, {before['sound_reuse']:.0%} with a sound used before"
            )
            did += f", at {hours} UTC {tags}"
        who = f"{row['name']} ({row['kind']}, {row['measured_by']})"
        cells = (who, f"{row['starts_at']:%Y-%m-%d}", row["region"] or "–", f"{row['burst']:.1f} σ", did)
        table.add_row(*(Text(cell) for cell in cells))
    console.print(table)


def _heading(console: Console, text: str) -> None:
    console.print()
    console.print(Text(text, style="bold"))


def _paragraph(console: Console, text: str, style: str = "") -> None:
    console.print(Padding(Text(text, style=style), (0, 0, 0, 2)))
