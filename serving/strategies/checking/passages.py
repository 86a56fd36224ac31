"""The texts of a strategy, one by one, and what of them is trusted because the library wrote it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from serving.strategies.locales import Locale
from serving.strategies.schemas import Day, Play, Strategy

Form = Literal["report", "play", "public"]
CITATION: Final = re.compile(r"\[\s*([ET]\d+(?:\s*[,;]\s*[ET]\d+)*)\s*\]")
_HOLE = re.compile(r"\{\w+\}")
_WORD = re.compile(r"[^\W\d_]+")
LEAST_TRUSTED: Final = 12
"""A shorter text of the library is trusted only where it is the whole text."""


@dataclass(frozen=True)
class Passage:
    """One text of a strategy.

    Attributes:
        form: `report` is read by the creator and cites in the sentence; `play` may also lean on its play's facts;
            `public` is what the creator's audience sees, and carries no citation.
    """

    name: str
    text: str
    form: Form
    play: Play | None = None
    day: Day | None = None


def passages(strategy: Strategy) -> Iterator[Passage]:
    """Every text of a strategy that somebody wrote."""
    yield Passage("summary", strategy.summary, "report")
    yield Passage("why_now", strategy.why_now, "report")
    for number, play in enumerate(strategy.plays, start=1):
        for name in ("title", "hook", "format", "caption", "window"):
            form: Form = "play" if name == "window" else "public"
            yield Passage(f"plays[{number}].{name}", getattr(play, name), form, play)
        for step, text in enumerate(play.steps, start=1):
            yield Passage(f"plays[{number}].steps[{step}]", text, "play", play)
        if play.target:
            yield Passage(f"plays[{number}].target.kpi", play.target.kpi, "play", play)
    for day in strategy.calendar:
        known = day.play is not None and 1 <= day.play <= len(strategy.plays)
        yield Passage(f"calendar[{day.day}]", day.what, "play", strategy.plays[day.play - 1] if known else None, day)  # type: ignore[operator]
    for name, texts in (("risks", strategy.risks), ("stop", strategy.stop)):
        for number, text in enumerate(texts, start=1):
            yield Passage(f"{name}[{number}]", text, "report")


class TrustedTexts:
    """Texts of the library, where `{placeholders}` stand for words that are checked."""

    def __init__(self, texts: tuple[str, ...], words: tuple[str, ...] = ()) -> None:
        self._whole = frozenset(text for text in texts if not _HOLE.search(text))
        long = [text for text in sorted(texts, key=len, reverse=True) if len(text) >= LEAST_TRUSTED]
        self._long = tuple((max(_HOLE.split(text), key=len), text) for text in long)
        short = [text for text in texts if len(text) < LEAST_TRUSTED and _HOLE.search(text)]
        self._short = tuple(
            (max(_HOLE.split(text), key=len), text) for text in short if _WORD.search(_HOLE.sub("", text))
        )
        said = (*texts, *words)
        self.words = frozenset(word.casefold() for text in said for word in _WORD.findall(text))

    @classmethod
    def of(cls, texts: Mapping[str, str], locale: Locale | None = None) -> TrustedTexts:
        """The same object for the same texts: making it takes as long as a check.

        Args:
            texts: of the library.
            locale: whose own texts of the library are trusted, too, and whose phrases' words may be used.
        """
        key = (tuple(texts.values()), locale.code if locale else None)
        found = _KEPT.get(key)
        if found is None:
            phrases = tuple(way for ways in locale.phrases.values() for way in ways) if locale else ()
            found = _KEPT[key] = cls((*key[0], *(locale.texts if locale else ())), phrases)
            while len(_KEPT) > MOST_KEPT:
                del _KEPT[next(iter(_KEPT))]
        return found

    def masked(self, text: str) -> str:
        """The text with what the library wrote blanked out, letter for letter."""
        if text in self._whole:
            return " " * len(text)
        for part, told in self._short:
            if part in text and (found := _pattern(told).fullmatch(text)):
                return _blanked(text, found)
        for part, told in self._long:
            if part in text and (found := _pattern(told).search(text)):
                text = _blanked(text, found)
        return text


MOST_KEPT: Final = 32
_KEPT: dict[tuple[tuple[str, ...], str | None], TrustedTexts] = {}


@lru_cache(maxsize=8192)
def _pattern(text: str) -> re.Pattern[str]:
    """What a library text looks like once its placeholders are filled; a title may end like the text goes on."""
    return re.compile("([^\n]{1,200})".join(re.escape(part) for part in _HOLE.split(text)) + r"(?!\w)")


def _blanked(text: str, found: re.Match[str]) -> str:
    """The text without the match, but for what stands in the match's groups."""
    pieces, at = [text[: found.start()]], found.start()
    for group in range(1, (found.re.groups or 0) + 1):
        start, end = found.span(group)
        pieces += [" " * (start - at), text[start:end]]
        at = end
    return "".join((*pieces, " " * (found.end() - at), text[found.end() :]))
