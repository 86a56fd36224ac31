"""Creator × trend features: the one set of functions that training, serving and batch scoring share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import numpy as np

from models.candidates import GENERATORS, OF_HISTORY
from models.creator import CREATOR_COLUMNS, Creator, histories, is_blank
from models.interactions import Floats, Ints
from models.market import TREND_COLUMNS, Market
from models.queries import Query, stage_one_columns
from models.schema import STAGE_ONE, Schema

OFFSET: Final = 0.02
"""Added to a generator's score ÷ its best, so that a trend it does not propose still has a logarithm."""

TREND_INPUTS: Final = (
    "adopters",
    "adopters_trend",
    "adopters_past",
    "repeat_use",
    "creators_1d_excess",
    "creators_3d_excess",
    "reach",
    "intensity",
    "sound",
    "sound_adopters",
    "sound_reach",
    "busy_users",
)
"""The trend side of the linear stage, logarithms of counts unless said otherwise; see `trend_inputs`.

Sounds spread otherwise than hashtags: what their adopters and reach say beyond what they say of hashtags stands apart.
"""

PAIR_INPUTS: Final = (*GENERATORS, "sound_habit", "walk_by_history", "adopters_by_history", "region_match")
"""The creator × trend side of the linear stage; see `linear_inputs`."""

INPUTS: Final = (*PAIR_INPUTS, *TREND_INPUTS)
"""All inputs of the linear stage, in the order of the matrix."""

FEATURES: Final = (
    *TREND_COLUMNS,
    *CREATOR_COLUMNS,
    *INPUTS,
    "region_share",
    "follower_gap",
    *STAGE_ONE,
)
"""All features of the trees, in the order of the matrix."""

TERMS: Final = ("adoptions_28d", "posts_28d")
"""What of a creator says how much is adopted at all, whatever the trend; as log1p."""

TRENDS: Final = Schema("trends", INPUTS, FEATURES, frozenset({*GENERATORS, "stage_one"}), terms=TERMS)
"""What the ranker of trends takes in. More proposed by a generator is never worse, nor is more by the linear stage."""


def proposals(market: Market, creators: Sequence[Creator]) -> dict[str, Floats]:
    """Generator → its score of every trend for each creator, shape (q, n).

    Who used nothing of the vocabulary is proposed what everybody together would be.
    """
    past = histories(creators, market)
    blank = [i for i, creator in enumerate(creators) if is_blank(creator, market)]
    scores = {name: market.generators[name].scores(past) for name in GENERATORS}
    for name in OF_HISTORY if blank else ():
        scores[name][blank] = market.for_everybody[name]
    return scores


def allowed(market: Market, creator: Creator) -> np.ndarray:
    """Which trends may be recommended: not generic, and not used by the creator yet, shape (n,)."""
    mask = market.recommendable.copy()
    mask[creator.rows_used(market)] = False
    return mask


def trend_inputs(market: Market, rows: Ints | slice = slice(None)) -> Floats:
    """The trend side of the linear stage, the same for every creator of a market.

    Args:
        rows: of the market, shape (m,); all where not given.

    Returns:
        Shape (m, len(TREND_INPUTS)).
    """

    def column(name: str) -> Floats:
        return market.column(name)[rows]

    adopters, reach = np.log(column("recent_adopters_5d") + 0.1), np.log(column("creators_28d") + 0.5)
    sound = column("is_sound")
    return np.column_stack(
        [
            adopters,
            np.log(column("recent_adopters_2d") + 0.1) - adopters,
            np.log(column("recent_adopters_14d") + 0.1) - adopters,
            np.log(column("recent_creators_7d") + 0.3) - adopters,
            np.log(column("creators_1d") + 0.5) - adopters,
            np.log(column("creators_3d") + 0.5) - adopters,
            reach,
            np.log(np.maximum(column("posts_per_creator_28d"), 1)),
            sound,
            sound * adopters,
            sound * reach,
            column("users_posts"),
        ]
    )


def linear_inputs(market: Market, of_trends: Floats, creator: Creator, scores: Mapping[str, Floats]) -> Floats:
    """The inputs of the linear stage for one creator and every trend of the market.

    Args:
        of_trends: `trend_inputs(market)`.
        scores: generator → its score of every trend for this creator, shape (n,).

    Returns:
        Shape (n, len(INPUTS)), in the order of `INPUTS`.
    """
    matrix = np.empty((len(market), len(INPUTS)))
    for place, name in enumerate(GENERATORS):
        best = float(scores[name][market.recommendable].max(initial=0))
        matrix[:, place] = np.log(scores[name] / max(best, 1e-12) + OFFSET)
    known, generators = knowledge(creator), len(GENERATORS)
    matrix[:, generators] = market.column("is_sound") * sound_lean(creator)
    matrix[:, generators + 1] = matrix[:, GENERATORS.index("walk")] * known
    matrix[:, generators + 2] = of_trends[:, 0] * known
    matrix[:, generators + 3] = region_match(market, creator.region)
    matrix[:, len(PAIR_INPUTS) :] = of_trends
    return matrix


def tree_features(market: Market, creator: Creator, inputs: Floats, stage_one: Floats, rows: Ints) -> Floats:
    """The features of the trees for one creator and its shortlist.

    Args:
        inputs: `linear_inputs` of the creator, shape (n, len(INPUTS)).
        stage_one: the linear stage's score of every trend, −inf where it may not be recommended, shape (n,).
        rows: rows of the market, shape (m,).

    Returns:
        Shape (m, len(FEATURES)), in the order of `FEATURES`; NaN where a value is unknown.
    """
    return np.column_stack(
        [
            market.numeric[rows],
            np.broadcast_to(creator.profile, (len(rows), len(CREATOR_COLUMNS))),
            inputs[rows],
            region_share(market, creator.region)[rows],
            creator.column("followers") - market.column("median_followers")[rows],
            stage_one_columns(stage_one, rows),
        ]
    )


def query(market: Market, creator: Creator, inputs: Floats, allowed: np.ndarray) -> Query:
    """One creator's question to the ranker of trends.

    Args:
        inputs: `linear_inputs` of the creator, shape (n, len(INPUTS)).
        allowed: which trends may be recommended, shape (n,).
    """
    return Query(inputs, allowed, partial(tree_features, market, creator, inputs))


def creator_terms(creator: Creator) -> Floats:
    """The creator's own pace, shape (len(TERMS),); nothing known counts as none."""
    return np.array([math.log1p(_or_none(creator.column(name))) for name in TERMS])


def region_match(market: Market, region: str) -> Floats:
    """Logarithm of the share of each trend's uses from `region`, shape (n,).

    A trend of unknown region takes the region's share of the whole market; all are 0 where the region is unknown.
    """
    share = region_share(market, region)
    if np.isnan(share).all():
        return np.zeros(len(market))
    return np.log(np.where(np.isnan(share), np.nanmean(share), share) + 0.1)


def region_share(market: Market, region: str) -> Floats:
    """Share of each trend's known-region uses that come from `region`, NaN where either is unknown, shape (n,)."""
    if region not in market.region_codes:
        return np.full(len(market), np.nan)
    known = market.region_shares.sum(axis=1) > 0
    return np.where(known, market.region_shares[:, market.region_codes.index(region)], np.nan)


def knowledge(creator: Creator) -> float:
    """How much is known of a creator, about −2.5 to 2.5; nothing known of a newcomer is neutral."""
    known = creator.column("distinct_trends")
    return 0.0 if math.isnan(known) else math.log1p(known) - 2.5


def sound_lean(creator: Creator) -> float:
    """Log odds of the uses that are named sounds, drawn towards a quarter where little is known, plus 1."""
    uses = _or_none(creator.column("uses_per_post") * creator.column("posts_known"))
    share = (_or_none(creator.column("sound_uses")) + 1) / (uses + 4)
    return math.log(share / (1 - share)) + 1


def _or_none(count: float) -> float:
    return 0.0 if math.isnan(count) else count
