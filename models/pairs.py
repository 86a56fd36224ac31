"""Creator × trend features: the one function that training, serving and batch scoring share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from models.candidates import GENERATORS, Floats, Ints
from models.creator import CREATOR_COLUMNS, Creator
from models.market import TREND_COLUMNS, Market

PAIR_COLUMNS: Final = (
    *(f"{name}_score" for name in GENERATORS),
    *(f"{name}_share" for name in GENERATORS),
    "taste_match",
    "region_share",
    "follower_gap",
    "kind_share",
)
"""The features of a creator and a trend together."""

FEATURES: Final = (*TREND_COLUMNS, *CREATOR_COLUMNS, *PAIR_COLUMNS)
"""All features of the ranker, in the order of the matrix."""


def pair_features(market: Market, creator: Creator, rows: Ints, scores: Mapping[str, Floats]) -> Floats:
    """The ranker's features of one creator and some trends.

    Args:
        rows: rows of the market, shape (m,).
        scores: generator → its score of every trend for this creator, shape (n,).

    Returns:
        Shape (m, len(FEATURES)), in the order of `FEATURES`; NaN where a value is unknown.
    """
    matrix = np.empty((len(rows), len(FEATURES)))
    trends, creators = len(TREND_COLUMNS), len(CREATOR_COLUMNS)
    matrix[:, :trends] = market.numeric[rows]
    matrix[:, trends : trends + creators] = creator.profile
    matrix[:, trends + creators :] = np.column_stack(_cross(market, creator, rows, scores))
    return matrix


def _cross(market: Market, creator: Creator, rows: Ints, scores: Mapping[str, Floats]) -> list[Floats]:
    proposed = [scores[name] for name in GENERATORS]
    is_sound = market.column("is_sound")[rows]
    sounds = creator.column("creator_sound_share")
    return [
        *(score[rows] for score in proposed),
        *(score[rows] / max(float(score.max(initial=0)), 1e-12) for score in proposed),
        market.taste[rows] @ creator.taste,
        region_share(market, creator.region)[rows],
        creator.column("followers") - market.column("median_followers")[rows],
        np.where(is_sound > 0, sounds, 1 - sounds),
    ]


def region_share(market: Market, region: str) -> Floats:
    """Share of each trend's known-region uses that come from `region`, NaN where either is unknown, shape (n,)."""
    if region not in market.region_codes:
        return np.full(len(market), np.nan)
    known = market.region_shares.sum(axis=1) > 0
    return np.where(known, market.region_shares[:, market.region_codes.index(region)], np.nan)
