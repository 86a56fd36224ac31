"""The market as a ranker sees it: every live trend as of one instant, column by column, with its generators."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from configs import TrendSettings
from features.contract import TREND_TYPES
from features.forecasts import HORIZONS_DAYS
from features.recency import age_days, hours_since
from features.trends import NUMERIC
from models.generators.forms import Generator
from models.interactions import Floats, Ints, Strings, is_trend

if TYPE_CHECKING:
    import pandas as pd

Bools = npt.NDArray[np.bool_]

FORECAST_COLUMNS: Final = (*(f"forecast_growth_{days}d" for days in HORIZONS_DAYS), "forecast_width")
"""Where the public count is heading, and how sure that is: the width of the longest forecast's interval."""

TREND_COLUMNS: Final = (
    *(spec.name for spec in NUMERIC),
    "age_days",
    "hours_since_last_use",
    *FORECAST_COLUMNS,
)
"""The trend side of the ranker's features; the recency depends on the instant of the request."""

_AT: Final = {name: at for at, name in enumerate(TREND_COLUMNS)}


@dataclass(frozen=True)
class Market:
    """All live trends as of an instant, sorted by key; row i of every array speaks of the same trend.

    Attributes:
        as_of: the instant that the features speak of, UTC.
        keys, types, ids, names, authors, stages: text, shape (n,).
        numeric: the columns of `TREND_COLUMNS`, shape (n, f); NaN where unknown.
        taste: unit vectors, shape (n, d).
        region_codes: the regions any trend was used in, sorted.
        region_shares: share of known-region uses, shape (n, r); a row of zeros where no region is known.
        daily_uses: uses on each of the last 28 days, oldest first, shape (n, 28).
        recommendable: False for generic trends, shape (n,).
        variant_group: versions of one sound (sped up, remix …) share a number, shape (n,).
        generators: fitted candidate generators, from a vocabulary to these rows.
        row_of: trend key → row.
        word_of: trend key → column of the generators' vocabulary.
    """

    as_of: datetime
    keys: Strings
    types: Strings
    ids: Strings
    names: Strings
    authors: Strings
    stages: Strings
    numeric: Floats
    taste: Floats
    region_codes: tuple[str, ...]
    region_shares: Floats
    daily_uses: Floats
    recommendable: Bools
    variant_group: Ints
    generators: Mapping[str, Generator]
    row_of: Mapping[str, int]
    word_of: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.keys)

    @cached_property
    def for_everybody(self) -> dict[str, Floats]:
        """Generator → its score of every trend for a history that holds every trend of the vocabulary, shape (n,)."""
        whole = sp.csr_matrix(np.array([[is_trend(key) for key in self.word_of]], float))
        return {name: generator.scores(whole)[0] for name, generator in self.generators.items()}

    @cached_property
    def kinds(self) -> npt.NDArray[np.int8]:
        """Place of each trend's kind in `TREND_TYPES`, shape (n,)."""
        return np.asarray(sum(place * (self.types == kind) for place, kind in enumerate(TREND_TYPES)), np.int8)

    @cached_property
    def whole(self) -> Bools:
        """Every trend, shape (n,); not to be written."""
        every = np.ones(len(self), np.bool_)
        every.flags.writeable = False
        return every

    @cached_property
    def _of_kinds(self) -> dict[frozenset[str], Bools]:
        return {}

    def of_kinds(self, kinds: Iterable[str]) -> Bools:
        """Which trends are of one of these kinds, shape (n,); kept for the next request, and not to be written."""
        asked = frozenset(kinds)
        if asked not in self._of_kinds:
            found = np.isin(self.kinds, [place for place, kind in enumerate(TREND_TYPES) if kind in asked])
            found.flags.writeable = False
            self._of_kinds[asked] = found
        return self._of_kinds[asked]

    def column(self, name: str) -> Floats:
        """One column of `numeric`, shape (n,)."""
        return np.asarray(self.numeric[:, _AT[name]])

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        as_of: datetime,
        words: Strings,
        generators: Mapping[str, Generator],
        settings: TrendSettings,
    ) -> Market:
        """Build it from rows of the feature store.

        Args:
            frame: trend_key, `features.trends.TREND_FEATURES` and `features.forecasts.FORECAST_FEATURES`, in any
                order of rows.
            as_of: the instant of the request, UTC.
            words: keys of the generators' vocabulary, sorted.
            generators: fitted from that vocabulary to the same trends sorted by key.
            settings: the pool's limits and the words that make a version of a sound.
        """
        frame = frame.sort_values("trend_key", kind="stable", ignore_index=True)
        text = {
            name: frame[name].to_numpy(object) for name in ("trend_key", "trend_type", "trend_id", "name", "author")
        }
        now = as_of.timestamp()
        recency = [
            age_days(frame["first_used_at"].to_numpy(float), now),
            hours_since(frame["last_used_at"].to_numpy(float), now),
        ]
        numeric = np.column_stack(
            [*(frame[spec.name].to_numpy(float) for spec in NUMERIC), *recency, *_forecasts(frame)]
        )
        codes, shares = _region_matrix(frame)
        return cls(
            as_of=as_of,
            keys=text["trend_key"],
            types=text["trend_type"],
            ids=text["trend_id"],
            names=text["name"],
            authors=text["author"],
            stages=frame["stage"].to_numpy(object),
            numeric=np.ascontiguousarray(numeric),
            taste=_stack(frame["taste"]),
            region_codes=codes,
            region_shares=shares,
            daily_uses=_stack(frame["daily_uses"]),
            recommendable=frame["creator_share_28d"].to_numpy(float) <= settings.pool.generic_share,
            variant_group=variant_groups(text["trend_type"], text["name"], settings.variant_words),
            generators=generators,
            row_of={key: row for row, key in enumerate(text["trend_key"])},
            word_of={key: column for column, key in enumerate(words)},
        )


def variant_groups(types: Strings, names: Strings, words: tuple[str, ...]) -> Ints:
    """Group numbers, shape (n,): two sounds whose titles differ only in `words` and punctuation share one."""
    pattern = re.compile(r"\b(" + "|".join(map(re.escape, words)) + r")\b")
    numbers: dict[tuple[str, Any], int] = {}
    groups = np.empty(len(names), np.int64)
    for row, (kind, name) in enumerate(zip(types, names, strict=True)):
        stem = re.sub(r"[\W_]+", " ", pattern.sub(" ", name.casefold())).strip()
        identity = (kind, stem) if kind == "sound" and stem else (kind, row)
        groups[row] = numbers.setdefault(identity, len(numbers))
    return groups


def _forecasts(frame: pd.DataFrame) -> list[Floats]:
    """The columns of `FORECAST_COLUMNS`."""
    last = HORIZONS_DAYS[-1]
    width = frame[f"forecast_high_{last}d"] - frame[f"forecast_low_{last}d"]
    return [*(frame[name].to_numpy(float) for name in FORECAST_COLUMNS[:-1]), width.to_numpy(float)]


def _stack(column: pd.Series[Any]) -> Floats:
    return np.stack([np.asarray(row, float) for row in column]) if len(column) else np.zeros((0, 0))


def _region_matrix(frame: pd.DataFrame) -> tuple[tuple[str, ...], Floats]:
    codes = tuple(sorted({code for row in frame["region_codes"] for code in row}))
    place = {code: i for i, code in enumerate(codes)}
    shares = np.zeros((len(frame), len(codes)))
    for row, (names, values) in enumerate(zip(frame["region_codes"], frame["region_shares"], strict=True)):
        shares[row, [place[name] for name in names]] = values
    return codes, shares
