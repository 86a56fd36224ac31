from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.market import Market
from serving.rerank import diversify
from tests.serving.markets import market_of, scored_of


def kept(rows: list[int], market: Market, k: int, share: float) -> list[int]:
    """Rows that stand on a slate made of these, best first."""
    given_best_first = scored_of(rows)
    return given_best_first.rows[diversify(given_best_first, market, k, share)].tolist()


def test_of_the_versions_of_one_sound_only_the_best_is_kept() -> None:
    market = market_of(["sound"] * 4, groups=[0, 1, 0, 2])
    assert kept([2, 1, 0, 3], market, 3, 1.0) == [2, 1, 3]


def test_a_kind_above_its_share_makes_way_for_the_other() -> None:
    market = market_of(["hashtag"] * 5 + ["sound"] * 2)
    assert kept([*range(7)], market, 5, 0.6) == [0, 1, 2, 5, 6]


def test_a_kind_fills_the_slate_where_the_other_has_nothing_left() -> None:
    market = market_of(["hashtag"] * 6 + ["sound"])
    assert kept([*range(7)], market, 6, 0.5) == [0, 1, 2, 3, 4, 6]


def test_nothing_to_rank_makes_an_empty_slate() -> None:
    assert kept([], market_of(["sound"]), 5, 0.8) == []


@st.composite
def slates(draw: st.DrawFn) -> tuple[Market, list[int], int, float]:
    n = draw(st.integers(1, 30))
    kinds = draw(st.lists(st.sampled_from(["sound", "hashtag"]), min_size=n, max_size=n))
    number = draw(st.lists(st.integers(0, 12), min_size=n, max_size=n))
    groups = [g if kind == "sound" else 100 + row for row, (kind, g) in enumerate(zip(kinds, number, strict=True))]
    rows = draw(st.permutations(range(n)))[: draw(st.integers(0, n))]
    return market_of(kinds, groups), list(rows), draw(st.integers(1, 25)), draw(st.floats(0.05, 1))


@settings(max_examples=200, deadline=None)
@given(slates())
def test_a_slate_is_diverse_full_and_in_the_order_of_its_scores(slate: tuple[Market, list[int], int, float]) -> None:
    market, rows, k, share = slate
    given_best_first = scored_of(rows)
    made = given_best_first.take(diversify(given_best_first, market, k, share))

    groups, kinds = market.variant_group[made.rows], market.types[made.rows]
    offered = np.unique(market.variant_group[given_best_first.rows])
    assert len(np.unique(groups)) == len(groups)
    assert len(made.rows) == min(k, len(offered))
    assert (np.diff(made.raw) < 0).all()
    assert all(made.raw[place] == -rows.index(row) for place, row in enumerate(made.rows))

    limit = max(1, math.floor(k * share))
    types_offered = [market.types[market.variant_group == group][0] for group in offered]
    for kind in set(kinds):
        others = sum(other != kind for other in types_offered)
        assert (kinds == kind).sum() <= max(limit, k - min(others, limit))


@settings(max_examples=100, deadline=None)
@given(slates())
def test_each_item_is_the_best_of_its_versions(slate: tuple[Market, list[int], int, float]) -> None:
    market, rows, k, share = slate
    for row in kept(rows, market, k, share):
        versions = [other for other in rows if market.variant_group[other] == market.variant_group[row]]
        assert row == versions[0]
