"""What the evidence proves: the values of a fact in every unit that a text may tell them in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Final

from serving.strategies.claims import Number
from serving.strategies.schemas import Fact, RankedItem, Target, Unit

NOUNS: Final = {
    "follower": "follower", "view": "view", "like": "like", "comment": "comment", "share": "share", "save": "save",
    "creator": "creator|adopter|author|artist|people|user(?!s?_)", "post": "post|use|video|play|clip",
    "video": "post|use|video|play|clip", "use": "post|use|video|play|clip", "duet": "duet", "hour": "hour",
}  # fmt: skip
"""A noun behind a number → what the name of its fact must then speak of, where it speaks of any of these."""

_GROUPS: Final = {
    "follower",
    "view",
    "like",
    "comment",
    "save",
    "creator|adopter|author|artist|people|user(?!s?_)",
    "post|use|video|play|clip",
}
_DOWN = re.compile(
    r"\b(fell|fall\w*|down|drop\w*|declin\w*|los[est]\w*|less|fewer|shr[iau]nk\w*|decreas\w*|below|under|cool\w*|slow\w*|minus|behind|lower)\b",
    re.I,
)
_UP = re.compile(
    r"\b(gr[eo]w\w*|up|rose|ris\w*|gain\w*|more|increas\w*|climb\w*|faster|higher|above|double\w*|plus)\b", re.I
)
_INTERVAL = re.compile(r"interval|range|band|confiden|sure|likely|chance|intervall|intervalo", re.I)


@dataclass(frozen=True)
class Measure:
    """One value that the evidence holds.

    Attributes:
        name: of the fact it belongs to, `sample`, `window` or `level`.
    """

    value: float
    unit: Unit
    name: str
    fact: str


def measures(fact: Fact) -> Iterator[Measure]:
    """Every number that citing a fact allows: value, interval ends, sample size, and its name's window and level."""
    if not isinstance(fact.value, date):
        yield Measure(fact.value, fact.unit, fact.name, fact.id)
    for end in (fact.lo, fact.hi):
        if end is not None:
            yield Measure(end, fact.unit, fact.name, fact.id)
    if fact.sample is not None:
        yield Measure(float(fact.sample), "count", "sample", fact.id)
    for digits in re.findall(r"(?:^|_)(\d+)d(?=_|$)", fact.name):
        yield Measure(float(digits), "days", "window", fact.id)
    for digits in re.findall(r"(?:^|_)(\d+)h(?=_|$)", fact.name):
        yield Measure(float(digits), "hours", "window", fact.id)
    if fact.lo is not None or re.search(r"_(?:lo|hi)80", fact.name):
        yield Measure(0.8, "share", "level", fact.id)


def ranked(item: RankedItem) -> Measure:
    """The place of an item on the slate."""
    return Measure(float(item.rank), "rank", "rank", item.id)


def aimed(target: Target) -> tuple[Measure, Measure]:
    """Both ends of a play's target."""
    return Measure(target.lo, target.unit, target.kpi, target.fact), Measure(
        target.hi, target.unit, target.kpi, target.fact
    )


def proves(measure: Measure, told: Number, clause: str, english: bool) -> bool:
    """Whether a number of a text is this value, as rounded, in its unit, of its thing, in its direction."""
    if measure.name == "level" and not _INTERVAL.search(told.before + told.after):
        return False
    if not _fits_noun(measure, told):
        return False
    return any(
        _equals(told, reading, expected) and _fits_direction(measure, told, reading, clause, english)
        for reading in told.readings
        for expected in in_unit(measure, told)
    )


def in_unit(measure: Measure, told: Number) -> Iterator[float]:
    """The value as it reads in the unit of a number; nothing where the units do not go together."""
    value, unit = measure.value, measure.unit
    grows = bool(re.search(r"growth|lift|change|gain", measure.name))
    if told.unit == "share":
        if unit == "share":
            yield value * 100
        elif unit == "ratio":
            yield (value - 1) * 100
            if re.match(r"\s*(of|as)\b", told.after):
                yield value * 100
    elif told.unit == "ratio":
        if unit == "ratio":
            yield value
        elif unit == "share" and grows:
            yield 1 + value
        elif unit == "count":
            yield from (value,) if re.search(r"use|time|post|count", measure.name) and not _multiplies(told) else ()
    elif told.unit in ("days", "weeks", "months", "hours", "minutes", "seconds"):
        yield from _lengths(value, unit, told.unit)
    elif told.unit in ("sigma", "rank"):
        yield from (value,) if unit == told.unit else ()
    elif told.unit == "":
        yield from (value,) if unit in ("count", "share", "ratio", "sigma", "rank") else ()


def _multiplies(told: Number) -> bool:
    return (
        "x" in told.said.lower() or "×" in told.said or bool(re.match(r"\s*(as|more|the|faster|bigger)\b", told.after))
    )


def _lengths(value: float, unit: str, told: str) -> Iterator[float]:
    seconds = {"days": 86400.0, "hours": 3600.0, "seconds": 1.0}
    shown = {"weeks": 604800.0, "months": 2629800.0, "minutes": 60.0} | seconds
    if unit in seconds:
        yield value * seconds[unit] / shown[told]


def _equals(told: Number, reading: float, expected: float) -> bool:
    reading, expected = abs(reading), abs(expected)
    step = told.step * (1 + 1e-9) + 1e-9
    if abs(reading - expected) <= step:
        return True
    about = told.is_about or told.is_lower_bound or told.is_upper_bound
    coarse = min(told.round_to, _two_digits(reading)) if about else 0.0
    if told.is_lower_bound:
        return 0 <= expected - reading <= coarse
    if told.is_upper_bound and not told.is_about:
        return 0 <= reading - expected <= coarse
    return about and abs(reading - expected) <= coarse / 2


def _two_digits(value: float) -> float:
    """The place of the second digit that counts."""
    return 10.0 ** (len(str(int(value))) - 2) if value >= 10 else 0.0


def _fits_noun(measure: Measure, told: Number) -> bool:
    if measure.name in ("sample", "window", "level", "rank"):
        return True
    for word in re.findall(r"[a-z]+", told.after)[:2]:
        group = NOUNS.get(word.rstrip("s"))
        if group and not re.search(group, measure.name):
            return not any(re.search(other, measure.name) for other in _GROUPS)
        if group:
            return True
    return True


def _fits_direction(measure: Measure, told: Number, reading: float, clause: str, english: bool) -> bool:
    if told.signed and reading * measure.value < 0:
        return False
    if (
        not english
        or told.signed
        or measure.unit not in ("share", "ratio")
        or not re.search("growth|change|velocity|lift|habit", measure.name)
    ):
        return True
    near = told.before + " " + told.after[:24]
    moved = measure.value - (measure.unit == "ratio")
    down, up = _DOWN.search(near) or _DOWN.search(clause), _UP.search(near)
    return bool(down) if moved < 0 else not (_DOWN.search(near) and not up)
