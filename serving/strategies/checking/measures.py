"""What the evidence proves: the values of a fact in every unit that a text may tell them in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Final

from serving.strategies.checking.claims import Number
from serving.strategies.schemas import Fact, RankedItem, Target, Unit

SPOKEN_OF: Final = {
    "follower": re.compile("follower"),
    "view": re.compile("view"),
    "like": re.compile("like"),
    "comment": re.compile("comment"),
    "share": re.compile("share"),
    "save": re.compile("save"),
    "creator": re.compile("creator|adopter|author|artist|people|user(?!s?_)"),
    "post": re.compile("post|use|video|play|clip"),
    "duet": re.compile("duet"),
    "hour": re.compile("hour"),
}
"""A noun behind a number → what the name of its fact must then speak of, where it speaks of any of these."""

_THINGS: Final = tuple(SPOKEN_OF[name] for name in ("follower", "view", "like", "comment", "save", "creator", "post"))
_WINDOW = re.compile(r"(?:^|_)(\d+)([dh])(?=_|$)")
_LEVEL = re.compile(r"_(?:lo|hi)80")
_GROWS = re.compile(r"growth|lift|change|gain")
_TURNS = re.compile(r"growth|change|velocity|lift|habit")
_TIMES = re.compile(r"use|time|post|count")
_SECONDS: Final = {"days": 86400.0, "hours": 3600.0, "seconds": 1.0, "weeks": 604800.0, "months": 2629800.0}
_SHOWN: Final = _SECONDS | {"minutes": 60.0}


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
    for digits, unit in _WINDOW.findall(fact.name):
        yield Measure(float(digits), "days" if unit == "d" else "hours", "window", fact.id)
    if fact.lo is not None or _LEVEL.search(fact.name):
        yield Measure(0.8, "share", "level", fact.id)


def ranked(item: RankedItem) -> Measure:
    """The place of an item on the slate."""
    return Measure(float(item.rank), "rank", "rank", item.id)


def aimed(target: Target) -> tuple[Measure, Measure]:
    """Both ends of a play's target."""
    return Measure(target.lo, target.unit, target.kpi, target.fact), Measure(
        target.hi, target.unit, target.kpi, target.fact
    )


def proves(measure: Measure, told: Number, clause: str, turns: bool = True) -> bool:
    """Whether a number of a text is this value, as rounded, in its unit, of its thing, in its direction.

    Args:
        clause: what the number stands in.
        turns: whether words that tell a direction count, as they do not for the ends of an interval.
    """
    if measure.name == "level" and not told.grammar.interval.search(told.before + told.after):
        return False
    if not _fits_noun(measure, told):
        return False
    return any(
        _equals(told, reading, expected) and _fits_direction(measure, told, reading, clause, turns)
        for reading in told.readings
        for expected in in_unit(measure, told)
    )


def in_unit(measure: Measure, told: Number) -> Iterator[float]:
    """The value as it reads in the unit of a number; nothing where the units do not go together."""
    value, unit = measure.value, measure.unit
    if told.unit == "":
        yield from (value,) if unit in ("count", "share", "ratio", "sigma", "rank") else ()
    elif told.unit == "share":
        if unit == "share":
            yield value * 100
        elif unit == "ratio":
            yield (value - 1) * 100
            if told.grammar.level_of.match(told.after):
                yield value * 100
    elif told.unit == "ratio":
        if unit == "ratio":
            yield value
        elif unit == "share" and _GROWS.search(measure.name):
            yield 1 + value
        elif unit == "count":
            yield from (value,) if _TIMES.search(measure.name) and not _multiplies(told) else ()
    elif told.unit in ("sigma", "rank"):
        yield from (value,) if unit == told.unit else ()
    elif told.unit in _SHOWN and unit in ("days", "hours", "seconds"):
        yield value * _SECONDS[unit] / _SHOWN[told.unit]


def _multiplies(told: Number) -> bool:
    said = told.said.lower()
    return "x" in said or "×" in said or told.grammar.comparative.match(told.after) is not None


def _equals(told: Number, reading: float, expected: float) -> bool:
    reading, expected = abs(reading), abs(expected)
    step = told.step * (1 + 1e-9) + 1e-9
    if abs(reading - expected) <= step:
        return True
    if abs(reading - expected) > max(told.round_to, 1.0):
        return False
    is_lower, is_upper, is_about = told.is_lower_bound, told.is_upper_bound, told.is_about
    coarse = min(told.round_to, _two_digits(reading)) if is_about or is_lower or is_upper else 0.0
    if is_lower:
        return 0 <= expected - reading <= coarse
    if is_upper and not is_about:
        return 0 <= reading - expected <= coarse
    return is_about and abs(reading - expected) <= coarse / 2


def _two_digits(value: float) -> float:
    """The place of the second digit that counts."""
    return 10.0 ** (len(str(int(value))) - 2) if value >= 10 else 0.0


def _fits_noun(measure: Measure, told: Number) -> bool:
    if measure.name in ("sample", "window", "level", "rank"):
        return True
    noun = told.grammar.noun.match(told.after)
    if noun is None or noun.lastgroup is None or SPOKEN_OF[noun.lastgroup].search(measure.name):
        return True
    return not any(thing.search(measure.name) for thing in _THINGS)


def _fits_direction(measure: Measure, told: Number, reading: float, clause: str, turns: bool) -> bool:
    if told.signed and reading * measure.value < 0:
        return False
    grammar = told.grammar
    if not turns or not grammar.is_known or told.signed or measure.unit not in ("share", "ratio"):
        return True
    if not _TURNS.search(measure.name):
        return True
    near = told.before + " " + told.after[:24]
    moved = measure.value - (measure.unit == "ratio")
    down = grammar.down.search(near)
    if moved < 0:
        return bool(down or grammar.down.search(clause))
    return not (down and not grammar.up.search(near))
