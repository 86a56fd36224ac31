from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.filters import eligible
from serving.schemas import Filtered, RankQuery
from tests.serving.markets import creator_who_used, market_of

MARKET = market_of(["hashtag", "hashtag", "sound", "sound", "hashtag"], generic=[0])


def filtered(query: RankQuery, *used: str) -> Filtered:
    return eligible(query, creator_who_used(*used), MARKET, np.ones(len(MARKET), bool))


def kept(query: RankQuery, *used: str) -> list[int]:
    return np.flatnonzero(filtered(query, *used).kept).tolist()


def test_nothing_generic_is_kept() -> None:
    assert kept(RankQuery("anna", 5)) == [1, 2, 3, 4]


def test_what_the_creator_has_used_is_dropped_unless_asked_for() -> None:
    assert kept(RankQuery("anna", 5), "sound:t2", "hashtag:t4", "hashtag:gone") == [1, 3]
    assert kept(RankQuery("anna", 5, include_used=True), "sound:t2", "hashtag:t4") == [1, 2, 3, 4]


def test_only_the_kinds_asked_for_are_kept() -> None:
    assert kept(RankQuery("anna", 5, kinds=("sound",))) == [2, 3]
    assert kept(RankQuery("anna", 5, kinds=("hashtag",))) == [1, 4]


def test_what_the_caller_excludes_is_dropped_and_the_unknown_is_ignored() -> None:
    assert kept(RankQuery("anna", 5, exclude=frozenset({"sound:t3", "sound:nowhere"}))) == [1, 2, 4]


def test_every_reason_for_a_removal_is_told() -> None:
    query = RankQuery("anna", 5, kinds=("sound",), exclude=frozenset({"sound:t3", "hashtag:t0"}))
    removed = {reason: rows.tolist() for reason, rows in filtered(query, "sound:t2", "hashtag:t1").removed.items()}
    assert removed == {"generic": [0], "kind": [0, 1, 4], "excluded": [0, 3], "used": [1, 2]}


def test_a_reason_that_removed_nothing_is_not_told() -> None:
    assert set(filtered(RankQuery("anna", 5)).removed) == {"generic"}


rows = st.sets(st.integers(0, 4))


@settings(max_examples=60, deadline=None)
@given(
    used=rows,
    excluded=rows,
    kinds=st.sampled_from([("sound",), ("hashtag",), ("sound", "hashtag")]),
    again=st.booleans(),
)
def test_every_candidate_is_either_kept_or_removed_for_a_reason(
    used: set[int], excluded: set[int], kinds: tuple[str, ...], again: bool
) -> None:
    keys = MARKET.keys
    query = RankQuery("anna", 5, kinds, exclude=frozenset(keys[list(excluded)]), include_used=again)
    found = filtered(query, *keys[list(used)])
    removed = {int(row) for rows in found.removed.values() for row in rows}
    assert sorted([*np.flatnonzero(found.kept).tolist(), *removed]) == list(range(len(MARKET)))
