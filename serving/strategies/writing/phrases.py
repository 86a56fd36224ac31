"""How the deterministic writer says things in one language: its phrases, numbers, hours and dates."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final, TypeVar

from serving.strategies.locales import Locale
from serving.strategies.schemas import Fact, RankedItem

T = TypeVar("T")
_HOLE = re.compile(r"\{(\w+)\}")
LEAST_SCALED: Final = 1_000_000.0
"""Smaller counts are told in full."""


class Voice:
    """One language, speaking for one creator: the same words for the same creator, other words for another.

    Args:
        locale: the language.
        seed: what the choice of words follows from.
    """

    def __init__(self, locale: Locale, seed: str) -> None:
        self.locale, self._seed = locale, seed

    def say(self, phrase: str, *seed: str, **words: str) -> str:
        """A phrase in one of its ways, its placeholders filled."""
        return filled(pick(self.locale.phrases[phrase], self._seed, phrase, *seed), words)

    def vary(self, phrase: str, place: int, **words: str) -> str:
        """The same, where no two neighbouring places say it in the same way."""
        ways = self.locale.phrases[phrase]
        return filled(ways[(_digest(self._seed, phrase) + place) % len(ways)], words)

    def pick(self, choices: Sequence[T], *seed: str) -> T:
        """One of several texts."""
        return pick(choices, self._seed, *seed)

    def number(self, value: float) -> str:
        """A count or ratio: `12,400`, `0.4`, `4.9 million`."""
        name, scale = "", 1.0
        for called, size in self.locale.scales:
            if abs(value) >= max(size, LEAST_SCALED):
                name, scale = called, size
        if not name:
            return self._written(f"{value:,.0f}" if value == int(value) else f"{value:,.10g}")
        shown = f"{value / scale:.3g}"
        return f"{self._written(shown)} {self.locale.singular.get(name, name) if shown == '1' else name}"

    def percent(self, share: float) -> str:
        """A share as percent: 0.082 → `8.2%`; 0.1 → `10%`."""
        return self.locale.percent.format(self._written(f"{round(share * 100, 1):,.10g}"))

    def times(self, growth: float) -> str:
        """Growth as what a count is multiplied by: 0.7 → `1.7`."""
        return self._written(f"{round(1 + growth, 1):,.10g}")

    def quantity(self, value: float, unit: str) -> str:
        """A number in its unit: shares as percent."""
        return self.percent(value) if unit == "share" else self.number(value)

    def day(self, when: date) -> str:
        """A date: `30 October 2020`."""
        return self._dated(self.locale.date, when)

    def short_day(self, when: date) -> str:
        """A day of the calendar: `Fri 30 Oct`."""
        return self._dated(self.locale.short_date, when)

    def joined(self, parts: Sequence[str]) -> str:
        """A list in a sentence: `a, b and c`."""
        return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])}{self.locale.and_}{parts[-1]}"

    def _dated(self, form: str, when: date) -> str:
        month, weekday = self.locale.months[when.month - 1], self.locale.days[when.weekday()]
        return form.format(day=when.day, month=month, year=when.year, weekday=weekday)

    def _written(self, digits: str) -> str:
        return digits.translate({ord(","): self.locale.group, ord("."): self.locale.decimal})


def pick(choices: Sequence[T], *seed: str) -> T:
    """One of several ways to say it: always the same for the same seed."""
    return choices[_digest(*seed) % len(choices)]


def filled(template: str, words: Mapping[str, str]) -> str:
    """A template with its placeholders replaced; what replaces them is never read as a template."""
    return _HOLE.sub(lambda hole: words.get(hole[1], hole[0]), template)


def clock(hour: float) -> str:
    """An hour of day: 18.5 → `18:30`."""
    whole, part = divmod(round(hour * 60) % 1440, 60)
    return f"{whole:02d}:{part:02d}"


def offset(hours: float) -> str:
    """An offset from UTC: 5.5 → `UTC+5:30`, 0 → `UTC`."""
    whole, part = divmod(round(abs(hours) * 60), 60)
    sign = "-" if hours < 0 else "+"
    return f"UTC{sign}{whole}{f':{part:02d}' if part else ''}" if hours else "UTC"


def cite(*facts: Fact) -> str:
    """Where it can be checked: `[E3]`."""
    return "".join(f"[{fact.id}]" for fact in facts)


def called(item: RankedItem) -> str:
    """An item: a sound in quotation marks, a hashtag with its sign."""
    title = "".join(c for c in item.title if c not in "“”„«»")
    return f"#{title.lstrip('#')}" if item.kind == "hashtag" else f"“{title}”"


def named(item: RankedItem) -> str:
    """An item with its citation."""
    return f"{called(item)} [{item.id}]"


def _digest(*seed: str) -> int:
    return int.from_bytes(hashlib.sha256("\0".join(seed).encode()).digest()[:8], "big")
