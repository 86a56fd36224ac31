"""A market brought up to date: rows of trends as they stand now take the place of older ones, new trends join."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from configs import TrendSettings
from features.patches.log import COLUMNS, TrendRows
from features.recency import age_days, hours_since
from features.taste import TASTE_DIMENSIONS
from features.trends import NUMERIC
from models.generators.forms import Clustered, Generator, ItemToItem, Latent
from models.interactions import Floats, Ints
from models.market import TREND_COLUMNS, Market, variant_groups

_NUMBERS: Final = len(COLUMNS)
_SHARE: Final = COLUMNS.index("creator_share_28d")


def patched(market: Market, rows: TrendRows, settings: TrendSettings) -> tuple[Market, Ints]:
    """A new market in which these rows are as they stand now; the given one is left as it is.

    A trend that the market lacks is put after its last row: generators propose it to nobody until they are fitted
    again. A trend that is gone keeps its row, but is recommended to nobody. Forecasts stay as they were published.

    Args:
        market: the live trends so far.
        rows: no older than the market.
        settings: the pool's limits and the words that make a version of a sound.

    Returns:
        The market, and the rows of it that are not as they were, ascending.
    """
    keys = rows.texts["trend_key"]
    new = np.array([key not in market.row_of for key in keys], bool)
    if new.any():
        market = _extended(market, rows, np.flatnonzero(new), settings)
    at = np.array([market.row_of[key] for key in keys], np.int64)
    gone = _gone(market, rows)
    numeric, taste, daily = market.numeric.copy(), market.taste.copy(), market.daily_uses.copy()
    first, last, now = rows.numbers[:, len(NUMERIC)], rows.numbers[:, len(NUMERIC) + 1], rows.as_of.timestamp()
    numeric[at, : len(NUMERIC)] = rows.numbers[:, : len(NUMERIC)]
    numeric[at, TREND_COLUMNS.index("age_days")] = age_days(first, now)
    numeric[at, TREND_COLUMNS.index("hours_since_last_use")] = hours_since(last, now)
    taste[at] = rows.numbers[:, _NUMBERS : _NUMBERS + TASTE_DIMENSIONS]
    daily[at] = rows.numbers[:, _NUMBERS + TASTE_DIMENSIONS :]
    recommendable = market.recommendable.copy()
    recommendable[at] = rows.numbers[:, _SHARE] <= settings.pool.generic_share
    recommendable[gone] = False
    codes, shares = _regions(market, rows, at)
    made = replace(
        market,
        as_of=max(market.as_of, rows.as_of),
        **{f"{name}s": _put(getattr(market, f"{name}s"), at, rows.texts[name]) for name in ("name", "author", "stage")},
        numeric=numeric,
        taste=taste,
        region_codes=codes,
        region_shares=shares,
        daily_uses=daily,
        recommendable=recommendable,
    )
    vars(made).update({name: vars(market)[name] for name in _LASTING if name in vars(market)})
    return made, _differing(market, made, np.union1d(at, gone))


_LASTING: Final = ("for_everybody", "kinds", "whole", "_of_kinds")
"""What was worked out of the generators and the kinds of trends: they are the same."""


def _differing(before: Market, after: Market, rows: Ints) -> Ints:
    """Those of some rows that are not as they were: where nobody posts, most that is worked out anew is the same."""
    if before.region_codes != after.region_codes:
        return rows
    same = np.ones(len(rows), bool)
    for name in ("numeric", "taste", "daily_uses", "region_shares"):
        same &= _equal(getattr(before, name)[rows], getattr(after, name)[rows]).all(axis=1)
    for name in ("recommendable", "names", "authors", "stages"):
        same &= getattr(before, name)[rows] == getattr(after, name)[rows]
    return rows[~same]


def _equal(one: Floats, other: Floats) -> npt.NDArray[np.bool_]:
    return np.asarray((one == other) | (np.isnan(one) & np.isnan(other)))


def _put(column: Any, at: Ints, values: Any) -> Any:
    """The column with new values; itself where they are the old ones."""
    if (column[at] == values).all():
        return column
    column = column.copy()
    column[at] = values
    return column


def _gone(market: Market, rows: TrendRows) -> Ints:
    """Rows of trends that are no longer live."""
    gone = {market.row_of[key] for key in rows.gone if key in market.row_of}
    if rows.covers is not None:
        after, through = rows.covers
        there = set(rows.texts["trend_key"].tolist())
        inside = (key for key in market.row_of if key > after and (through is None or key <= through))
        gone |= {market.row_of[key] for key in inside if key not in there}
    return np.array(sorted(gone), np.int64)


def _regions(market: Market, rows: TrendRows, at: Ints) -> tuple[tuple[str, ...], Floats]:
    codes, shares = market.region_codes, market.region_shares
    new = sorted({code for named, _ in rows.regions for code in named} - set(codes))
    if new:
        codes = tuple(sorted((*codes, *new)))
        wider = np.zeros((len(market), len(codes)))
        wider[:, [codes.index(code) for code in market.region_codes]] = shares
        shares = wider
    else:
        shares = shares.copy()
    place = {code: i for i, code in enumerate(codes)}
    shares[at] = 0.0
    for row, (named, values) in zip(at.tolist(), rows.regions, strict=True):
        shares[row, [place[code] for code in named]] = values
    return codes, shares


def _extended(market: Market, rows: TrendRows, new: Ints, settings: TrendSettings) -> Market:
    """The market with blank rows for new trends at its end."""
    n, more = len(market), len(new)
    texts = {name: np.concatenate([getattr(market, column), rows.texts[name][new]]) for column, name in _TEXTS.items()}
    types, names = texts["trend_type"], texts["name"]
    if (types[n:] == "sound").any():
        groups = variant_groups(types, names, settings.variant_words)
    else:
        free = int(market.variant_group.max(initial=-1)) + 1
        groups = np.concatenate([market.variant_group, np.arange(free, free + more)])
    columns: dict[str, Any] = {column: texts[name] for column, name in _TEXTS.items()}
    made = replace(
        market,
        **columns,
        numeric=_below(market.numeric, more, np.nan),
        taste=_below(market.taste, more, 0.0),
        region_shares=_below(market.region_shares, more, 0.0),
        daily_uses=_below(market.daily_uses, more, 0.0),
        recommendable=np.concatenate([market.recommendable, np.zeros(more, bool)]),
        variant_group=groups,
        generators={name: _padded(generator, more) for name, generator in market.generators.items()},
        row_of={**market.row_of, **{key: n + i for i, key in enumerate(rows.texts["trend_key"][new].tolist())}},
    )
    if "for_everybody" in vars(market):
        vars(made)["for_everybody"] = {
            name: np.concatenate([scores, np.zeros(more)]) for name, scores in market.for_everybody.items()
        }
    return made


_TEXTS: Final = {
    "keys": "trend_key",
    "types": "trend_type",
    "ids": "trend_id",
    "names": "name",
    "authors": "author",
    "stages": "stage",
}


def _below(table: Floats, more: int, value: float) -> Floats:
    return np.vstack([table, np.full((more, table.shape[1]), value)])


def _padded(generator: Generator, more: int) -> Generator:
    """The generator for a market with more rows at its end, which it proposes to nobody."""
    if isinstance(generator, ItemToItem):
        m = generator.matrix
        return ItemToItem(sp.csr_matrix((m.data, m.indices, m.indptr), (m.shape[0], m.shape[1] + more)))
    if isinstance(generator, Clustered):
        return replace(generator, shares=np.hstack([generator.shares, np.zeros((len(generator.shares), more))]))
    if isinstance(generator, Latent):
        return replace(
            generator, market=np.pad(generator.market, ((0, 0), (0, more))), units=np.pad(generator.units, (0, more))
        )
    raise TypeError(f"a market with {type(generator).__name__} cannot grow")
