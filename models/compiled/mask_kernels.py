"""Compiled loops that score a forest's masks; importing this module imports numba, so only what runs them should."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from models.compiled.forest_dump import ZERO
from models.compiled.lines import WIDTH, both, compiled, load_line, lowest_bit, prefetch, store_line
from models.compiled.mask_tables import Bins, Lanes, SideArrays, Words
from models.interactions import Floats, Ints

TILE: Final = 512
"""Rows that are taken through all trees together: a block's tables are brought near once for all of them."""

CHUNK: Final = 16
"""Rows of which a block's leaves are looked up together: what is left of its trees lies in the nearest cache."""

AHEAD: Final = 24
"""How many rows before their use the masks of trends are asked for."""

ALL: Final = np.uint64(0xFFFFFFFFFFFFFFFF)


@compiled
def find_bins(values: Floats, taken: Ints, side: SideArrays, bins: Bins) -> None:
    """For some rows and each feature of a side: the column of `place`, into `bins`.

    Args:
        values: of the side's columns, shape (m, f).
        taken: the rows, at most TILE, shape (count,).
        bins: written, shape (at least count, features in use).
    """
    columns, starts, thresholds, banded, cells, lows, scales, halves = side[:8]
    last = np.float64(cells.shape[1] - 1)
    xs, found = np.empty(TILE), np.empty(TILE, np.uint32)
    for c in range(len(columns)):  # step by step for all rows, without branches: nobody could foretell where they go
        column, size, shift = columns[c], starts[c + 1] - starts[c], np.uint32(starts[c] + 3 * c)
        of_feature, first, low, scale = thresholds[c], cells[c], lows[c], scales[c]
        for i in range(len(taken)):
            xs[i] = values[taken[i], column]
        for i in range(len(taken)):
            cell = (xs[i] - low) * scale
            found[i] = first[np.uint64(min(cell if cell > 0.0 else 0.0, last))]
        half = np.uint32(halves[c])
        while half:
            for i in range(len(taken)):
                found[i] += half * np.uint32(of_feature[found[i] + half - np.uint32(1)] < xs[i])
            half >>= np.uint32(1)
        for i in range(len(taken)):
            at = np.uint32(size + 1) if np.isnan(xs[i]) else found[i]
            bins[i, c] = shift + (np.uint32(size + 2) if banded[c] and -ZERO <= xs[i] <= ZERO else at)


@compiled
def fold(values: Floats, side: SideArrays, masks: Words) -> None:
    """AND into `masks` what one side of the features leaves of every tree.

    Args:
        values: of the side's columns, shape (n, f).
        masks: changed in place, shape (n, blocks × words of a block).
    """
    columns, place, tables = side[0], side[8], side[9]
    bins = np.empty((TILE, len(columns)), np.uint32)
    for begin in range(0, len(values), TILE):
        count = min(TILE, len(values) - begin)
        find_bins(values, np.arange(begin, begin + count), side, bins)
        for i in range(count):
            if tables.shape[1] == WIDTH:
                _fold_lines((begin + i) * masks.shape[1], i, bins, place, tables, masks)
            else:
                _fold_words(begin + i, i, bins, place, tables, masks)


@compiled
def _fold_lines(at: int, i: int, bins: Bins, place: Bins, tables: Words, masks: Words) -> None:
    for block in range(len(place)):
        left = load_line(masks, at + WIDTH * block)
        for c in range(bins.shape[1]):
            left = both(left, load_line(tables, WIDTH * np.int64(place[block, bins[i, c]])))
        store_line(masks, at + WIDTH * block, left)


@compiled
def _fold_words(row: int, i: int, bins: Bins, place: Bins, tables: Words, masks: Words) -> None:
    width = tables.shape[1]
    for block in range(len(place)):
        for c in range(bins.shape[1]):
            entry = place[block, bins[i, c]]
            for k in range(width):
                masks[row, block * width + k] &= tables[entry, k]


@compiled
def _meet(
    at: Ints, begin: int, end: int, block: int, trend: Words, own: Words, side: SideArrays, bins: Bins, words: Words
) -> None:
    """What all three sides leave of one block's trees for rows `begin` to `end`, into `words`, shape (CHUNK, WIDTH).

    Args:
        at: where the masks of each row begin in `trend`, and AHEAD more such places, shape (at least end + AHEAD,).
    """
    place, tables, begins = side[8][block], side[9], side[10]
    here, after = block * WIDTH, begins[block + 1]
    mine = load_line(own, here)
    for k in range(end - begin):
        i = begin + k
        prefetch(trend, at[i + AHEAD] + here)
        prefetch(tables, WIDTH * (after + i))  # the next block's
        left = both(mine, load_line(trend, at[i] + here))
        for c in range(bins.shape[1]):
            left = both(left, load_line(tables, WIDTH * np.int64(place[bins[i, c]])))
        store_line(words, WIDTH * k, left)


@compiled
def _find_rows(rows: Ints, taken: Ints, trend: Words, at: Ints) -> bool:
    """Where the masks of the rows taken begin, see `_meet`; False if a row is not of the snapshot."""
    for i in range(len(taken)):
        row = rows[taken[i]]
        if not 0 <= row < len(trend):
            return False
        at[i] = row * trend.shape[1]
    at[len(taken) : len(taken) + AHEAD] = at[0]
    return True


@compiled
def _add_leaves(lanes: Lanes, count: int, values: Floats, sums: Floats) -> None:
    """Add each row's leaf of every tree of a block, in the order of the trees.

    Args:
        lanes: what is left of each tree, shape (rows, at least the block's trees).
        count: of rows.
        values: shape (trees, leaves).
        sums: changed in place.
    """
    trees = len(values)
    i = 0
    while i + 8 <= count:  # eight sums at a time, because an addition waits for the one before it
        a, b, c, d = sums[i], sums[i + 1], sums[i + 2], sums[i + 3]
        e, f, g, h = sums[i + 4], sums[i + 5], sums[i + 6], sums[i + 7]
        for t in range(trees):
            of_tree = values[t]
            a += of_tree[lowest_bit(lanes[i, t])]
            b += of_tree[lowest_bit(lanes[i + 1, t])]
            c += of_tree[lowest_bit(lanes[i + 2, t])]
            d += of_tree[lowest_bit(lanes[i + 3, t])]
            e += of_tree[lowest_bit(lanes[i + 4, t])]
            f += of_tree[lowest_bit(lanes[i + 5, t])]
            g += of_tree[lowest_bit(lanes[i + 6, t])]
            h += of_tree[lowest_bit(lanes[i + 7, t])]
        sums[i], sums[i + 1], sums[i + 2], sums[i + 3] = a, b, c, d
        sums[i + 4], sums[i + 5], sums[i + 6], sums[i + 7] = e, f, g, h
        i += 8
    while i < count:
        for t in range(trees):
            sums[i] += values[t, lowest_bit(lanes[i, t])]
        i += 1


@compiled
def score_small(
    creator: Floats,
    rows: Ints,
    cross: Floats,
    trend: Words,
    own_side: SideArrays,
    side: SideArrays,
    first_tree: Ints,
    first_block: Ints,
    values: Floats,
    kind: Lanes,
    order: Ints,
    out: Floats,
) -> bool:
    """Mean over boosters of the sums over their trees, where several trees share the words of a block.

    Args:
        creator: shape (1, f).
        rows: of the snapshot, shape (m,).
        cross: shape (m, g).
        trend: the snapshot's masks, shape (n, blocks × WIDTH).
        own_side, side: tables of the creator's and of the cross features.
        first_tree: of each block, shape (blocks + 1,).
        first_block: of each booster, shape (boosters + 1,).
        values: of leaves, shape (trees, leaves).
        kind: none of the numbers that one tree's bits are, shape (0,).
        order: places in `rows` as they are taken, each once, shape (m,).
        out: written, shape (m,).

    Returns:
        False, with `out` unfinished, if a row is not of the snapshot.
    """
    own = np.full(trend.shape[1], ALL)
    fold(creator, own_side, own.reshape(1, -1))
    bins, words = np.empty((TILE, len(side[0])), np.uint32), np.empty((CHUNK, WIDTH), np.uint64)
    lanes = words.view(kind.dtype)
    sums, at = np.empty(TILE), np.empty(TILE + AHEAD, np.int64)
    boosters = len(first_block) - 1
    for begin in range(0, len(rows), TILE):
        taken = order[begin : begin + TILE]
        count = len(taken)
        if not _find_rows(rows, taken, trend, at):
            return False
        find_bins(cross, taken, side, bins)
        for place in taken:
            out[place] = 0.0
        for booster in range(boosters):
            sums[:count] = 0.0
            for block in range(first_block[booster], first_block[booster + 1]):
                of_block = values[first_tree[block] : first_tree[block + 1]]
                for first in range(0, count, CHUNK):
                    end = min(first + CHUNK, count)
                    _meet(at, first, end, block, trend, own, side, bins, words)
                    _add_leaves(lanes, end - first, of_block, sums[first:end])
            for i in range(count):
                out[taken[i]] += sums[i]
        for place in taken:
            out[place] /= boosters
    return True


@compiled
def find_leaves(
    creator: Floats,
    rows: Ints,
    cross: Floats,
    trend: Words,
    own_side: SideArrays,
    side: SideArrays,
    first_tree: Ints,
    kind: Lanes,
    leaves: npt.NDArray[np.uint16],
) -> bool:
    """The leaf of every row in each tree, counted from the left; arguments as for `score_small`.

    Args:
        leaves: written, shape (m, trees).
    """
    own = np.full(trend.shape[1], ALL)
    fold(creator, own_side, own.reshape(1, -1))
    bins, words = np.empty((TILE, len(side[0])), np.uint32), np.empty((CHUNK, WIDTH), np.uint64)
    lanes, at = words.view(kind.dtype), np.empty(TILE + AHEAD, np.int64)
    for begin in range(0, len(rows), TILE):
        taken = np.arange(begin, min(begin + TILE, len(rows)))
        if not _find_rows(rows, taken, trend, at):
            return False
        find_bins(cross, taken, side, bins)
        for block in range(len(first_tree) - 1):
            for first in range(0, len(taken), CHUNK):
                end = min(first + CHUNK, len(taken))
                _meet(at, first, end, block, trend, own, side, bins, words)
                for i in range(first, end):
                    for tree in range(first_tree[block], first_tree[block + 1]):
                        leaves[begin + i, tree] = lowest_bit(lanes[i - first, tree - first_tree[block]])
    return True


@compiled
def score_large(
    creator: Floats,
    rows: Ints,
    cross: Floats,
    trend: Words,
    own_side: SideArrays,
    side: SideArrays,
    first_tree: Ints,
    first_block: Ints,
    values: Floats,
    out: Floats,
) -> bool:
    """Like `score_small`, where each tree is a block of several words."""
    width = side[9].shape[1]
    own = np.full(trend.shape[1], ALL)
    fold(creator, own_side, own.reshape(1, -1))
    place, tables = side[8], side[9]
    bins = np.empty((TILE, len(side[0])), np.uint32)
    boosters = len(first_block) - 1
    for begin in range(0, len(rows), TILE):
        here = rows[begin : begin + TILE]
        find_bins(cross, np.arange(begin, begin + len(here)), side, bins)
        for i in range(len(here)):
            row = here[i]
            if not 0 <= row < len(trend):
                return False
            total = 0.0
            for booster in range(boosters):
                sum_ = 0.0
                for block in range(first_block[booster], first_block[booster + 1]):
                    for k in range(width):
                        left = trend[row, block * width + k] & own[block * width + k]
                        for c in range(bins.shape[1]):
                            left &= tables[place[block, bins[i, c]], k]
                        if left != 0:
                            sum_ += values[block, 64 * k + lowest_bit(left)]
                            break
                total += sum_
            out[begin + i] = total / boosters
    return True
