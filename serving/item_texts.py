"""What a slate's JSON says of a trend whoever asks: encoded once, and kept as long as the trend stays as it is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
import orjson

from features.creators import PROFILE
from features.trends import NUMERIC
from models.interactions import Ints
from models.market import TREND_COLUMNS, Market
from models.reasons import PHRASES
from serving.snapshot import TrendSnapshot

Json = dict[str, Any]
Dates = tuple[tuple[bytes, bytes], ...]
"""Marks, and the instants that they stand for."""

ITEM_EVIDENCE: Final = (
    "uses_7d",
    "creators_7d",
    "adopters_7d",
    "velocity_7d",
    "burst",
    "saturation",
    "median_lift",
)
"""What stands beside a recommended item, where it is known."""

LOGARITHM: Final = "log1p "
"""Units of counts that are kept as logarithms begin with this."""

UNITS: Final = {spec.name: spec.unit for spec in (*NUMERIC, *PROFILE)}


def window_days(name: str) -> int | None:
    """Length of the window that a feature looks back over; None of a value at an instant."""
    days = name.rpartition("_")[2]
    return int(days[:-1]) if days.endswith("d") and days[:-1].isdigit() else None


_WINDOWS: Final = sorted({days for name in ITEM_EVIDENCE if (days := window_days(name)) is not None})
_AS_OF: Final = b"\x00"
_SINCE: Final = {days: bytes([place]) for place, days in enumerate(_WINDOWS, 1)}
"""Stand for the instants, which pass on while the trend stays the same; JSON never holds these bytes unescaped."""

SENTENCES: Final = tuple(None if phrase.tells_number else orjson.dumps(phrase.text) for phrase in PHRASES)
"""Phrases that are the same for every number, encoded."""

_OF_TREND: Final = tuple(phrase.reads in TREND_COLUMNS for phrase in PHRASES)


class ItemText:
    """What is said of one trend.

    Args:
        head: from its kind to where the score comes.
        undated: from its stage to where the reasons come, with marks for the instants.
    """

    __slots__ = ("_dated", "_said", "_undated", "head")

    def __init__(self, head: bytes, undated: bytes) -> None:
        self.head, self._undated = head, undated
        self._dated: tuple[Dates, bytes] = (), b""
        self._said: dict[int, bytes] = {}

    def tail(self, dates: Dates) -> bytes:
        """From its stage to where the reasons come, with the market's instants."""
        of, tail = self._dated
        return tail if of is dates else self._date(dates)

    def reasons(self, phrases: list[int], values: list[float]) -> bytes:
        """The inside of the list of reasons.

        Args:
            phrases: places in `PHRASES`, −1 after the last.
            values: what each of them tells.
        """
        told = []
        for phrase, value in zip(phrases, values, strict=True):
            if phrase < 0:
                break
            told.append(SENTENCES[phrase] or self._said.get(phrase) or self._say(phrase, value))
        return b",".join(told)

    def _date(self, dates: Dates) -> bytes:
        tail = self._undated
        for mark, instant in dates:
            tail = tail.replace(mark, instant)
        self._dated = dates, tail
        return tail

    def _say(self, phrase: int, value: float) -> bytes:
        made = orjson.dumps(PHRASES[phrase].say(value))
        if _OF_TREND[phrase]:
            self._said[phrase] = made
        return made


class ItemTexts:
    """Texts by row of a market, made when they are first asked for.

    Args:
        snapshot: the market and its forecasts.
        hit_rates: lifecycle stage → how often its promise came true.
        known: texts made before that still hold.

    Attributes:
        dates: of the market.
    """

    def __init__(
        self, snapshot: TrendSnapshot, hit_rates: Mapping[str, float], known: dict[int, ItemText] | None = None
    ) -> None:
        self._snapshot, self._hit_rates = snapshot, hit_rates
        self._known = {} if known is None else known
        as_of = snapshot.market.as_of
        since = ((mark, orjson.dumps(as_of - timedelta(days=days))) for days, mark in _SINCE.items())
        self.dates: Dates = ((_AS_OF, orjson.dumps(as_of)), *since)

    def on(self, snapshot: TrendSnapshot) -> ItemTexts:
        """Of a snapshot patched from this one."""
        known = self._known.copy()
        for row in snapshot.changed.tolist():
            known.pop(row, None)
        made = ItemTexts(snapshot, self._hit_rates, known)
        if snapshot.market.as_of == self._snapshot.market.as_of:
            made.dates = self.dates  # and what was dated by them stays
        return made

    def of(self, rows: Sequence[int]) -> list[ItemText]:
        """The texts of some rows."""
        known = self._known
        if missing := [row for row in rows if row not in known]:
            self._make(missing)
        return [known[row] for row in rows]

    def _make(self, rows: Sequence[int]) -> None:
        market = self._snapshot.market
        evidence = _encoded_evidence(market, np.array(rows))
        for row, told in zip(rows, evidence, strict=True):
            stage = market.stages[row]
            head = {"kind": market.types[row], "id": market.ids[row], "title": market.names[row]}
            head |= {"author": market.authors[row] or None, "score": None}
            rate, forecast = self._hit_rates.get(stage), self._snapshot.forecasts.get(market.keys[row])
            tail = orjson.dumps({"stage": stage, "stage_hit_rate": rate, "forecast": forecast})
            self._known[row] = ItemText(
                b"," + orjson.dumps(head)[1:].removesuffix(b"null}"),
                b',%b,"evidence":[%b],"reasons":[' % (tail[1:-1], told),
            )


def encoded_items(
    texts: Sequence[ItemText],
    dates: Dates,
    numbers: Iterable[tuple[bytes, bytes, bytes]],
    phrases: Sequence[list[int]],
    values: Sequence[list[float]],
) -> list[bytes]:
    """The pieces of a list of `schemas.Item`s, to be joined; each is as long as it can be.

    Args:
        dates: of the market.
        numbers: score, fit and heat of each.
        phrases, values: of each, see `ItemText.reasons`.
    """
    pieces: list[bytes] = []
    before = b'{"rank":%d'
    told = zip(texts, numbers, phrases, values, strict=True)
    for rank, (text, (score, fit, heat), phrased, valued) in enumerate(told, 1):
        pieces += (before % rank, text.head, score, b',"fit":', fit, b',"heat":', heat)
        pieces += (text.tail(dates), text.reasons(phrased, valued))
        before = b']},{"rank":%d'
    if pieces:
        pieces.append(b"]}")
    return pieces


def known_values(market: Market, rows: Ints, names: Sequence[str]) -> list[list[float | None]]:
    """The named features of some trends as they are told, row by row; None where unknown."""
    values = market.numeric[rows[:, None], np.array([TREND_COLUMNS.index(name) for name in names])]
    for at, name in enumerate(names):
        if UNITS[name].startswith(LOGARITHM):
            values[:, at] = np.round(np.expm1(values[:, at]), 1)
    return [[None if math.isnan(value) else value for value in row] for row in np.round(values, 6).tolist()]


def about(name: str, as_of: datetime) -> Json:
    """Everything about a number but its value."""
    days = window_days(name)
    since = None if days is None else as_of - timedelta(days=days)
    return {"name": name, "unit": UNITS[name].removeprefix(LOGARITHM), "since": since, "as_of": as_of}


def _before_value(name: str) -> bytes:
    """Evidence as far as its value, with marks for the instants."""
    days = window_days(name)
    since = b"null" if days is None else _SINCE[days]
    named = orjson.dumps({"name": name, "unit": UNITS[name].removeprefix(LOGARITHM)})[:-1]
    return b'%b,"since":%b,"as_of":%b,"value":' % (named, since, _AS_OF)


_BEFORE_VALUE: Final = tuple(map(_before_value, ITEM_EVIDENCE))


def _encoded_evidence(market: Market, rows: Ints) -> list[bytes]:
    """`ITEM_EVIDENCE` of some rows, what is known of it, as the inside of a list."""
    return [
        b",".join(
            b"%b%b}" % (before, orjson.dumps(value))
            for before, value in zip(_BEFORE_VALUE, row, strict=True)
            if value is not None
        )
        for row in known_values(market, rows, ITEM_EVIDENCE)
    ]
