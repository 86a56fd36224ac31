"""The compiled loop that ranks, from words to a shortlist in order; importing this module imports numba."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.compiled.choice_kernels import in_order
from models.compiled.lines import compiled
from models.compiled.mask_kernels import score_small
from models.compiled.mask_tables import ForestArrays
from models.compiled.masks import MANY
from models.compiled.pick_kernels import pick
from models.compiled.proposers import OfGenerators, OfTrends, Places, Room
from models.interactions import Floats, Ints

Bools = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.uint32]


@compiled
def rank(
    of: OfGenerators, trends: OfTrends, at: Places, room: Room, weights: Floats, words: Ints, blank: bool,
    traits: Floats, match: Floats, usual_match: float, region: int, allowed: Bools, most: int, profile: Floats,
    forest: ForestArrays, trust: float,
) -> tuple[Ints, Floats, Ints, Floats, Floats]:  # fmt: skip
    """See `models.compiled.prepared.PreparedRanker.rank`.

    Args:
        of, trends, at, room, weights, words, blank, traits, match, usual_match, region, allowed, most: see `pick`.
        profile: of the creator, shape (1, c).
        forest: of trees that share blocks.
        trust: by which its scores are multiplied.

    Returns:
        As in `Ranked`.
    """
    asked = words, blank, traits, match, usual_match, region, allowed, most
    rows, above, cross, usual = pick(of, trends, at, room, weights, *asked)
    raw = np.empty(len(rows))
    masks, own, crossed, first_tree, first_block, values, kind = forest
    taken = _taken_in(rows, room.spots)
    score_small(profile, rows, cross, masks, own, crossed, first_tree, first_block, values, kind, taken, raw)
    for k in range(len(rows)):
        raw[k] = above[k] + trust * raw[k]
    order = in_order(raw, rows)
    return rows[order], raw[order], order, cross, usual


@compiled
def _taken_in(rows: Ints, spots: Rows) -> Ints:
    """The order in which rows are looked at: that of the memory where they are many, as they come where they are few.

    Args:
        rows: different ones, shape (m,).
        spots: scratch, zeros before and after, shape (n,).
    """
    order = np.arange(len(rows))
    if MANY * len(rows) < len(spots):
        return order
    for k in range(len(rows)):
        spots[rows[k]] = np.uint32(k + 1)
    place = 0
    for row in range(len(spots)):
        if spots[row]:
            order[place] = np.int64(spots[row]) - 1
            spots[row] = np.uint32(0)
            place += 1
    return order
