"""Markets by hand, for tests of stages that look at kinds, variants and genericness alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from features.contract import trend_key
from models.compiled.prepared import CROSS
from models.creator import Creator
from models.market import TREND_COLUMNS, Market
from models.pairs import INPUTS
from serving.schemas import Scored

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def market_of(kinds: Sequence[str], groups: Sequence[int] | None = None, generic: Sequence[int] = ()) -> Market:
    """Trends named t0, t1, … of these kinds; each in a variant group of its own where none are given."""
    n = len(kinds)
    ids = [f"t{row}" for row in range(n)]
    keys = [trend_key(kind, name) for kind, name in zip(kinds, ids, strict=True)]
    text = np.array(ids, object)
    return Market(
        as_of=NOON,
        keys=np.array(keys, object),
        types=np.array(kinds, object),
        ids=text,
        names=text,
        authors=np.array([""] * n, object),
        stages=np.array(["rising"] * n, object),
        numeric=np.zeros((n, len(TREND_COLUMNS))),
        taste=np.zeros((n, 2)),
        region_codes=(),
        region_shares=np.zeros((n, 0)),
        daily_uses=np.zeros((n, 28)),
        recommendable=~np.isin(np.arange(n), list(generic)),
        variant_group=np.array(range(n) if groups is None else groups, np.int64),
        generators={},
        row_of={key: row for row, key in enumerate(keys)},
        word_of={},
    )


def creator_who_used(*keys: str) -> Creator:
    """Somebody of whom nothing but these trends is known."""
    newcomer = Creator.newcomer("anna")
    return Creator(**vars(newcomer) | {"trend_keys": tuple(sorted(keys))})


def scored_of(rows: Sequence[int]) -> Scored:
    """Rows of a market, best first, each score one below the last."""
    raw = -np.arange(len(rows), dtype=float)
    places = np.arange(len(rows))
    return Scored(np.array(rows, np.int64), raw, places, np.zeros((len(rows), len(CROSS))), np.zeros(len(INPUTS)))
