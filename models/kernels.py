"""Compiled loops that score a forest's masks; importing this module imports numba, so only what runs them should.

Numba keeps compiled code as long as the file of a loop is the same: what loops are made of belongs into this file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

import numpy as np
import numpy.typing as npt
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit
from numba.core import types
from numba.core.datamodel.models import PrimitiveModel
from numba.extending import intrinsic, register_model

from models.forest_dump import ZERO
from models.interactions import Floats, Ints
from models.mask_tables import Bins, SideArrays, Words

Loop = TypeVar("Loop", bound=Callable[..., Any])

TILE: Final = 64
"""Rows that are taken through a block of trees together."""

WIDTH: Final = 8
"""Words of a block of small trees: a cache line."""

ALL: Final = np.uint64(0xFFFFFFFFFFFFFFFF)


def compiled(loop: Loop) -> Loop:
    """Compile on the first call, to run without the interpreter's lock, and keep the code where a folder allows it."""
    try:
        return cast(Loop, njit(cache=True, nogil=True)(loop))
    except RuntimeError:  # neither NUMBA_CACHE_DIR nor the package nor the user's cache folder can be written
        return cast(Loop, njit(nogil=True)(loop))


LINE: Final = ir.VectorType(ir.IntType(64), 8)


class Line(types.Type):
    """Eight words as one value: what LLVM's own vectoriser does not see in loops over them."""

    def __init__(self) -> None:
        super().__init__(name="Line")


@register_model(Line)
class LineModel(PrimitiveModel):  # type: ignore[misc]
    """How it lies in registers."""

    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, LINE)


@intrinsic  # type: ignore[untyped-decorator]
def _load(typing_context: Any, words: Any, at: Any) -> Any:
    """The eight words of a contiguous array from place `at` of its memory on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_pointer(context, builder, signature.args, arguments), align=8)

    return Line()(words, at), generate


@intrinsic  # type: ignore[untyped-decorator]
def _store(typing_context: Any, words: Any, at: Any, line: Any) -> Any:
    """The inverse of `_load`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[2], _pointer(context, builder, signature.args, arguments), align=8)
        return context.get_dummy_value()

    return types.void(words, at, line), generate


@intrinsic  # type: ignore[untyped-decorator]
def _both(typing_context: Any, one: Any, other: Any) -> Any:
    """The bits that two lines share."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.and_(*arguments)

    return one(one, other), generate


@intrinsic  # type: ignore[untyped-decorator]
def _lowest_bit(typing_context: Any, mask: Any) -> Any:
    """Number of the lowest set bit of an integer; it is never 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return mask(mask), generate


def _pointer(context: Any, builder: Any, kinds: Any, arguments: Any) -> Any:
    array = context.make_array(kinds[0])(context, builder, arguments[0])
    place = context.cast(builder, arguments[1], kinds[1], types.intp)
    return builder.bitcast(builder.gep(array.data, [place]), LINE.as_pointer())


@compiled
def find_bins(values: Floats, begin: int, count: int, side: SideArrays, bins: Bins) -> None:
    """For rows `begin` … `begin + count - 1` and each feature of a side: the column of `place`, into `bins`.

    Args:
        values: of the side's columns, shape (m, f).
        bins: written, shape (features in use, at least count).
    """
    columns, starts, thresholds, banded, _, _ = side
    for c in range(len(columns)):
        column, start, size = columns[c], starts[c], starts[c + 1] - starts[c]
        for i in range(count):
            bins[c, i] = start
        left = size
        while left > 1:
            half = left >> 1
            for i in range(count):
                at = bins[c, i]
                bins[c, i] = at + np.uint32(half) * np.uint32(thresholds[at + half - 1] < values[begin + i, column])
            left -= half
        for i in range(count):
            value, at = values[begin + i, column], bins[c, i]
            found = at + np.uint32(thresholds[at] < value)
            if np.isnan(value):
                found = np.uint32(start + size + 1)
            elif banded[c] and -ZERO <= value <= ZERO:
                found = np.uint32(start + size + 2)
            bins[c, i] = found + np.uint32(3 * c)


@compiled
def fold(values: Floats, side: SideArrays, masks: Words) -> None:
    """AND into `masks` what one side of the features leaves of every tree.

    Args:
        values: of the side's columns, shape (n, f).
        masks: changed in place, shape (n, blocks × words of a block).
    """
    columns, place, tables = side[0], side[4], side[5]
    bins = np.empty((len(columns), TILE), np.uint32)
    for begin in range(0, len(values), TILE):
        count = min(TILE, len(values) - begin)
        find_bins(values, begin, count, side, bins)
        for i in range(count):
            if tables.shape[1] == WIDTH:
                _fold_lines((begin + i) * masks.shape[1], i, bins, place, tables, masks)
            else:
                _fold_words(begin + i, i, bins, place, tables, masks)


@compiled
def _fold_lines(at: int, i: int, bins: Bins, place: Bins, tables: Words, masks: Words) -> None:
    for block in range(len(place)):
        left = _load(masks, at + WIDTH * block)
        for c in range(len(bins)):
            left = _both(left, _load(tables, WIDTH * np.int64(place[block, bins[c, i]])))
        _store(masks, at + WIDTH * block, left)


@compiled
def _fold_words(row: int, i: int, bins: Bins, place: Bins, tables: Words, masks: Words) -> None:
    width = tables.shape[1]
    for block in range(len(place)):
        for c in range(len(bins)):
            entry = place[block, bins[c, i]]
            for k in range(width):
                masks[row, block * width + k] &= tables[entry, k]


@compiled
def _meet(rows: Ints, block: int, trend: Words, own: Words, side: SideArrays, bins: Bins, words: Words) -> None:
    """What all three sides leave of one block's trees, into `words`, shape (at least len(rows), WIDTH)."""
    place, tables = side[4][block], side[5]
    at = block * WIDTH
    mine = _load(own, at)
    for i in range(len(rows)):
        left = _both(mine, _load(trend, rows[i] * trend.shape[1] + at))
        for c in range(len(bins)):
            left = _both(left, _load(tables, WIDTH * np.int64(place[bins[c, i]])))
        _store(words, WIDTH * i, left)


@compiled
def _add_leaves(lanes: npt.NDArray[Any], count: int, values: Floats, sums: Floats) -> None:
    """Add each row's leaf of every tree of a block, in the order of the trees.

    Args:
        lanes: what is left of each tree, shape (rows, at least the block's trees).
        count: of rows.
        values: shape (trees, leaves).
        sums: changed in place.
    """
    trees = len(values)
    i = 0
    while i + 4 <= count:  # four sums at a time, because an addition waits for the one before it
        a, b, c, d = sums[i], sums[i + 1], sums[i + 2], sums[i + 3]
        for t in range(trees):
            a += values[t, _lowest_bit(lanes[i, t])]
            b += values[t, _lowest_bit(lanes[i + 1, t])]
            c += values[t, _lowest_bit(lanes[i + 2, t])]
            d += values[t, _lowest_bit(lanes[i + 3, t])]
        sums[i], sums[i + 1], sums[i + 2], sums[i + 3] = a, b, c, d
        i += 4
    while i < count:
        for t in range(trees):
            sums[i] += values[t, _lowest_bit(lanes[i, t])]
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
    lanes: npt.NDArray[Any],
    words: Words,
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
        lanes: `words` seen tree by tree, shape (TILE, trees of a block).
        words: scratch, shape (TILE, WIDTH).
        out: written, shape (m,).

    Returns:
        False, with `out` unfinished, if a row is not of the snapshot.
    """
    own = np.full(trend.shape[1], ALL)
    fold(creator, own_side, own.reshape(1, -1))
    bins = np.empty((len(side[0]), TILE), np.uint32)
    sums = np.empty(TILE)
    boosters = len(first_block) - 1
    for begin in range(0, len(rows), TILE):
        here = rows[begin : begin + TILE]
        count = len(here)
        for i in range(count):
            out[begin + i] = 0.0
            if not 0 <= here[i] < len(trend):
                return False
        find_bins(cross, begin, count, side, bins)
        for booster in range(boosters):
            sums[:count] = 0.0
            for block in range(first_block[booster], first_block[booster + 1]):
                _meet(here, block, trend, own, side, bins, words)
                _add_leaves(lanes, count, values[first_tree[block] : first_tree[block + 1]], sums)
            for i in range(count):
                out[begin + i] += sums[i]
        for i in range(count):
            out[begin + i] /= boosters
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
    words: Words,
    out: Floats,
) -> bool:
    """Like `score_small`, where each tree is a block of several words; `words` has its width, shape (1, width)."""
    width = words.shape[1]
    own = np.full(trend.shape[1], ALL)
    fold(creator, own_side, own.reshape(1, -1))
    place, tables = side[4], side[5]
    bins = np.empty((len(side[0]), TILE), np.uint32)
    boosters = len(first_block) - 1
    for begin in range(0, len(rows), TILE):
        here = rows[begin : begin + TILE]
        find_bins(cross, begin, len(here), side, bins)
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
                        for c in range(len(bins)):
                            left &= tables[place[block, bins[c, i]], k]
                        if left != 0:
                            sum_ += values[block, 64 * k + _lowest_bit(left)]
                            break
                total += sum_
            out[begin + i] = total / boosters
    return True
