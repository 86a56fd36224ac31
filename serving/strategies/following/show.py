"""What became of a strategy, as a terminal shows it."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from serving.strategies.schemas import Outcome, OutcomeDifference, StillNeeded


def show_outcome(outcome: Outcome, console: Console) -> None:
    """Verdict, posts that followed, and how they did beside the creator's others."""
    head = f"{outcome.creator_id} · strategy {outcome.strategy_id} · {outcome.starts_at:%Y-%m-%d} to "
    head += f"{outcome.ends_at:%Y-%m-%d}, as known on {outcome.as_of:%Y-%m-%d %H:%M} UTC"
    console.print(Text(head, style="bold"))
    still = " It is open: more posts may follow." if outcome.is_open else ""
    console.print(Text(f"{outcome.verdict.capitalize()}.{_needed(outcome.needed)}{still}"))
    console.print(_plays(outcome))
    if outcome.posts:
        console.print(_posts(outcome))
    for each in outcome.differences:
        console.print(Text(_difference(each)))
    console.print(Text(outcome.method, style="dim"))


def _needed(needed: StillNeeded) -> str:
    wanted = []
    if needed.posts:
        counts = f" ({needed.awaiting_counts} posted, and not counted yet)" if needed.awaiting_counts else ""
        wanted.append(f"{needed.posts} more that follow it{counts}")
    if needed.own_posts:
        wanted.append(f"{needed.own_posts} more of the creator's others")
    return f" Needed, counted at an equal age: {' and '.join(wanted)}." if wanted else ""


def _difference(each: OutcomeDifference) -> str:
    sizes = f"{each.posts} posts beside {each.own_posts} others"
    age = "" if each.age_days is None else f", {each.age_days:g} days after posting"
    if each.difference is None:
        return f"{each.metric.capitalize()}: {sizes}{age}; not enough to tell."
    told = f"{each.difference:+.0%} [{each.lo80:+.0%}, {each.hi80:+.0%}]"
    return f"{each.metric.capitalize()}: {told} (80 % interval), {sizes}{age}."


def _plays(outcome: Outcome) -> Table:
    table = Table("play", "strategy", "posts", box=SIMPLE_HEAD)
    for play in outcome.plays:
        posts = f"{play.posts}" if play.is_recognisable else "names no item to know it by"
        table.add_row(*(Text(cell) for cell in (f"{play.play}. {play.title}", play.strategy, posts)))
    return table


def _posts(outcome: Outcome) -> Table:
    table = Table("post", "posted", "play", "items", "in its window", "used before", box=SIMPLE_HEAD)
    said = {None: "–", True: "yes", False: "no"}
    for post in outcome.posts:
        posted = f"{post.posted_at:%Y-%m-%d %H:%M}"
        told = (post.id, posted, f"{post.play}", " ".join(post.items), said[post.in_window], said[post.used_before])
        table.add_row(*(Text(cell) for cell in told))
    return table
