"""Reads one text of a strategy and tells which of its claims the evidence does not prove."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import pairwise
from typing import Final

from serving.strategies import claims
from serving.strategies.claims import Number
from serving.strategies.measures import Measure, aimed, in_unit, measures, proves, ranked
from serving.strategies.names import Names
from serving.strategies.passages import CITATION, Passage, TrustedTexts
from serving.strategies.schemas import Evidence, Fact, RankedItem, Strategy
from serving.strategies.untrusted import ADVICE, OTHER_SCRIPTS, echoes, foreign_words, hidden_characters, offences

CALENDAR_DAYS: Final = 14
WINDOW_HOURS: Final = 4.0
_SENTENCE = re.compile(r"(?<=[.!?…])[ \t]+|\n+")
_CITED_LATE = re.compile(r"([.!?…])((?:\s*\[[ET]\d+(?:\s*[,;]\s*[ET]\d+)*\s*\])+)")
_OWN = re.compile(
    r"\b(?P<what>plays?|steps?|days?|videos?|posts?|items?|sounds?|hashtags?|tags?|trends?)\b", re.IGNORECASE
)
_PLACE = re.compile(r"\b(play|step|day)s?\s+$", re.IGNORECASE)
_UTC = re.compile(r"\b(?:UTC|GMT)\s?([+\-−±]?\s?\d{1,2}(?::?\d{2})?)", re.IGNORECASE)
_PAST = re.compile(
    r"\b(was|were|had|peaked|started|began|rose|fell|grew|first seen|appeared|since|posted|used|ago)\b", re.I
)


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
    """Proves the texts of one strategy against one evidence."""

    def __init__(self, strategy: Strategy, evidence: Evidence, trusted: TrustedTexts) -> None:
        self._strategy, self._evidence, self._trusted = strategy, evidence, trusted
        self._facts = {fact.id: fact for fact in evidence.facts}
        self._items = {item.id: item for item in evidence.items}
        self._names = Names(evidence, trusted.words)
        self._english = strategy.locale.startswith("en")
        self._planned = {day.day for day in strategy.calendar}

    def read(self, passage: Passage) -> Findings:
        """Every claim of a text."""
        found = Findings()
        if hidden_characters(passage.text):
            found.judge(False, passage.text[:40], "carries hidden characters or mixed alphabets")
        text = self._trusted.masked(unicodedata.normalize("NFKC", passage.text))
        self._judge_manners(passage, text, found)
        text = self._names.shielded(text)
        for sentence in _sentences(text):
            self._judge_sentence(passage, sentence, found)
        return found

    def _judge_manners(self, passage: Passage, text: str, found: Findings) -> None:
        """No links, no roles, no words to a machine, no harmful advice, no titles obeyed instead of named."""
        for said, why in offences(CITATION.sub(" ", text)):
            found.judge(False, said, why)
        if advice := ADVICE.search(text):
            found.judge(False, advice[0], "is advice that no evidence supports")
        plain = self._names.prose(passage, text)
        if self._strategy.locale[:2] not in OTHER_SCRIPTS and (foreign := foreign_words(plain)):
            found.judge(False, foreign, "is not in the script of the locale, and names no item")
        for phrase in echoes(plain, self._names.untrusted, self._names.free_words):
            found.judge(False, phrase, "repeats untrusted text without naming an item")
        if passage.form != "public" and self._strategy.writer == "vertex" and not passage.name.startswith("calendar"):
            bare = [s for s in _sentences(text) if re.search(r"\w{2}", s) and not CITATION.search(s)]
            if passage.form == "report" or "steps" in passage.name:
                for sentence in bare:
                    found.judge(False, sentence[:60], "is no text of the library and cites nothing")

    def _judge_sentence(self, passage: Passage, sentence: str, found: Findings) -> None:
        cited = [name for group in CITATION.findall(sentence) for name in re.findall(r"[ET]\d+", group)]
        self._judge_citations(passage, sentence, cited, found)
        facts = [self._facts[name] for name in cited if name in self._facts]
        if passage.play is not None and not facts:
            facts = [self._facts[name] for name in passage.play.facts if name in self._facts]
        items = [self._items[name] for name in cited if name in self._items]
        rest = self._names.judge(passage, sentence, items, found.judge)
        rest = self._judge_dates(passage, rest, facts, found)
        rest = self._judge_times(rest, facts, found)
        self._judge_numbers(passage, rest, facts, items, found)

    def _judge_citations(self, passage: Passage, sentence: str, cited: Sequence[str], found: Findings) -> None:
        play = passage.play
        for name in cited:
            known = name in self._facts or name in self._items
            found.judge(known, f"[{name}]", "no such evidence")
            if play is not None and known:
                found.judge(name in play.facts or name in play.items, f"[{name}]", "is not in the lists of its play")
        self._judge_subjects(passage, sentence, cited, found)

    def _judge_subjects(self, passage: Passage, sentence: str, cited: Sequence[str], found: Findings) -> None:
        """A fact of one trend must not stand beside another trend's name."""
        named = {self._items[n].key for n in cited if n in self._items}
        named |= {item.key for item in self._names.mentioned(sentence)}
        keys = {item.key for item in self._evidence.items}
        for name in cited:
            subject = self._facts[name].subject if name in self._facts else ""
            if subject in keys and named:
                found.judge(subject in named, f"[{name}]", f"is of {subject}, which the sentence does not name")

    def _judge_dates(self, passage: Passage, text: str, facts: Sequence[Fact], found: Findings) -> str:
        proven = {f.value for f in facts if isinstance(f.value, date)}
        start = self._evidence.as_of.date()
        for match in claims.DATE.finditer(text):
            day = claims.dated(match, start)
            planned = day is not None and self._is_planned(day) and not (proven and _PAST.search(text))
            known = day in proven or day == start or any(f.as_of.date() == day for f in facts) or planned
            if proven and not planned and day != start:
                known = day in proven
            found.judge(known, match[0], "no cited fact has this date")
            text = _blank(text, match)
        for match in claims.MONTH_YEAR.finditer(text):
            known = any(_is_in(match, day) for day in {start, *proven, *(f.as_of.date() for f in facts)})
            found.judge(known, match[0], "no cited fact is of this time")
            text = _blank(text, match)
        return self._judge_weekdays(passage, text, facts, found)

    def _is_planned(self, day: date) -> bool:
        start = local_day(self._evidence)
        return day in self._planned and start <= day <= start + timedelta(days=CALENDAR_DAYS)

    def _judge_weekdays(self, passage: Passage, text: str, facts: Sequence[Fact], found: Findings) -> str:
        told = {int(f.value) for f in facts if f.unit == "weekday" and not isinstance(f.value, date)}
        told |= {f.value.weekday() for f in facts if isinstance(f.value, date)}
        if passage.day is not None:
            told.add(passage.day.day.weekday())
        for day in self._strategy.calendar:
            own = passage.play is None or (
                day.play and self._strategy.plays[day.play - 1 : day.play] == (passage.play,)
            )
            if day.play is not None and own and passage.day is None:
                told.add(day.day.weekday())
        for match in claims.WEEKDAY.finditer(text):
            found.judge(claims.weekday(match) in told, match[0], "no cited fact or planned day is on this weekday")
            text = _blank(text, match)
        return text

    def _judge_times(self, text: str, facts: Sequence[Fact], found: Findings) -> str:
        offset = self._evidence.utc_offset_hours
        for match in _UTC.finditer(text):
            found.judge(_offset(match[1]) == offset, match[0], "is not the creator's UTC offset")
            text = _blank(text, match)
        known = {float(f.value) % 24 for f in facts if f.unit == "hour of day" and not isinstance(f.value, date)}
        start: float | None = None
        for match in claims.TIME.finditer(text):
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
        pool = [m for fact in facts for m in measures(fact)] + [ranked(item) for item in items]
        if passage.play is not None and passage.play.target is not None:
            pool += aimed(passage.play.target)
        text = self._judge_pairs(text, pool, facts, found)
        for match in claims.MULTIPLE.finditer(text):
            found.judge(_is_multiple(match[0], pool, text), match[0], "no cited fact is such a ratio")
            text = _blank(text, match)
        for match in claims.FRACTION.finditer(text):
            share = claims.FRACTIONS[match[1].lower()]
            near = any(m.unit == "share" and abs(m.value - share) <= 0.05 for m in pool)
            found.judge(near, match[0], "no cited fact is such a share")
            text = _blank(text, match)
        for told in _numbers(text, self._english):
            proven = self._is_own(passage, told, text) or any(proves(m, told, text, self._english) for m in pool)
            found.judge(proven, told.said, _why(told, pool))

    def _judge_pairs(self, text: str, pool: Sequence[Measure], facts: Sequence[Fact], found: Findings) -> str:
        """Ranges must be both ends of one interval; odds must be a share."""
        for match in claims.RANGE.finditer(text):
            low, high = _ends(match, text, self._english)
            pairs = [p for p in pairwise(pool) if p[0].fact == p[1].fact and p[0].value <= p[1].value]
            if " and " in match[0] and not low.before.rstrip().endswith("between"):
                continue
            proven = any(proves(a, low, text, False) and proves(b, high, text, False) for a, b in pairs)
            found.judge(proven, match[0], "is not both ends of one cited interval")
            text = _blank(text, match)
        for match in claims.ODDS.finditer(text):
            part, whole = claims.amount(match[1]), claims.amount(match[2])
            shares = [m.value for m in pool if m.unit == "share"]
            counts = {m.value for m in pool if m.unit == "count"}
            proven = any(abs(s - part / whole) <= 0.5 / whole for s in shares if whole) or {part, whole} <= counts
            found.judge(proven, match[0], "no cited fact is such a share")
            text = _blank(text, match)
        return text

    def _is_own(self, passage: Passage, told: Number, text: str) -> bool:
        """Whether a number only counts what the strategy itself holds."""
        value = told.readings[0]
        plays = len(self._strategy.plays)
        if place := _PLACE.search(text[: told.start]):
            most = {"play": plays, "day": CALENDAR_DAYS}.get(
                place[1].lower(), len(passage.play.steps) if passage.play else 0
            )
            return told.unit == "" and 1 <= value <= most
        what = _OWN.match(told.after.strip()) if told.unit == "" else None
        if told.unit in ("days", "weeks"):
            return (value * (7 if told.unit == "weeks" else 1)) == CALENDAR_DAYS
        if what is None:
            return False
        name = what["what"].lower().rstrip("s")
        posts = sum(day.play is not None for day in self._strategy.calendar)
        own = {
            "play": {plays},
            "step": {len(p.steps) for p in self._strategy.plays},
            "item": {len(self._evidence.items)},
        }
        own |= {"video": {plays, posts}, "post": {plays, posts}} if not re.search("last|past|usual", text) else {}
        sounds = sum(item.kind == "sound" for item in self._evidence.items)
        own |= {
            "sound": {sounds},
            "hashtag": {len(self._evidence.items) - sounds},
            "trend": {len(self._evidence.items)},
        }
        return value in own.get(name, set())


def local_day(evidence: Evidence) -> date:
    """The creator's own date as of the evidence."""
    return (evidence.as_of + timedelta(hours=evidence.utc_offset_hours)).date()


def _sentences(text: str) -> list[str]:
    joined = _CITED_LATE.sub(r"\2\1", text)
    return [sentence for sentence in _SENTENCE.split(joined) if sentence.strip()]


def _numbers(text: str, english: bool) -> Iterator[Number]:
    text = CITATION.sub(lambda m: " " * len(m[0]), text)
    for match in claims.NUMBER.finditer(text):
        yield claims.number(match["n"], match["u"], match.start(), text, english)
    for match in claims.WORD.finditer(text):
        yield claims.word_number(match, text)


def _ends(match: re.Match[str], text: str, english: bool) -> tuple[Number, Number]:
    scale = re.search(r"\s?(?:thousand|million|billion|[kKMB])$", match["b"])
    low = match["a"] + (scale[0] if scale and not re.search(r"[A-Za-z]$", match["a"]) else "")
    first = claims.number(low, match["u"], match.start(), text, english, match.end())
    return first, claims.number(match["b"], match["u"], match.start("b"), text, english, match.end())


def _is_multiple(said: str, pool: Sequence[Measure], text: str) -> bool:
    """Doubled is 2 within a tenth; more than doubled is between 2 and 3; nearly doubled just below."""
    ratio = next(value for name, value in claims.MULTIPLES.items() if said.lower().startswith(name[:5]))
    told = claims.number(f"{ratio:g}", "x", 0, f"{ratio:g}x", True)
    before = text[: text.lower().find(said.lower())].lower().rstrip()
    low, high = ratio * 0.9, ratio * 1.1
    if before.endswith(("more than", "over")):
        low, high = ratio, ratio + 1
    elif before.endswith(("nearly", "almost")):
        low, high = ratio * 0.8, ratio
    return any(low <= value <= high for m in pool if m.unit != "count" for value in in_unit(m, told))


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


def _is_in(match: re.Match[str], day: date) -> bool:
    if match["y2"]:
        return int(match["y2"]) == day.year
    return int(match["y"]) == day.year and claims.MONTHS[day.month - 1].startswith(match["n"].lower()[:3])


def _blank(text: str, match: re.Match[str]) -> str:
    return text[: match.start()] + " " * len(match[0]) + text[match.end() :]
