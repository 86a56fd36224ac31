"""How the deterministic writer says things: sentences by stage and habit, and numbers as a locale writes them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import date
from typing import Final, TypeVar

from serving.strategies.schemas import Fact, RankedItem

T = TypeVar("T")

STAGE_WORDS: Final = {
    "emerging": ("{item} is only days old", "{item} has just appeared"),
    "rising": ("{item} is on its way up", "{item} is rising"),
    "peaking": ("{item} is near its peak", "{item} is as large as it may get"),
    "declining": ("{item} is past its peak", "{item} is on its way down"),
    "evergreen": ("{item} is steady", "{item} has been around for long and stays"),
}

STAGE_RISKS: Final = {
    "peaking": "{item} is near its peak: film it first, or leave it.",
    "declining": "{item} is past its peak: use it only with an idea of your own.",
    "emerging": "{item} is young and may come to nothing: keep the effort small.",
}

STOP: Final = {
    "own_sound": "Stop posting with your own audio by default: those posts got {share} fewer views {cite}.",
    "tags_generic": "Stop leaning on generic hashtags: your posts with them got {share} fewer views {cite}.",
    "tags_many": "Stop filling captions with hashtags: your posts with many got {share} fewer views {cite}.",
    "sound_series": "Stop repeating sounds you have used: those posts got {share} fewer views {cite}.",
    "sound_versions": "Stop using sped-up and remixed versions: those posts got {share} fewer views {cite}.",
    "sound_catalogue": "Stop reaching for old sounds: those posts got {share} fewer views {cite}.",
    "days_weekend": "Stop saving posts for the weekend: those posts got {share} fewer views {cite}.",
    "pace_same_day": "Stop posting again on the same day: the later post got {share} fewer views {cite}.",
    "pace_after_a_rest": "Stop going silent for a week: the first post afterwards got {share} fewer views {cite}.",
    "length_short": "Stop cutting so short: your shortest posts got {share} fewer views {cite}.",
    "length_long": "Stop going long: your longer posts got {share} fewer views {cite}.",
}

NOTHING_TO_STOP: Final = (
    "Nothing in your own posts stands out as harmful; change one thing at a time, so that you can tell what helped."
)
NO_WINDOW: Final = "No posting hours of yours are known yet: choose one hour, keep it, and compare."
NO_DATA: Final = "Not enough data yet to say what this is worth: treat it as an experiment."


def pick(choices: Sequence[T], *seed: str) -> T:
    """One of several ways to say it: always the same for the same seed."""
    digest = hashlib.sha256("\0".join(seed).encode()).digest()
    return choices[int.from_bytes(digest[:8], "big") % len(choices)]


def number(value: float) -> str:
    """A count or ratio: `12,400`, `0.4`."""
    return f"{value:,.0f}" if value == int(value) else f"{value:,.10g}"


def percent(share: float) -> str:
    """A share as percent: 0.082 → `8.2%`; 0.1 → `10%`."""
    return f"{round(share * 100, 1):,.10g}%"


def clock(hour: float) -> str:
    """An hour of day: 18.5 → `18:30`."""
    whole, part = divmod(round(hour * 60) % 1440, 60)
    return f"{whole:02d}:{part:02d}"


def day(when: date) -> str:
    """A date: `30 October 2020`."""
    return f"{when.day} {when:%B} {when.year}"


def cite(*facts: Fact) -> str:
    """Where it can be checked: `[E3]`."""
    return "".join(f"[{fact.id}]" for fact in facts)


def named(item: RankedItem) -> str:
    """An item with its citation: a sound in quotation marks, a hashtag with its sign."""
    if item.kind == "hashtag":
        return f"#{item.title.lstrip('#')} [{item.id}]"
    return f"“{item.title}” [{item.id}]"


def joined(parts: Sequence[str]) -> str:
    """A list in a sentence: `a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
