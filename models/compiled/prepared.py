"""One ranker on one market, with everything worked out that is the same for every request."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from models.compiled.forest_dump import UnsupportedForest
from models.compiled.mask_tables import frozen
from models.compiled.masks import CompiledForest, PreparedForest, Side
from models.compiled.proposers import OfGenerators, OfTrends, Places, Room, mean
from models.creator import CREATOR_COLUMNS, Creator
from models.interactions import Floats, Ints
from models.market import TREND_COLUMNS, Market
from models.pairs import (
    FEATURES,
    INPUTS,
    PAIR_INPUTS,
    TREND_INPUTS,
    TRENDS,
    knowledge,
    region_match,
    sound_lean,
    trend_inputs,
)
from models.ranker import Ranker
from models.schema import Schema

Bools = npt.NDArray[np.bool_]

CROSS: Final = (*PAIR_INPUTS, "region_share", "follower_gap", "stage_one", "stage_one_place")
"""The features of the trees that are neither the trend's nor the creator's alone."""

SIDES: Final[tuple[Side, ...]] = tuple(
    "cross" if name in CROSS else "creator" if name in CREATOR_COLUMNS else "trend" for name in FEATURES
)
"""Of each feature of the trees: what has to change for it to change."""

_PAIRS: Final = len(PAIR_INPUTS)
_PLACES: Final = Places(
    **{name: INPUTS.index(name) for name in ("walk_by_history", "adopters_by_history")},
    near=INPUTS.index("neighbours"),
    cluster=INPUTS.index("cluster_trends"),
    walk=INPUTS.index("walk"),
    habit=INPUTS.index("sound_habit"),
    region=INPUTS.index("region_match"),
    trends=_PAIRS,
    adopters=TREND_INPUTS.index("adopters"),
    columns=len(CROSS),
)
_NUMERIC, _OF_CREATOR, _OF_PAIRS, _OF_TRENDS, _REST = (
    slice(FEATURES.index(first), FEATURES.index(first) + count)
    for first, count in (
        (TREND_COLUMNS[0], len(TREND_COLUMNS)),
        (CREATOR_COLUMNS[0], len(CREATOR_COLUMNS)),
        (PAIR_INPUTS[0], len(PAIR_INPUTS)),
        (TREND_INPUTS[0], len(TREND_INPUTS)),
        (CROSS[_PAIRS], len(CROSS) - _PAIRS),
    )
)
"""Where the features of the trees lie, block by block."""


@dataclass(frozen=True)
class Picked:
    """The linear stage's best for one creator, best first.

    Attributes:
        rows: of the market, shape (m,).
        stage_one: the linear score above that of the best, shape (m,); the trees add to it.
        cross: the features of `CROSS`, shape (m, len(CROSS)).
        usual: the linear inputs of the recommendable trends, on average, shape (len(INPUTS),).
    """

    rows: Ints
    stage_one: Floats
    cross: Floats
    usual: Floats


class Ranked(NamedTuple):
    """One creator's shortlist, best first.

    Attributes:
        rows: of the market, shape (m,).
        raw: their scores, shape (m,).
        places: of their rows in `table`, shape (m,).
        table: the features of `CROSS` as they were picked, shape (m, len(CROSS)).
        usual: the linear inputs of the recommendable trends, on average, shape (len(INPUTS),).
    """

    rows: Ints
    raw: Floats
    places: Ints
    table: Floats
    usual: Floats


@dataclass(frozen=True)
class OfRegion:
    """What a creator's region says of every trend.

    Attributes:
        place: of the region among the market's, −1 for an unknown one.
        match: `region_match`, shape (n,).
        usual: the match of a recommendable trend, on average.
    """

    place: int
    match: Floats
    usual: float


@dataclass(frozen=True)
class PreparedRanker:
    """Ranks all trends of a market for one creator; the figures of `Ranker.best` and `Ranker.score` to 1e-9.

    Attributes:
        ranker, market: what was prepared.
        generators: the market's.
        of_trends: `trend_inputs` of the market, shape (n, len(TREND_INPUTS)).
        forest: the trees with the trend side folded in; None where LightGBM has to predict them.
    """

    ranker: Ranker
    market: Market
    generators: OfGenerators
    of_trends: Floats
    forest: PreparedForest | None

    @classmethod
    def of(cls, ranker: Ranker, market: Market, compiled: CompiledForest | None) -> PreparedRanker:
        """Prepare a ranker for a market.

        Args:
            compiled: `compiled_forest` of the ranker.
        """
        of_trends = trend_inputs(market)
        forest = None if compiled is None else compiled.prepare(_trend_side(market, of_trends))
        return cls(ranker, market, OfGenerators.of(market), of_trends, forest).ready()

    @cached_property
    def trends(self) -> OfTrends:
        """What the linear stage takes of them."""
        market, shares = self.market, self.market.region_shares
        sounds = market.column("is_sound") == 1
        return OfTrends(
            base=_column(self.of_trends @ self.weights[_PAIRS:]),
            sounds=frozen(sounds),
            adopters=_column(self.of_trends[:, _PLACES.adopters]),
            followers=_column(market.column("median_followers")),
            shares=frozen(np.where(shares.sum(axis=1, keepdims=True) > 0, shares, np.nan)),
            usual=frozen(mean(self.of_trends.T, market.recommendable)),
            usual_sounds=float(mean(sounds[None, :].astype(np.float64), market.recommendable)[0]),
        )

    @cached_property
    def weights(self) -> Floats:
        """Of the linear inputs, shape (len(INPUTS),)."""
        return _column(self.ranker.weights)

    @cached_property
    def _of_regions(self) -> dict[str, OfRegion]:
        return {}

    def of_region(self, region: str) -> OfRegion:
        """What a region changes; kept for the next request."""
        known = region if region in self.market.region_codes else ""
        if known not in self._of_regions:
            codes, match = self.market.region_codes, frozen(region_match(self.market, known))
            usual = float(mean(match[None, :], self.market.recommendable)[0])
            self._of_regions[known] = OfRegion(codes.index(known) if known else -1, match, usual)
        return self._of_regions[known]

    def rank(self, creator: Creator, allowed: Bools, most: int) -> Ranked:
        """The linear stage's `most` best of what is allowed with their final scores, best first, ties by row.

        What `pick` and `score` say one after the other, in one loop where there are trees that share blocks.

        Args:
            allowed: shape (n,).
            most: how many at most.
        """
        ranker, forest = self.ranker, self.forest
        if ranker.boosters and forest is not None and forest.forest.layout.shared:
            from models.compiled.rank_kernels import rank

            of_trees = forest.of_creator(creator.profile), forest.arrays, ranker.trust
            asked = *self._asked(creator, allowed, most), *of_trees
            return Ranked(*rank(*asked))
        from models.compiled.choice_kernels import in_order

        picked = self.pick(creator, allowed, most)
        raw = self.score(creator, picked)
        order = in_order(raw, picked.rows)
        return Ranked(picked.rows[order], raw[order], order, picked.cross, picked.usual)

    def pick(self, creator: Creator, allowed: Bools, most: int) -> Picked:
        """The linear stage's `most` best of what is allowed, ties by row; arguments as of `rank`."""
        from models.compiled.pick_kernels import pick

        return Picked(*pick(*self._asked(creator, allowed, most)))

    def _asked(self, creator: Creator, allowed: Bools, most: int) -> tuple[Any, ...]:
        """What the loops take first."""
        said, region = creator.words_of(self.market), self.of_region(creator.region)
        traits = np.array([sound_lean(creator), knowledge(creator), creator.column("followers")])
        room = Room.of(len(self.market), len(self.generators.places))
        may = frozen(np.ascontiguousarray(allowed, np.bool_))
        of_region = region.match, region.usual, region.place
        of_market = self.generators, self.trends, _PLACES, room, self.weights
        return *of_market, said.columns, said.blank, traits, *of_region, may, most

    def score(self, creator: Creator, picked: Picked) -> Floats:
        """Raw scores of what was picked, shape (m,)."""
        ranker = self.ranker
        if not ranker.boosters or not len(picked.rows):
            return picked.stage_one
        if self.forest is None:
            return picked.stage_one + ranker.correction(self.features(creator, picked.rows, picked.cross), threads=1)
        added = self.forest.score(creator.profile, picked.rows, picked.cross)
        return np.asarray(picked.stage_one + ranker.trust * added)

    def features(self, creator: Creator, rows: Ints, cross: Floats) -> Floats:
        """The features of the trees of some picked rows, shape (m, len(FEATURES))."""
        table = np.empty((len(rows), len(FEATURES)))
        table[:, _NUMERIC] = self.market.numeric[rows]
        table[:, _OF_CREATOR] = creator.profile
        table[:, _OF_PAIRS] = cross[:, :_PAIRS]
        table[:, _OF_TRENDS] = self.of_trends[rows]
        table[:, _REST] = cross[:, _PAIRS:]
        return table

    def patched(self, market: Market, rows: Ints) -> PreparedRanker:
        """The same ranker on a market in which only the trend side of some rows has changed."""
        if not len(rows):
            same = replace(self, market=market)
            vars(same).update({name: kept for name, kept in vars(self).items() if name not in vars(same)})
            return same
        changed = self.of_trends.copy()
        changed[rows] = trend_inputs(market, rows)
        forest = self.forest
        if forest is not None:
            forest = forest.patched(_trend_side(market, changed, rows), rows)
        generators = self._generators_of(market)
        return replace(self, market=market, generators=generators, of_trends=changed, forest=forest).ready()

    def _generators_of(self, market: Market) -> OfGenerators:
        """Of a market with the same generators."""
        same = np.array_equal(market.recommendable, self.market.recommendable)
        return self.generators if same else OfGenerators.of(market)

    def ready(self) -> PreparedRanker:
        """Itself, with what the first request would have to work out for all."""
        _ = self.trends, self.weights, self.market.kinds, self.market.whole
        return self


def compiled_forest(ranker: Ranker) -> CompiledForest | None:
    """The ranker's trees as masks; None where it has none, or LightGBM itself has to predict them."""
    if not ranker.boosters:
        return None
    try:
        return CompiledForest.of(ranker.boosters, SIDES if ranker.schema == TRENDS else _crossed(ranker.schema))
    except UnsupportedForest:
        return None


def _crossed(schema: Schema) -> tuple[Side, ...]:
    """Of features that may all differ with every pair of a query and a candidate."""
    side: Side = "cross"
    return (side,) * len(schema.features)


def _trend_side(market: Market, of_trends: Floats, rows: Ints | slice = slice(None)) -> Floats:
    """The trend side of the features of the trees, in their order, shape (m, trend features)."""
    return np.hstack([market.numeric[rows], of_trends[rows]])


def _column(values: Floats) -> Floats:
    """As loops take it: side by side, and not to be written."""
    column: Floats = frozen(np.ascontiguousarray(values, np.float64))
    return column
