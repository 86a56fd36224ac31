"""Reads one text of a strategy and tells which of its claims the evidence does not prove."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Final

from serving.strategies.checking import claims
from serving.strategies.checking.claims import Number, grammar_of
from serving.strategies.checking.measures import Measure, aimed, in_unit, measures, proves, ranked
from serving.strategies.checking.names import Names, Words
from serving.strategies.checking.passages import CITATION, Passage, TrustedTexts
from serving.strategies.schemas import Evidence, Fact, RankedItem, Strategy
from serving.strategies.untrusted import ADVICE, OTHER_SCRIPTS, Echoes, foreign_words, hidden_characters, offences

CALENDAR_DAYS: Final = 14
WINDOW_HOURS: Final = 4.0
_SENTENCE = re.compile(r"(?<=[.!?…])[ \t]+|\n+")
_CITED_LATE = re.compile(r"([.!?…])((?:\s*\[[ET]\d+(?:\s*[,;]\s*[ET]\d+)*\s*\])+)")
_UTC = re.compile(r"\b(?:UTC|GMT)\s?([+\-−±]?\s?\d{1,2}(?::?\d{2})?)", re.IGNORECASE)
_DIGIT = re.compile(r"\d")
_ID = re.compile(r"[ET]\d+")
_WRITTEN = re.compile(r"\w{2}")


@dataclass
class Findings:
    """What one text claims, and what of it failed."""

    claims: int = 0
    faults: list[str] = field(default_factory=list)

    def judge(self, proven: bool, said: str, why: str) -> None:
        """Count a claim; keep it where it failed."""
        self.claims += 1
        if not proven:
            self.faults.append(f"«{said.strip()}»: {why}")


class Reader:
    """Proves the texts of one strategy against one evidence, in the language that the strategy says it is in."""

    def __init__(self, strategy: Strategy, evidence: Evidence, trusted: TrustedTexts) -> None:
        self._strategy, self._evidence, self._trusted = strategy, evidence, trusted
        self._grammar = grammar_of(strategy.locale)
        self._facts = {fact.id: fact for fact in evidence.facts}
        self._measures: dict[str, tuple[Measure, ...]] = {}
        self._items = {item.id: item for item in evidence.items}
        self._keys = frozenset(item.key for item in evidence.items)
        self._names = Names(evidence, trusted.words, words_of(strategy.locale))
        self._echoes = Echoes(self._names.untrusted, self._names.free_words)
        self._planned = {day.day for day in strategy.calendar}
        self._weekdays = {day.day.weekday() for day in strategy.calendar if day.play is not None}
        self._is_latin = strategy.locale[:2] not in OTHER_SCRIPTS

    def read(self, passage: Passage) -> Findings:
        """Every claim of a text."""
        found = Findings()
        if hidden_characters(passage.text):
            found.judge(False, passage.text[:40], "carries hidden characters or mixed alphabets")
        plain = passage.text if passage.text.isascii() else unicodedata.normalize("NFKC", passage.text)
        text = self._grammar.broken_date.sub(".\u00a0", self._trusted.masked(plain))
        if not text.strip():
            return found
        self._judge_manners(passage, text, found)
        for sentence in _sentences(self._names.shielded(text)):
            self._judge_sentence(passage, sentence, found)
        return found

    def _judge_manners(self, passage: Passage, text: str, found: Findings) -> None:
        """No links, no roles, no words to a machine, no harmful advice, no titles obeyed instead of named."""
        for said, why in offences(CITATION.sub(" ", text)):
            found.judge(False, said, why)
        if advice := ADVICE.search(text) or self._grammar.advice.search(text):
            found.judge(False, advice[0], "is advice that no evidence supports")
        plain = self._names.prose(passage, text)
        if self._is_latin and (foreign := foreign_words(plain)):
            found.judge(False, foreign, "is not in the script of the locale, and names no item")
        for phrase in self._echoes.of(plain):
            found.judge(False, phrase, "repeats untrusted text without naming an item")
        if self._strategy.writer != "vertex" or not (passage.form == "report" or "steps" in passage.name):
            return
        for sentence in _sentences(text):
            if _WRITTEN.search(sentence) and not CITATION.search(sentence):
                found.judge(False, sentence[:60], "is no text of the library and cites nothing")

    def _judge_sentence(self, passage: Passage, sentence: str, found: Findings) -> None:
        cited = [name for group in CITATION.findall(sentence) for name in _ID.findall(group)]
        self._judge_citations(passage, sentence, cited, found)
        items = [self._items[name] for name in cited if name in self._items]
        rest = self._names.judge(passage, sentence, found.judge)
        has_digits = _DIGIT.search(rest) is not None
        if not has_digits and not self._grammar.told_by_words.search(rest) and not self._names_a_time(rest):
            return
        facts = [self._facts[name] for name in cited if name in self._facts]
        if passage.play is not None and not facts:
            facts = [self._facts[name] for name in passage.play.facts if name in self._facts]
        rest = self._judge_dates(passage, rest, facts, found)
        rest = self._judge_times(rest, facts, found)
        self._judge_numbers(passage, rest, facts, items, found)

    def _names_a_time(self, text: str) -> bool:
        return self._grammar.weekday.search(text) is not None or self._grammar.time.search(text) is not None

    def _judge_citations(self, passage: Passage, sentence: str, cited: Sequence[str], found: Findings) -> None:
        play = passage.play
        for name in cited:
            known = name in self._facts or name in self._items
            found.judge(known, f"[{name}]", "no such evidence")
            if play is not None and known:
                found.judge(name in play.facts or name in play.items, f"[{name}]", "is not in the lists of its play")
        self._judge_subjects(sentence, cited, found)

    def _judge_subjects(self, sentence: str, cited: Sequence[str], found: Findings) -> None:
        """A fact of one trend must not stand beside another trend's name."""
        subjects = [(name, self._facts[name].subject) for name in cited if name in self._facts]
        subjects = [(name, subject) for name, subject in subjects if subject in self._keys]
        if not subjects:
            return
        named = {self._items[n].key for n in cited if n in self._items}
        named |= {item.key for item in self._names.mentioned(sentence)}
        for name, subject in subjects if named else ():
            found.judge(subject in named, f"[{name}]", f"is of {subject}, which the sentence does not name")

    def _judge_dates(self, passage: Passage, text: str, facts: Sequence[Fact], found: Findings) -> str:
        proven = {f.value for f in facts if isinstance(f.value, date)}
        start, grammar = self._evidence.as_of.date(), self._grammar
        for match in grammar.date.finditer(text):
            day = grammar.dated(match, start)
            planned = day is not None and self._is_planned(day) and not (proven and grammar.past.search(text))
            known = day in proven or day == start or any(f.as_of.date() == day for f in facts) or planned
            if proven and not planned and day != start:
                known = day in proven
            found.judge(known, match[0], "no cited fact has this date")
            text = _blank(text, match)
        for match in grammar.month_year.finditer(text):
            known = any(self._is_in(match, day) for day in {start, *proven, *(f.as_of.date() for f in facts)})
            found.judge(known, match[0], "no cited fact is of this time")
            text = _blank(text, match)
        return self._judge_weekdays(passage, text, facts, found)

    def _is_in(self, match: re.Match[str], day: date) -> bool:
        if match["y2"]:
            return int(match["y2"]) == day.year
        return int(match["y"]) == day.year and self._grammar.month(match["n"]) == day.month

    def _is_planned(self, day: date) -> bool:
        start = local_day(self._evidence)
        return day in self._planned and start <= day <= start + timedelta(days=CALENDAR_DAYS)

    def _judge_weekdays(self, passage: Passage, text: str, facts: Sequence[Fact], found: Findings) -> str:
        for match in self._grammar.weekday.finditer(text):
            known = self._grammar.weekday_of(match) in self._known_weekdays(passage, facts)
            found.judge(known, match[0], "no cited fact or planned day is on this weekday")
            text = _blank(text, match)
        return text

    def _known_weekdays(self, passage: Passage, facts: Sequence[Fact]) -> set[int]:
        told = {int(f.value) for f in facts if f.unit == "weekday" and not isinstance(f.value, date)}
        told |= {f.value.weekday() for f in facts if isinstance(f.value, date)}
        if passage.day is not None:
            return told | {passage.day.day.weekday()}
        if passage.play is None:
            return told | self._weekdays
        plays = self._strategy.plays
        own = (day for day in self._strategy.calendar if day.play and plays[day.play - 1 : day.play] == (passage.play,))
        return told | {day.day.weekday() for day in own}

    def _judge_times(self, text: str, facts: Sequence[Fact], found: Findings) -> str:
        offset = self._evidence.utc_offset_hours
        for match in _UTC.finditer(text):
            found.judge(_offset(match[1]) == offset, match[0], "is not the creator's UTC offset")
            text = _blank(text, match)
        known = {float(f.value) % 24 for f in facts if f.unit == "hour of day" and not isinstance(f.value, date)}
        start: float | None = None
        for match in self._grammar.time.finditer(text):
            if match["h3"] and not known:
                continue  # a length such as «3 heures», which is read as a number
            for hour in (h % 24 for h in claims.hours(match)):
                proven = any(abs(hour - k) < 0.51 / 60 for k in known)
                ends = start is not None and 0 < (hour - start) % 24 <= WINDOW_HOURS
                found.judge(proven or ends, match[0], "no cited fact has this hour")
                start = hour if proven else start
            text = _blank(text, match)
        return text

    def _judge_numbers(
        self, passage: Passage, text: str, facts: Sequence[Fact], items: Sequence[RankedItem], found: Findings
    ) -> None:
        pool = [m for fact in facts for m in self._measures_of(fact)] + [ranked(item) for item in items]
        if passage.play is not None and passage.play.target is not None:
            pool += aimed(passage.play.target)
        text = self._judge_pairs(text, pool, found)
        for match in self._grammar.multiple.finditer(text):
            found.judge(self._is_multiple(match, pool, text), match[0], "no cited fact is such a ratio")
            text = _blank(text, match)
        for match in self._grammar.fraction.finditer(text):
            share = self._grammar.fractions[match[1].lower()]
            near = any(m.unit == "share" and abs(m.value - share) <= 0.05 for m in pool)
            found.judge(near, match[0], "no cited fact is such a share")
            text = _blank(text, match)
        text = CITATION.sub(lambda m: " " * len(m[0]), text)
        for told in self._grammar.numbers(text):
            proven = self._is_own(passage, told, text) or any(proves(m, told, text) for m in pool)
            found.judge(proven, told.said, _why(told, pool))

    def _measures_of(self, fact: Fact) -> tuple[Measure, ...]:
        if fact.id not in self._measures:
            self._measures[fact.id] = tuple(measures(fact))
        return self._measures[fact.id]

    def _judge_pairs(self, text: str, pool: Sequence[Measure], found: Findings) -> str:
        """Ranges must be both ends of one interval; odds must be a share."""
        grammar = self._grammar
        for match in grammar.range.finditer(text):
            before = text[max(0, match.start() - claims.CONTEXT_BEFORE) : match.start()]
            if grammar.and_.fullmatch(match["link"]) and not grammar.between.search(before):
                continue
            pairs = [p for p in pairwise(pool) if p[0].fact == p[1].fact and p[0].value <= p[1].value]
            proven = any(
                proves(a, low, text, False) and proves(b, high, text, False)
                for low, high in grammar.ends(match, text)
                for a, b in pairs
            )
            found.judge(proven, match[0], "is not both ends of one cited interval")
            text = _blank(text, match)
        for match in grammar.odds.finditer(text):
            part, whole = grammar.amount(match[1]), grammar.amount(match[2])
            shares = [m.value for m in pool if m.unit == "share"]
            counts = {m.value for m in pool if m.unit == "count"}
            proven = any(abs(s - part / whole) <= 0.5 / whole for s in shares if whole) or {part, whole} <= counts
            found.judge(proven, match[0], "no cited fact is such a share")
            text = _blank(text, match)
        return text

    def _is_multiple(self, match: re.Match[str], pool: Sequence[Measure], text: str) -> bool:
        """Doubled is 2 within a tenth; more than doubled is between 2 and 3; nearly doubled just below."""
        ratio = self._grammar.ratio(match[0])
        shown = f"{ratio:g}".replace(".", self._grammar.decimal)
        told = self._grammar.read(shown, "x", 0, shown + "x")
        before = text[max(0, match.start() - claims.CONTEXT_BEFORE) : match.start()]
        low, high = ratio * 0.9, ratio * 1.1
        if self._grammar.over.search(before):
            low, high = ratio, ratio + 1
        elif self._grammar.under.search(before):
            low, high = ratio * 0.8, ratio
        return any(low <= value <= high for m in pool if m.unit != "count" for value in in_unit(m, told))

    def _is_own(self, passage: Passage, told: Number, text: str) -> bool:
        """Whether a number only counts what the strategy itself holds."""
        value, plays = told.readings[0], len(self._strategy.plays)
        if place := self._grammar.place.search(text[: told.start]):
            steps = len(passage.play.steps) if passage.play else 0
            most = {"play": plays, "day": CALENDAR_DAYS, "step": steps}[place.lastgroup or "step"]
            return told.unit == "" and 1 <= value <= most
        if told.unit in ("days", "weeks"):
            return (value * (7 if told.unit == "weeks" else 1)) == CALENDAR_DAYS
        what = self._grammar.own.match(told.after) if told.unit == "" else None
        return what is not None and value in self._own_counts(what.lastgroup or "", text)

    def _own_counts(self, name: str, text: str) -> set[int]:
        plays, items = len(self._strategy.plays), len(self._evidence.items)
        sounds = sum(item.kind == "sound" for item in self._evidence.items)
        if name == "post":
            posts = sum(day.play is not None for day in self._strategy.calendar)
            return set() if self._grammar.not_own.search(text) else {plays, posts}
        own = {"play": {plays}, "item": {items}, "trend": {items}, "sound": {sounds}, "hashtag": {items - sounds}}
        return own.get(name, {len(play.steps) for play in self._strategy.plays} if name == "step" else set())


@lru_cache(maxsize=64)
def words_of(locale: str) -> Words:
    """The words for people and songs of a tag's language."""
    return Words(grammar_of(locale).reading)


def local_day(evidence: Evidence) -> date:
    """The creator's own date as of the evidence."""
    return (evidence.as_of + timedelta(hours=evidence.utc_offset_hours)).date()


@lru_cache(maxsize=2048)
def _sentences(text: str) -> tuple[str, ...]:
    joined = _CITED_LATE.sub(r"\2\1", text)
    return tuple(sentence for sentence in _SENTENCE.split(joined) if sentence.strip())


def _why(told: Number, pool: Sequence[Measure]) -> str:
    if not pool:
        return "is a number without a cited fact"
    shown = ", ".join(f"{m.fact} {m.value:g} {m.unit}" for m in pool[:4])
    return f"is not what is cited ({shown})"


def _offset(said: str) -> float:
    digits = re.sub(r"[^\d:]", "", said)
    hours, _, minutes = (
        digits.partition(":") if ":" in digits else (digits[:-2] or digits, "", digits[-2:] if len(digits) > 2 else "0")
    )
    return (-1 if re.search("[-−]", said) else 1) * (float(hours) + float(minutes or 0) / 60)


def _blank(text: str, match: re.Match[str]) -> str:
    return text[: match.start()] + " " * len(match[0]) + text[match.end() :]
