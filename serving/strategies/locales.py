"""The languages that strategies are written and checked in, each read from one YAML file and checked whole."""

from __future__ import annotations

import string
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Final

import yaml
from pydantic import Field, ValidationError

from configs import CONFIG_DIR
from serving.schemas import Message
from serving.strategies.library import LOADER, BadLibrary, LibraryStrategy, library

LOCALES: Final = CONFIG_DIR / "library" / "locales"
ENGLISH: Final = "en"

Ways = Annotated[tuple[str, ...], Field(min_length=1)]


class Reading(Message):
    """The words of a language by which a claim is read; parts of regular expressions, `name=value` pairs in lists."""

    number_words: str
    scales: str
    months: str = Field(description="Twelve patterns, or `numbered` where months are told by their number")
    weekdays: str
    short_weekdays: str = ""
    date_link: str
    year_link: str
    ordinal: str
    since: str
    units: Mapping[str, str]
    range: str
    and_: str = Field(alias="and", description="The word of a range that needs `between` before it")
    between: str
    odds: str
    multiples: str
    fractions: str
    fraction_after: str
    hour_word: str
    hour_before: str
    noon: str
    midnight: str
    about: str
    over: str
    under: str
    down: str
    up: str
    interval: str
    level_of: str
    comparative: str
    nouns: Mapping[str, str]
    own: Mapping[str, str]
    not_own: str
    past: str
    beside: str
    acts: str
    song: str
    capitals: bool = Field(description="Whether a capital inside a sentence marks a name")
    advice: str
    free: str


class Texts(Message):
    """One strategy of the library in another language."""

    name: str
    goal: str
    format: str
    steps: tuple[str, ...]
    risks: tuple[str, ...]
    kpis: tuple[str, ...]
    hooks: tuple[str, ...]
    captions: tuple[str, ...]


class Locale(Message):
    """One language: how it writes numbers and dates, its phrases, its readings and its texts of the strategies."""

    code: str
    language: str
    decimal: str
    group: str
    percent: str
    scales: tuple[tuple[str, float], ...]
    singular: Mapping[str, str] = Field(default_factory=dict, description="Scale → how it reads after 1")
    months: tuple[str, ...] = Field(min_length=12, max_length=12)
    days: tuple[str, ...] = Field(min_length=7, max_length=7)
    date: str
    short_date: str
    and_: str = Field(alias="and")
    phrases: Mapping[str, Ways]
    show: Mapping[str, str]
    reading: Reading
    strategies: Mapping[str, Texts] = Field(default_factory=dict)

    def told(self, strategy: LibraryStrategy) -> LibraryStrategy:
        """A strategy of the library in this language."""
        texts = self.strategies.get(strategy.id)
        return strategy if texts is None else strategy.model_copy(update=dict(texts))

    @property
    def texts(self) -> tuple[str, ...]:
        """Everything that the strategies say in this language; empty for English, where the library says it."""
        return tuple(
            text
            for told in self.strategies.values()
            for text in (told.name, told.goal, told.format, *told.steps, *told.risks, *told.kpis, *told.hooks,
                         *told.captions)
        )  # fmt: skip


def shipped() -> tuple[str, ...]:
    """Codes of the languages that there are, in order."""
    return tuple(sorted(path.stem for path in LOCALES.glob("*.yaml")))


@lru_cache(maxsize=256)
def code_of(wanted: str) -> str | None:
    """The shipped language for a tag such as `pt` or `de-AT`: the same, else the same language, else None."""
    found = shipped()
    language = wanted.partition("-")[0]
    return wanted if wanted in found else next((code for code in found if code.partition("-")[0] == language), None)


def locale_of(wanted: str) -> Locale:
    """The language for a tag; English where there is none.

    Raises:
        BadLibrary: its file breaks a rule.
    """
    return load_locale(code_of(wanted) or ENGLISH)


@lru_cache(maxsize=32)
def load_locale(code: str) -> Locale:
    """One shipped language, read once.

    Raises:
        BadLibrary: the file lacks a text, or a text has other placeholders than the English one; every fault is named.
    """
    found = read_locale(LOCALES / f"{code}.yaml")
    if code != ENGLISH and (faults := [*_phrase_faults(found), *_strategy_faults(found)]):
        raise BadLibrary(f"{code}.yaml: " + "; ".join(faults))
    return found


def read_locale(path: Path) -> Locale:
    """A file as it stands.

    Raises:
        BadLibrary: it is no YAML, or has other keys than a language needs.
    """
    try:
        return Locale.model_validate({"code": path.stem, **yaml.load(path.read_text(), Loader=LOADER)})
    except yaml.YAMLError as error:
        raise BadLibrary(f"{path.name} is no YAML: {error}") from None
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise BadLibrary(f"{path.name}: {told}") from None


def _phrase_faults(found: Locale) -> list[str]:
    english = load_locale(ENGLISH)
    faults = [f"phrases: {name} is missing" for name in english.phrases if name not in found.phrases]
    faults += [f"show: {name} is missing" for name in english.show if name not in found.show]
    for name, ways in found.phrases.items():
        wanted = set().union(*map(_holes, english.phrases.get(name, ())))
        faults += [f"phrases: {name}: other placeholders in «{way}»" for way in ways if not _holes(way) <= wanted]
    return faults


def _strategy_faults(found: Locale) -> list[str]:
    faults = [f"strategies: {name} is missing" for name in library() if name not in found.strategies]
    for name, texts in found.strategies.items():
        strategy = library().get(name)
        if strategy is None:
            faults.append(f"strategies: {name} is not in the library")
            continue
        for part in ("steps", "hooks", "captions"):
            pairs = zip(getattr(strategy, part), getattr(texts, part), strict=False)
            even = len(getattr(strategy, part)) == len(getattr(texts, part))
            if not even or any(_holes(one) != _holes(other) for one, other in pairs):
                faults.append(f"strategies: {name}: {part} differ from the library's in number or placeholders")
    return faults


def _holes(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def pairs(told: str) -> dict[str, float]:
    """`a=1 b_c=2` as a mapping, with a space for every `_`."""
    rows = (row.rpartition("=") for row in told.split())
    return {name.replace("_", " "): float(value) for name, _, value in rows}
