"""The claims of a text: numbers, ranges, dates, times, weekdays and ratio words, each with its unit and place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal

ClaimUnit = Literal[
    "", "share", "points", "ratio", "days", "weeks", "months", "hours", "minutes", "seconds", "sigma", "rank"
]
_WORDS = (
    "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
    "nineteen twenty"
)
NUMBER_WORDS: Final = {word: float(n) for n, word in enumerate(_WORDS.split(), start=2)}
_TENS = "thirty forty fifty sixty seventy eighty ninety"
NUMBER_WORDS.update({word: 10.0 * n for n, word in enumerate(_TENS.split(), start=3)})
NUMBER_WORDS.update({"dozen": 12.0, "hundred": 100.0})
MULTIPLES: Final = {"double": 2.0, "triple": 3.0, "quadruple": 4.0, "halve": 0.5, "twice": 2.0, "thrice": 3.0}
FRACTIONS: Final = {"half": 0.5, "a third": 1 / 3, "a quarter": 0.25, "two thirds": 2 / 3, "three quarters": 0.75}
SCALES: Final = {"k": 1e3, "thousand": 1e3, "m": 1e6, "mn": 1e6, "million": 1e6, "b": 1e9, "bn": 1e9, "billion": 1e9}
WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS: Final = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
UNITS: Final[dict[str, ClaimUnit]] = {
    "%": "share", "percent": "share", "per cent": "share", "prozent": "share", "por ciento": "share",
    "pp": "points", "points": "points", "point": "points", "percentage": "points",
    "×": "ratio", "x": "ratio", "times": "ratio", "-fold": "ratio", "fold": "ratio",
    "day": "days", "days": "days", "-day": "days", "d": "days", "week": "weeks", "weeks": "weeks", "-week": "weeks",
    "month": "months", "months": "months", "hour": "hours", "hours": "hours", "-hour": "hours", "h": "hours",
    "minute": "minutes", "minutes": "minutes", "min": "minutes", "-minute": "minutes",
    "second": "seconds", "seconds": "seconds", "-second": "seconds", "s": "seconds", "sec": "seconds",
    "σ": "sigma", "sigma": "sigma", "standard deviations": "sigma",
    "st": "rank", "nd": "rank", "rd": "rank", "th": "rank",
}  # fmt: skip
_UNIT = "|".join(sorted((re.escape(u) for u in UNITS), key=len, reverse=True))
_DIGITS = r"\d{1,3}(?:[,.'\u00a0\u202f ]\d{3})+(?:[.,]\d+)?(?!\d)|\d+(?:[.,]\d+)?"
_SIGN = r"(?:(?<![\w\d%])[+\-−])?"
_SCALE = r"(?:\s?(?:thousand|million|billion|mn|bn|[kKMB])(?![\w]))?"
_AFTER = rf"(?:\s?(?:{_UNIT})(?![\w]))?"
_ONE = rf"{_SIGN}\s?(?:{_DIGITS}){_SCALE}"
NUMBER: Final = re.compile(rf"(?<![\w.,])(?P<n>{_ONE})(?P<u>{_AFTER})", re.IGNORECASE)
RANGE: Final = re.compile(
    rf"(?<![\w.,])(?P<a>{_ONE})(?P<ua>\s?%)?\s?(?:–|—|-|to|and|bis|à|a|und|y|et|e)\s?(?P<b>{_ONE})(?P<u>{_AFTER})",
    re.IGNORECASE,
)
_WORD_NUMBER = "|".join(NUMBER_WORDS)
WORD: Final = re.compile(rf"\b(?P<n>{_WORD_NUMBER})(?:[- ](?P<s>thousand|million|hundred))?(?P<u>{_AFTER})\b", re.I)
ODDS: Final = re.compile(rf"\b(\d+|one|{_WORD_NUMBER}) (?:in|out of) (?:every )?(\d+|{_WORD_NUMBER})\b", re.IGNORECASE)
MULTIPLE: Final = re.compile(r"\b(doubl|tripl|quadrupl|halv)(?:e|es|ed|ing)\b|\b(twice|thrice)\b", re.IGNORECASE)
FRACTION: Final = re.compile(r"\b(half|a third|a quarter|two thirds|three quarters) of\b", re.IGNORECASE)
_MONTH = "|".join(f"{m[:3]}(?:{m[3:]})?" if len(m) > 3 else m for m in MONTHS).replace("sep(?:", "sept?(?:")
_ORDINAL = r"(?:st|nd|rd|th)?"
DATE: Final = re.compile(
    rf"\b(?P<y>\d{{4}})-(?P<m>\d{{1,2}})-(?P<d>\d{{1,2}})\b|\b(?P<d2>\d{{1,2}}){_ORDINAL}\.?\s+(?:of\s+)?(?P<n2>{_MONTH})\b\.?(?:,?\s+(?P<y2>\d{{4}}))?"
    rf"|\b(?P<n3>{_MONTH})\.?\s+(?P<d3>\d{{1,2}}){_ORDINAL}(?![\d%:])\b(?:,?\s+(?P<y3>\d{{4}}))?"
    r"|\b(?P<d4>\d{1,2})[./](?P<m4>\d{1,2})[./](?P<y4>\d{2,4})\b|\b(?P<y5>\d{4})/(?P<m5>\d{1,2})/(?P<d5>\d{1,2})\b",
    re.IGNORECASE,
)
MONTH_YEAR: Final = re.compile(
    rf"\b(?P<n>{_MONTH})\.?\s+(?P<y>\d{{4}})\b|\b(?:in|since|of|by)\s+(?P<y2>(?:19|20)\d\d)\b", re.I
)
TIME: Final = re.compile(
    r"(?<![\d:])(?P<h>[01]?\d|2[0-4]):(?P<m>[0-5]\d)(?:\s?(?P<p>[ap]\.?m\.?))?(?!\d)"
    r"|(?<![\d:.,])(?P<h2>1[0-2]|0?[1-9])(?:\s?[–-]\s?(?P<e2>1[0-2]|0?[1-9]))?\s?(?P<p2>[ap]\.?m\.?)(?!\w)"
    r"|\b(?P<w>noon|midnight)\b|(?<![\w])(?P<h3>[01]?\d|2[0-4]) ?(?:Uhr|o'clock|heures?)\b",
    re.IGNORECASE,
)
WEEKDAY: Final = re.compile(
    r"\b(mon|tues|wednes|thurs|fri|satur|sun)days?\b|\b(Mon|Tue|Tues|Wed|Thu|Thurs|Fri|Sat|Sun)\b\.?", re.IGNORECASE
)
_ABOUT = re.compile(
    r"(?:about|around|roughly|approximately|some|nearly|almost|close to|circa|ca\.|~|≈)\s*$", re.IGNORECASE
)
_OVER = re.compile(r"(?:over|more than|at least|above|beyond|upwards of|>|≥)\s*$", re.IGNORECASE)
_UNDER = re.compile(r"(?:under|less than|fewer than|at most|below|up to|nearly|almost|<|≤)\s*$", re.IGNORECASE)


@dataclass(frozen=True)
class Number:
    """A number as a text shows it.

    Attributes:
        readings: what the digits may mean, most likely first, in `unit`.
        step: half of the last shown place, in `unit`: how far rounding may have moved it.
        round_to: the place of the last digit that is not zero, e.g. 100 for 1,200.
        after: the words behind it, in lower case.
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

    @property
    def is_about(self) -> bool:
        """Whether it is told as approximate."""
        return _ABOUT.search(self.before) is not None

    @property
    def is_lower_bound(self) -> bool:
        """Whether it is told as exceeded."""
        return _OVER.search(self.before) is not None

    @property
    def is_upper_bound(self) -> bool:
        """Whether it is told as not reached."""
        return _UNDER.search(self.before) is not None


def number(said: str, unit: str, start: int, text: str, english: bool, end: int | None = None) -> Number:
    """The number that starts on this place of a text, with its unit's spelling."""
    stop = end if end is not None else start + len(said) + len(unit)
    found = re.match(rf"\s*([+\-−]?)\s?({_DIGITS})\s?([a-z]*)", said, re.IGNORECASE)
    assert found is not None
    sign, digits, scale_word = found[1], found[2], found[3].lower()
    scale = SCALES.get(scale_word, 1.0)
    readings = _readings(digits, english)
    values = tuple((-v if sign and sign != "+" else v) * scale for v, _ in readings)
    decimals = readings[0][1]
    bare = re.sub(r"\D", "", digits)
    zeros = len(bare) - len(bare.rstrip("0")) if decimals == 0 and bare.strip("0") else 0
    name = UNITS.get(unit.strip().lower(), "")
    if not name and re.search(r"(?:#|rank(?:ed|s)?(?: number)?|number|no\.)\s*$", text[:start], re.IGNORECASE):
        name = "rank"
    place: float = scale * 10.0**-decimals
    return Number(
        (said + unit).strip(), start, stop, values, place / 2, place * 10.0**zeros, name, bool(sign),
        text[max(0, start - 24) : start].lower(), text[stop : stop + 48].lower(),
    )  # fmt: skip


def word_number(found: re.Match[str], text: str) -> Number:
    """The number that a word names."""
    scale = {"hundred": 100.0}.get((found["s"] or "").lower(), SCALES.get((found["s"] or "").lower(), 1.0))
    value = NUMBER_WORDS[found["n"].lower()] * scale
    unit = UNITS.get(found["u"].strip().lower(), "")
    before, after = text[max(0, found.start() - 24) : found.start()], text[found.end() : found.end() + 48]
    return Number(
        found[0], found.start(), found.end(), (value,), 0.5 * scale, scale, unit, False, before.lower(), after.lower()
    )


def amount(word: str) -> float:
    """The value of a whole number told by digits or by a word."""
    return float(word) if word.isdigit() else NUMBER_WORDS.get(word.lower(), 1.0)


def dated(found: re.Match[str], near: date) -> date | None:
    """The date of a match of `DATE`; without a year, the one nearest to `near`. None for a day that does not exist."""
    part = {name.rstrip("2345"): value for name, value in found.groupdict().items() if value}
    month = _month(part["n"]) if "n" in part else int(part["m"])
    years = (near.year, near.year - 1, near.year + 1)
    if "y" in part:
        years = (int(part["y"]) + (2000 if len(part["y"]) == 2 else 0),) * 3
    days = [made for year in years if (made := _made(year, month, int(part["d"])))]
    return min(days, key=lambda day: abs((day - near).days), default=None)


def hours(found: re.Match[str]) -> Iterator[float]:
    """The hours of day, 0 to 24, of a match of `TIME`: one, or both ends of a range told with one am or pm."""
    if found["w"]:
        yield 12.0 if found["w"].lower() == "noon" else 0.0
        return
    if found["h3"]:
        yield float(found["h3"])
        return
    half = (found["p"] or found["p2"] or "").lower()[:1]
    for told in (found["h"] or found["h2"], found["e2"]):
        if told:
            yield _clock(float(told), half) + float(found["m"] or 0) / 60


def weekday(found: re.Match[str]) -> int:
    """The weekday of a match of `WEEKDAY`, 0 for Monday."""
    return next(n for n, name in enumerate(WEEKDAYS) if name.startswith(found[0].lower().rstrip(".")[:3]))


def _clock(hour: float, half: str) -> float:
    return hour % 12 + 12 * (half == "p") if half else hour


def _month(name: str) -> int:
    return next(n for n, month in enumerate(MONTHS, start=1) if month.startswith(name.lower()[:3]))


def _made(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _readings(digits: str, english: bool) -> list[tuple[float, int]]:
    """(value, decimals) that the digits may stand for: who writes a decimal comma is told by the locale."""
    plain = re.sub(r"['\u00a0\u202f ]", "", digits)
    point = re.fullmatch(r"\d{1,3}(?:,\d{3})*(?:\.\d+)?|\d+(?:\.\d+)?", plain)
    comma = re.fullmatch(r"\d{1,3}(?:\.\d{3})*(?:,\d+)?|\d+(?:,\d+)?", plain)
    by_point = [_read(plain.replace(",", ""))] if point else []
    by_comma = [_read(plain.replace(".", "").replace(",", "."))] if comma else []
    told = (by_point or by_comma) if english else by_comma + by_point
    return told or [_read(re.sub(r"\D", "", plain))]


def _read(text: str) -> tuple[float, int]:
    return float(text), len(text.partition(".")[2])
