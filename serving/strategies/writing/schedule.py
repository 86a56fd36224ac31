"""The calendar of a plan: when to film, when to post, when to look back, and when to do nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final

from serving.strategies.schemas import Day, Play
from serving.strategies.writing.material import Material, value
from serving.strategies.writing.phrases import clock

CALENDAR_DAYS: Final = 14
LEAST_APART: Final = 3
"""Days between two posts from which on two videos are filmed in one session."""


def schedule(material: Material, plays: Sequence[Play]) -> Iterator[Day]:
    """Film before each post, or two videos at once; post; read the numbers; at last repeat the best and look back."""
    as_of, offset = material.evidence.as_of, timedelta(hours=material.evidence.utc_offset_hours)
    first = min(as_of.date(), (as_of + offset).date()) + timedelta(days=1)
    what, voice = _busy_days(material, plays), material.voice
    free = 0
    for at in range(CALENDAR_DAYS):
        if at not in what:
            free += 1
        text, play = what.get(at) or (voice.vary("calendar_rest", free), None)
        yield Day(day=first + timedelta(days=at), what=text, play=play)


def _busy_days(material: Material, plays: Sequence[Play]) -> dict[int, tuple[str, int | None]]:
    """Day from 0 → what is done, and for which play, from 1."""
    voice, apart = material.voice, (CALENDAR_DAYS - 2) // len(plays)
    at_once = apart >= LEAST_APART and len(plays) > 2 and voice.pick((True, False), "at once")
    what: dict[int, tuple[str, int | None]] = {}
    for number, play in enumerate(plays, 1):
        post = 1 + (number - 1) * apart
        what[post] = voice.vary("calendar_post", number, play=play.title, at=_hour(material, play)), number
        what.setdefault(post + 1, (voice.vary("calendar_read", number, play=play.title), number))
        if not at_once or (number == len(plays) and number % 2):
            what[post - 1] = voice.vary("calendar_film", number, play=play.title), number
        elif number % 2:
            other = plays[number].title
            what[post - 1] = voice.vary("calendar_film_two", number // 2, play=play.title, other=other), None
    what[CALENDAR_DAYS - 2] = voice.say("calendar_repeat"), None
    what[CALENDAR_DAYS - 1] = voice.say("calendar_review"), None
    return what


def _hour(material: Material, play: Play) -> str:
    """When in the day, where the play's window is known."""
    for number in (1, 2):
        start = material.fact("creator", f"window_{number}_start")
        if start is not None and start.id in play.facts:
            zone = "" if material.evidence.utc_offset_hours else f" {material.voice.say('zone_utc')}"
            return material.voice.say("calendar_at", start=clock(value(start)) + zone)
    return ""
