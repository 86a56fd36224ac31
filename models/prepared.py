"""One ranker on one market, with everything worked out that is the same for every request."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from models.candidates import GENERATORS
from models.creator import CREATOR_COLUMNS, Creator
from models.forest_dump import UnsupportedForest
from models.interactions import Floats, Ints
from models.market import Market
from models.masks import CompiledForest, PreparedForest, Side
from models.pairs import (
    FEATURES,
    INPUTS,
    PAIR_INPUTS,
    TREND_INPUTS,
    knowledge,
    region_match,
    region_share,
    sound_lean,
    trend_inputs,
)
from models.proposers import Proposers
from models.ranker import Ranker

Bools = npt.NDArray[np.bool_]

CROSS: Final = (*PAIR_INPUTS, "region_share", "follower_gap", "stage_one", "stage_one_place")
"""The features of the trees that are neither the trend's nor the creator's alone."""

SIDES: Final[tuple[Side, ...]] = tuple(
    "cross" if name in CROSS else "creator" if name in CREATOR_COLUMNS else "trend" for name in FEATURES
)
"""Of each feature of the trees: what has to change for it to change."""

_TREND, _CREATOR, _CROSS = (
    np.array([at for at, side in enumerate(SIDES) if side == wanted]) for wanted in ("trend", "creator", "cross")
)
_WALK, _PAIRS = GENERATORS.index("walk"), len(PAIR_INPUTS)
_HABIT, _WALK_BY_HISTORY, _ADOPTERS_BY_HISTORY, _REGION = range(len(GENERATORS), _PAIRS)
_ADOPTERS: Final = TREND_INPUTS.index("adopters")


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


@dataclass(frozen=True)
class OfRegion:
    """What a creator's region says of every trend.

    Attributes:
        match, share: `region_match` and `region_share`, shape (n,).
        usual: the match of a recommendable trend, on average.
    """

    match: Floats
    share: Floats
    usual: float


@dataclass(frozen=True)
class PreparedRanker:
    """Ranks all trends of a market for one creator; the figures of `Ranker.best` and `Ranker.score` to 1e-9.

    In a market of more than `most_scored` trends only those are ranked that a sparse generator proposes, and as many
    as that of the best by what is the same for everybody.

    Attributes:
        ranker, market: what was prepared.
        proposers: the market's generators.
        of_trends: `trend_inputs` of the market, shape (n, len(TREND_INPUTS)).
        forest: the trees with the trend side folded in; None where LightGBM has to predict them.
        most_scored: see above.
    """

    ranker: Ranker
    market: Market
    proposers: Proposers
    of_trends: Floats
    forest: PreparedForest | None
    most_scored: int

    @classmethod
    def of(cls, ranker: Ranker, market: Market, compiled: CompiledForest | None, most_scored: int) -> PreparedRanker:
        """Prepare a ranker for a market.

        Args:
            compiled: `compiled_forest` of the ranker.
        """
        of_trends = trend_inputs(market)
        forest = None if compiled is None else compiled.prepare(_trend_side(market, of_trends))
        return cls(ranker, market, Proposers.of(market), of_trends, forest, most_scored).ready()

    @cached_property
    def base(self) -> Floats:
        """What the trend side adds to the linear stage, shape (n,)."""
        return np.asarray(self.of_trends @ self.ranker.weights[_PAIRS:])

    @cached_property
    def head(self) -> Bools | None:
        """The best by what is the same for everybody, shape (n,); None where the market is small enough for all."""
        if len(self.market) <= self.most_scored:
            return None
        best = np.zeros(len(self.market), np.bool_)
        best[np.argsort(-np.where(self.market.recommendable, self.base, -np.inf))[: self.most_scored]] = True
        return best

    @cached_property
    def usual_of_trends(self) -> Floats:
        """The trend side of a recommendable trend, on average, shape (len(TREND_INPUTS),)."""
        return _mean(self.of_trends.T, self.market.recommendable)

    @cached_property
    def usual_sounds(self) -> float:
        """The share of sounds among the recommendable trends."""
        return float(_mean(self.sounds[None, :], self.market.recommendable)[0])

    @cached_property
    def _of_regions(self) -> dict[str, OfRegion]:
        return {}

    def of_region(self, region: str) -> OfRegion:
        """What a region changes; kept for the next request."""
        known = region if region in self.market.region_codes else ""
        if known not in self._of_regions:
            match = region_match(self.market, known)
            usual = float(_mean(match[None, :], self.market.recommendable)[0])
            self._of_regions[known] = OfRegion(match, region_share(self.market, known), usual)
        return self._of_regions[known]

    def pick(self, creator: Creator, allowed: Bools, most: int) -> Picked:
        """The linear stage's `most` best of what is allowed, ties by row.

        Args:
            allowed: shape (n,).
            most: how many at most.
        """
        from models.row_kernels import best_rows
        from models.stage_kernels import weigh

        rows, inputs = self.proposers.inputs(creator, self.head)
        every = slice(None) if rows is None else rows
        weights, known, lean = self.ranker.weights, knowledge(creator), sound_lean(creator)
        region = self.of_region(creator.region)
        columns = np.stack([self.sounds[every], self.of_trends[every, _ADOPTERS], region.match[every]])
        amounts = weights[[_HABIT, _ADOPTERS_BY_HISTORY, _REGION]] * [lean, known, 1.0]
        of_generators = weights[: len(GENERATORS)].copy()
        of_generators[_WALK] += weights[_WALK_BY_HISTORY] * known
        scores, can = np.empty(inputs.shape[1]), allowed[every]
        weigh(inputs, of_generators, self.base[every], columns, amounts, can, scores)
        best = best_rows(scores, can, most)
        at = best if rows is None else rows[best]
        stage_one = scores[best] - (scores[best[0]] if len(best) else 0.0)
        pairs = np.empty((len(best), _PAIRS))
        pairs[:, : len(GENERATORS)] = inputs[:, best].T
        pairs[:, _HABIT] = self.sounds[at] * lean
        pairs[:, _WALK_BY_HISTORY] = pairs[:, _WALK] * known
        pairs[:, _ADOPTERS_BY_HISTORY] = self.of_trends[at, _ADOPTERS] * known
        pairs[:, _REGION] = region.match[at]
        gap = creator.column("followers") - self.followers[at]
        cross = np.column_stack([pairs, region.share[at], gap, np.maximum(stage_one, -30), _places(stage_one)])
        return Picked(at, stage_one, cross, self._usual(inputs, every, known, lean, region))

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
        table[:, _TREND] = _trend_side(self.market, self.of_trends, rows)
        table[:, _CREATOR] = creator.profile
        table[:, _CROSS] = cross
        return table

    def patched(self, market: Market, rows: Ints) -> PreparedRanker:
        """The same ranker on a market in which only the trend side of some rows has changed."""
        changed = self.of_trends.copy()
        changed[rows] = trend_inputs(market, rows)
        forest = self.forest
        if forest is not None:
            forest = forest.patched(_trend_side(market, changed, rows), rows)
        proposers = replace(self.proposers, market=market)
        return replace(self, market=market, proposers=proposers, of_trends=changed, forest=forest).ready()

    def ready(self) -> PreparedRanker:
        """Itself, with what the first request would have to work out for all."""
        _ = self.base, self.head, self.usual_of_trends, self.sounds, self.usual_sounds, self.followers
        return self

    @cached_property
    def sounds(self) -> Floats:
        """1 where a trend is a sound, shape (n,)."""
        return self.market.column("is_sound")

    @cached_property
    def followers(self) -> Floats:
        """Median followers of a trend's creators, shape (n,)."""
        return self.market.column("median_followers")

    def _usual(self, inputs: Floats, every: slice | Ints, known: float, lean: float, region: OfRegion) -> Floats:
        recommendable = self.market.recommendable[every]
        usual = np.empty(len(INPUTS))
        usual[: len(GENERATORS)] = _mean(inputs, recommendable)
        usual[_HABIT] = self.usual_sounds * lean
        usual[_WALK_BY_HISTORY] = usual[_WALK] * known
        usual[_ADOPTERS_BY_HISTORY] = self.usual_of_trends[_ADOPTERS] * known
        usual[_REGION] = region.usual
        usual[_PAIRS:] = self.usual_of_trends
        return usual


def compiled_forest(ranker: Ranker) -> CompiledForest | None:
    """The ranker's trees as masks; None where it has none, or LightGBM itself has to predict them."""
    if not ranker.boosters:
        return None
    try:
        return CompiledForest.of(ranker.boosters, SIDES)
    except UnsupportedForest:
        return None


def _trend_side(market: Market, of_trends: Floats, rows: Ints | slice = slice(None)) -> Floats:
    """The trend side of the features of the trees, in their order, shape (m, trend features)."""
    return np.hstack([market.numeric[rows], of_trends[rows]])


def _places(stage_one: Floats) -> Ints:
    """How many score higher, of scores in descending order, shape (m,)."""
    return np.searchsorted(-stage_one, -stage_one)


def _mean(table: Floats, chosen: Bools) -> Floats:
    """Mean of each row over the chosen columns, 0 where none is."""
    return np.asarray(table @ chosen.astype(np.float64) / max(int(np.count_nonzero(chosen)), 1))
