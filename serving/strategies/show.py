"""A written strategy and the two libraries as a terminal shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from serving.strategies.locales import locale_of
from serving.strategies.schemas import Evidence, Play, Strategy, Target
from serving.strategies.writing.phrases import Voice, called


def show_strategy(strategy: Strategy, evidence: Evidence, console: Console, wanted: str | None = None) -> None:
    """The whole plan; citations stay in the text, and what they stand for is listed at the end.

    Args:
        wanted: language that was asked for; a plan that is in another one says so.
    """
    voice = Voice(locale_of(strategy.locale), strategy.creator_id)
    words, titles = voice.locale.show, {item.id: item for item in evidence.items}
    head = f"{strategy.creator_id} · {words['as_of']} {strategy.as_of:%Y-%m-%d %H:%M} UTC · {words['strategy']} "
    console.print(Text(head + strategy.strategy_id, style="bold"))
    if wanted is not None and wanted.partition("-")[0] != strategy.locale.partition("-")[0]:
        _paragraph(console, words["english"].format(locale=wanted), style="italic")
    _paragraph(console, strategy.summary)
    _heading(console, words["why"])
    _paragraph(console, strategy.why_now)
    for place, play in enumerate(strategy.plays, 1):
        _show_play(console, place, play, {name: called(item) for name, item in titles.items()}, voice)
    _heading(console, words["calendar"])
    for day in strategy.calendar:
        _paragraph(console, f"{voice.short_day(day.day)}  {day.what}")
    for name, lines in (("risks", strategy.risks), ("stop", strategy.stop)):
        _heading(console, words[name])
        for line in lines:
            _paragraph(console, f"· {line}")
    _show_sources(console, strategy, voice)
    _paragraph(console, _verdict(strategy, words))


def _show_play(console: Console, place: int, play: Play, titles: dict[str, str], voice: Voice) -> None:
    words = voice.locale.show
    _heading(console, f"{place}. {play.title}  ({words[f'effort_{play.effort}']})")
    tags = " ".join(f"{titles[name]} [{name}]" for name in play.hashtags)
    rows = [
        ("hook", play.hook),
        ("format", play.format),
        ("sound", f"{titles[play.sound]} [{play.sound}]" if play.sound else words["no_sound"]),
        ("tags", tags or words["none"]),
        ("caption", play.caption),
        ("when", play.window),
        *([("target", _target(play.target, voice))] if play.target else []),
    ]
    width = max(len(words[name]) for name, _ in rows) + 2
    for name, text in rows:
        _paragraph(console, f"{words[name] + ':':<{width}}{text}", hanging=width)
    for number, step in enumerate(play.steps, 1):
        _paragraph(console, f"  {number}. {step}", hanging=5)


def _target(target: Target, voice: Voice) -> str:
    lo, hi = voice.quantity(target.lo, target.unit), voice.quantity(target.hi, target.unit)
    return f"{lo} {voice.locale.show['to']} {hi} {target.kpi} [{target.fact}]"


def _show_sources(console: Console, strategy: Strategy, voice: Voice) -> None:
    """What every citation stands for; sources are told in English, as they are kept."""
    words = voice.locale.show
    _heading(console, words["sources"])
    for fact in strategy.sources:
        value = str(fact.value) if not isinstance(fact.value, float) else voice.quantity(fact.value, fact.unit)
        between = ""
        if fact.lo is not None and fact.hi is not None:
            between = f" ({voice.quantity(fact.lo, fact.unit)} {words['to']} {voice.quantity(fact.hi, fact.unit)})"
        sample = f", {voice.number(fact.sample)} {words['posts']}" if fact.sample else ""
        unit = "" if fact.unit in ("share", "count", "date") else f" {fact.unit}"
        told = f"[{fact.id}] {fact.subject} {fact.name}: {value}{unit}{between}{sample} · {fact.source}"
        _paragraph(console, f"{told} · {fact.as_of:%Y-%m-%d}", style="dim")


def _verdict(strategy: Strategy, words: Mapping[str, str]) -> str:
    check = strategy.check
    told = words["proven" if check.is_grounded else "faults"]
    return told.format(writer=strategy.writer, claims=check.claims, faults="; ".join(check.faults))


def show_strategies(answer: dict[str, Any], console: Console) -> None:
    """The library of strategies with measured lifts."""
    table = Table(box=SIMPLE_HEAD)
    for name in ("strategy", "goal", "effort", "views, 80 % interval", "posts", "of who followed plans", "score"):
        table.add_column(name, overflow="fold")
    for row in answer["strategies"]:
        score = "" if row["score"] is None else f"{row['score']:.3f}"
        told, followed = row["measured"], row["followed"]
        lifts = _lift(told), f"{told['posts']:,}", _lift(followed) if followed["posts"] else ""
        cells = (row["name"], row["goal"], row["effort"], *lifts, score)
        table.add_row(*(Text(cell) for cell in cells))
    console.print(table)


def _lift(told: dict[str, Any]) -> str:
    if told["lift"] is None:
        return "not enough data"
    return f"{told['lift']:+.1%} [{told['lo80']:+.1%}, {told['hi80']:+.1%}]"


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


def _paragraph(console: Console, text: str, style: str = "", hanging: int = 0) -> None:
    """A text, wrapped; its further lines stand `hanging` columns further in."""
    lines = Text(text, style=style).wrap(console, max(20, console.width - 2 - hanging)) if hanging else None
    if lines is None or len(lines) == 1:
        console.print(Padding(Text(text, style=style), (0, 0, 0, 2)))
        return
    first, rest = lines[0], lines[1:]
    console.print(Padding(first, (0, 0, 0, 2)))
    for line in rest:
        console.print(Padding(line, (0, 0, 0, 2 + hanging)))
