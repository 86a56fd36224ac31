"""The claims of a text: numbers, ranges, dates, times, weekdays and ratio words, each with its unit and place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Final, Literal, cast

from serving.strategies.locales import ENGLISH, Reading, code_of, load_locale, pairs

ClaimUnit = Literal[
    "", "share", "points", "ratio", "days", "weeks", "months", "hours", "minutes", "seconds", "sigma", "rank"
]
CONTEXT_BEFORE: Final = 28
CONTEXT_AFTER: Final = 48
NUMBERED: Final = "numbered"
_NEVER: Final = "(?!)"
_DIGITS = r"\d{1,3}(?:[,.'\u00a0\u202f ]\d{3})+(?:[.,]\d+)?(?!\d)|\d+(?:[.,]\d+)?"
_SIGN = r"(?:(?<![\w\d%])[+\-−])?"
_DASHES = "–|—|-"
_NO_DIGIT = re.compile(r"\D")
_SPACING = re.compile(r"['\u00a0\u202f ]")
_BY_POINT = re.compile(r"\d{1,3}(?:,\d{3})*(?:\.\d+)?|\d+(?:\.\d+)?")
_BY_COMMA = re.compile(r"\d{1,3}(?:\.\d{3})*(?:,\d+)?|\d+(?:,\d+)?")
_RANKED = re.compile(r"(?:#|rank(?:ed|s)?(?: number)?|number|no\.)\s*$")
_GAP = r"[^\w.,:;!?…–—]"
"""What may lie between a number and its noun."""
_CLOCK = r"[01]?\d|2[0-4]"


@dataclass(frozen=True)
class Number:
    """A number as a text shows it.

    Attributes:
        readings: what the digits may mean, most likely first, in `unit`.
        step: half of the last shown place, in `unit`: how far rounding may have moved it.
        round_to: the place of the last digit that is not zero, e.g. 100 for 1,200.
        before, after: the words around it, in lower case.
        grammar: of the language it is told in.
    """

    said: str
    start: int
    end: int
    readings: tuple[float, ...]
    step: float
    round_to: float
    unit: ClaimUnit
    signed: bool
    before: str
    after: str
    grammar: Grammar

    @property
    def is_about(self) -> bool:
        """Whether it is told as approximate."""
        return self.grammar.about.search(self.before) is not None

    @property
    def is_lower_bound(self) -> bool:
        """Whether it is told as exceeded."""
        return self.grammar.over.search(self.before) is not None

    @property
    def is_upper_bound(self) -> bool:
        """Whether it is told as not reached."""
        return self.grammar.under.search(self.before) is not None


class Grammar:
    """How claims are told in one language.

    Args:
        reading: its words.
        decimal: its decimal mark.
        is_known: False where these are not the language's own words: then digits may be read in both ways, and words
            that tell a direction are not looked for.
    """

    def __init__(self, reading: Reading, decimal: str, is_known: bool = True) -> None:
        self.reading, self.decimal, self.is_known = reading, decimal, is_known
        units = ((word, unit) for unit, told in reading.units.items() for word in told.split("|"))
        self.units = {_plain(word): cast(ClaimUnit, unit) for word, unit in units}
        self._scales, self.words = pairs(reading.scales), pairs(reading.number_words)
        self.multiples, self.fractions = pairs(reading.multiples), pairs(reading.fractions)
        self._compile_numbers()
        self._compile_dates()
        self._compile_words()

    def _compile_numbers(self) -> None:
        scales = _longest(self._scales)
        after = rf"(?:\s?(?:{_longest(self.units)})(?!\w))?"
        one = rf"{_SIGN}\s?(?:{_DIGITS})(?:\s?(?:{scales})(?!\w))?"
        words, reading = _longest(self.words), self.reading
        self.number = re.compile(rf"(?<![\w.,])(?P<n>{one})(?P<u>{after})", re.I)
        self.range = re.compile(
            rf"(?<![\w.,])(?P<a>{one})(?P<ua>\s?%)?\s?(?P<link>{_DASHES}|(?<!\w)(?:{reading.range})(?!\w))\s?(?P<b>{one})"
            rf"(?P<u>{after})",
            re.I,
        )
        self.scale_end = re.compile(rf"\s?(?:{scales})$", re.I)
        self.word = re.compile(rf"\b(?P<n>{words})(?:[- ](?P<s>{scales}|hundred))?(?P<u>{after})(?!\w)", re.I)
        self.odds = re.compile(rf"\b(\d+|one|{words}) {reading.odds}(\d+|{words})\b", re.I)
        self.multiple = re.compile(rf"\b(?:{'|'.join(self.multiples)})(?!\w)", re.I)
        fraction_after = rf"\s+(?:{reading.fraction_after})\b" if reading.fraction_after else ""
        self.fraction = re.compile(rf"\b({_longest(self.fractions)}){fraction_after}(?!\w)", re.I)
        self._one = re.compile(rf"\s*([+\-−]?)\s?({_DIGITS})\s?(.*)", re.I | re.S)
        self.told_by_words = re.compile(
            "|".join(part.pattern for part in (self.multiple, self.fraction)) + rf"|\b(?:{words})(?!\w)", re.I
        )

    def _compile_dates(self) -> None:
        reading = self.reading
        self._months = tuple(re.compile(part, re.I) for part in reading.months.split())
        numbered = reading.months == NUMBERED
        month = r"\d{1,2}" if numbered else "|".join(reading.months.split())
        year = rf"(?:,?\s+{reading.year_link}(?P<y2>\d{{4}}))?"
        between = reading.date_link if numbered else rf"{reading.ordinal}\s+{reading.date_link}"
        month_first = _NEVER if numbered else (
            rf"\b(?P<n3>{month})\.?\s+(?P<d3>\d{{1,2}})(?:st|nd|rd|th)?(?![\d%:])\b(?:,?\s+(?P<y3>\d{{4}}))?"
        )  # fmt: skip
        self.date = re.compile(
            rf"\b(?P<y>\d{{4}})-(?P<m>\d{{1,2}})-(?P<d>\d{{1,2}})\b"
            rf"|\b(?P<d2>\d{{1,2}}){between}(?P<n2>{month})\b\.?{year}|{month_first}"
            r"|\b(?P<d4>\d{1,2})[./](?P<m4>\d{1,2})[./](?P<y4>\d{2,4})\b"
            r"|\b(?P<y5>\d{4})/(?P<m5>\d{1,2})/(?P<d5>\d{1,2})\b",
            re.I,
        )
        named = rf"{reading.date_link}(?P<n>{month})" if numbered else rf"\b(?P<n>{month})"
        self.month_year = re.compile(
            rf"{named}\.?\s+{reading.year_link}(?P<y>\d{{4}})\b|\b(?:{reading.since})\s+(?P<y2>(?:19|20)\d\d)\b", re.I
        )
        self.broken_date = re.compile(_NEVER if numbered else rf"(?<=\d)\.[ \t]+(?=(?:{month})\b)", re.I)
        self._days = tuple(re.compile(part, re.I) for part in reading.weekdays.split())
        self._short_days = tuple(re.compile(rf"{part}\.?") for part in reading.short_weekdays.split())
        short = rf"|\b(?:{'|'.join(reading.short_weekdays.split())})\b\.?" if reading.short_weekdays else ""
        self.weekday = re.compile(rf"\b(?i:{'|'.join(reading.weekdays.split())})\b{short}")
        self.time = re.compile(
            rf"(?<![\d:])(?P<h>{_CLOCK}):(?P<m>[0-5]\d)(?:\s?(?P<p>[ap]\.?m\.?))?(?!\d)"
            r"|(?<![\d:.,])(?P<h2>1[0-2]|0?[1-9])(?:\s?[–-]\s?(?P<e2>1[0-2]|0?[1-9]))?\s?(?P<p2>[ap]\.?m\.?)(?!\w)"
            rf"|(?<!\w)(?P<noon>{reading.noon or _NEVER})(?!\w)|(?<!\w)(?P<midnight>{reading.midnight or _NEVER})(?!\w)"
            rf"|(?<![\w.,])(?P<h3>{_CLOCK})(?:[.:](?P<m3>[0-5]\d))?\s?(?:{reading.hour_word})(?:\s?(?P<m4>[0-5]\d))?(?!\w)"
            rf"|(?<!\w)(?:{reading.hour_before or _NEVER})\s+(?P<h5>{_CLOCK})(?:[.:](?P<m5>[0-5]\d))?(?!\d|[.,:]\d)",
            re.I,
        )

    def _compile_words(self) -> None:
        reading = self.reading
        self.about = re.compile(rf"(?:(?<!\w)(?:{reading.about})|~|≈)\s*$", re.I)
        self.over = re.compile(rf"(?:(?<!\w)(?:{reading.over})|>|≥)\s*$", re.I)
        self.under = re.compile(rf"(?:(?<!\w)(?:{reading.under})|<|≤)\s*$", re.I)
        self.down = re.compile(rf"\b(?:{reading.down})\b", re.I)
        self.up = re.compile(rf"\b(?:{reading.up})\b", re.I)
        self.interval = re.compile(reading.interval, re.I)
        self.level_of = re.compile(rf"\s*(?:{reading.level_of})\b", re.I)
        self.comparative = re.compile(rf"\s*(?:{reading.comparative})\b", re.I)
        self.past = re.compile(rf"\b(?:{reading.past})\b", re.I)
        self.between = re.compile(rf"\b(?:{reading.between})\s*$", re.I)
        self.and_ = re.compile(rf"(?:{reading.and_})", re.I)
        nouns = "|".join(rf"(?P<{name}>{told})" for name, told in reading.nouns.items())
        self.noun = re.compile(rf"{_GAP}*(?:[^\W\d_]+{_GAP}+)??(?:{nouns})(?!\w)", re.I)
        own = "|".join(rf"(?P<{name}>{told})" for name, told in reading.own.items())
        self.own = re.compile(rf"\s*(?:{own})(?!\w)", re.I)
        places = "|".join(rf"(?P<{name}>{reading.own[name]})" for name in ("play", "step", "day"))
        self.place = re.compile(rf"\b(?:{places})\s+$", re.I)
        self.not_own = re.compile(rf"\b(?:{reading.not_own})\b", re.I)
        self.advice = re.compile(reading.advice or _NEVER, re.I)

    def numbers(self, text: str) -> Iterator[Number]:
        """Every number of a text, by digits and by words."""
        for match in self.number.finditer(text):
            yield self.read(match["n"], match["u"], match.start(), text)
        for match in self.word.finditer(text):
            yield self.word_number(match, text)

    def read(self, said: str, unit: str, start: int, text: str, end: int | None = None) -> Number:
        """The number that starts on this place of a text, with its unit's spelling."""
        stop = end if end is not None else start + len(said) + len(unit)
        found = self._one.match(said)
        assert found is not None
        sign, digits = found[1], found[2]
        scale = self._scales.get(_plain(found[3]), 1.0)
        readings = self._readings(digits)
        values = tuple((-v if sign and sign != "+" else v) * scale for v, _ in readings)
        decimals = readings[0][1]
        bare = _NO_DIGIT.sub("", digits)
        zeros = len(bare) - len(bare.rstrip("0")) if decimals == 0 and bare.strip("0") else 0
        name = self.units.get(_plain(unit), "")
        before = text[max(0, start - CONTEXT_BEFORE) : start].lower()
        if not name and _RANKED.search(before):
            name = "rank"
        place: float = scale * 10.0**-decimals
        return Number(
            (said + unit).strip(), start, stop, values, place / 2, place * 10.0**zeros, name, bool(sign),
            before, text[stop : stop + CONTEXT_AFTER].lower(), self,
        )  # fmt: skip

    def word_number(self, found: re.Match[str], text: str) -> Number:
        """The number that a word names."""
        said = _plain(found["s"] or "")
        scale = 100.0 if said == "hundred" else self._scales.get(said, 1.0)
        value = self.words[_plain(found["n"])] * scale
        before = text[max(0, found.start() - CONTEXT_BEFORE) : found.start()].lower()
        after = text[found.end() : found.end() + CONTEXT_AFTER].lower()
        unit = self.units.get(_plain(found["u"]), "")
        return Number(
            found[0], found.start(), found.end(), (value,), 0.5 * scale, scale, unit, False, before, after, self
        )

    def ends(self, match: re.Match[str], text: str) -> Iterator[tuple[Number, Number]]:
        """Both ends of a match of `range`, as they may be meant: a scale behind the second may be the first one's."""
        high = self.read(match["b"], match["u"], match.start("b"), text, match.end())
        yield self.read(match["a"], match["u"], match.start(), text, match.end()), high
        scale = self.scale_end.search(match["b"])
        if scale and match["a"][-1:].isdigit():
            yield self.read(match["a"] + scale[0], match["u"], match.start(), text, match.end()), high

    def amount(self, word: str) -> float:
        """The value of a whole number told by digits or by a word."""
        return float(word) if word.isdigit() else self.words.get(_plain(word), 1.0)

    def ratio(self, said: str) -> float:
        """What a match of `multiple` multiplies by."""
        return next(value for part, value in self.multiples.items() if re.fullmatch(part, said, re.I))

    def dated(self, found: re.Match[str], near: date) -> date | None:
        """The date of a match of `date`; without a year, the one nearest to `near`; None for a day that is none."""
        part = {name.rstrip("2345"): value for name, value in found.groupdict().items() if value}
        month = self.month(part["n"]) if "n" in part else int(part["m"])
        years = (near.year, near.year - 1, near.year + 1)
        if "y" in part:
            years = (int(part["y"]) + (2000 if len(part["y"]) == 2 else 0),) * 3
        days = [made for year in years if (made := _made(year, month, int(part["d"])))]
        return min(days, key=lambda day: abs((day - near).days), default=None)

    def month(self, name: str) -> int:
        """The month of its name or number."""
        if name.isdigit():
            return int(name)
        return next(n for n, month in enumerate(self._months, start=1) if month.fullmatch(name))

    def weekday_of(self, found: re.Match[str]) -> int:
        """The weekday of a match of `weekday`, 0 for Monday."""
        for names in (self._days, self._short_days):
            for place, name in enumerate(names):
                if name.fullmatch(found[0]):
                    return place
        raise AssertionError(found[0])

    def _readings(self, digits: str) -> list[tuple[float, int]]:
        """(value, decimals) that the digits may stand for: who writes a decimal comma is told by the language."""
        plain = _SPACING.sub("", digits)
        point, comma = _BY_POINT.fullmatch(plain), _BY_COMMA.fullmatch(plain)
        by_point = [_read(plain.replace(",", ""))] if point else []
        by_comma = [_read(plain.replace(".", "").replace(",", "."))] if comma else []
        own, other = (by_point, by_comma) if self.decimal == "." else (by_comma, by_point)
        told = (own or other) if self.is_known else own + other
        return told or [_read(_NO_DIGIT.sub("", plain))]


@lru_cache(maxsize=64)
def grammar_of(locale: str) -> Grammar:
    """The grammar of a tag's language; of one that is not shipped, English words in which a comma may be decimal."""
    code = code_of(locale)
    found = load_locale(code or ENGLISH)
    return Grammar(found.reading, found.decimal if code else ",", code is not None)


def hours(found: re.Match[str]) -> Iterator[float]:
    """The hours of day, 0 to 24, of a match of `Grammar.time`: one, or both ends of a range told with one am or pm."""
    if found["noon"] or found["midnight"]:
        yield 12.0 if found["noon"] else 0.0
        return
    half = (found["p"] or found["p2"] or "").lower()[:1]
    minutes = next((float(found[name]) for name in ("m", "m3", "m4", "m5") if found[name]), 0.0)
    for told in (found["h"] or found["h2"] or found["h3"] or found["h5"], found["e2"]):
        if told:
            yield (float(told) % 12 + 12 * (half == "p") if half else float(told)) + minutes / 60


def _made(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _read(text: str) -> tuple[float, int]:
    return float(text), len(text.partition(".")[2])


def _plain(word: str) -> str:
    return word.strip().lower()


def _longest(words: object) -> str:
    """Alternatives, longest first; `Never` where there are none."""
    found = sorted((re.escape(str(word)) for word in words), key=len, reverse=True)  # type: ignore[attr-defined]
    return "|".join(found) or _NEVER
