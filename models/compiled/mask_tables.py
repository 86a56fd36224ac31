"""Turns the splits of a forest into bit masks: for every bin of a feature, the leaves that it leaves of each tree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.compiled.forest_dump import Bools, Trees, UnsupportedForest
from models.interactions import Floats, Ints

Words = npt.NDArray[np.uint64]
Bins = npt.NDArray[np.uint32]
Lanes = npt.NDArray[np.unsignedinteger[Any]]
SideArrays = tuple[Ints, Ints, Floats, Bools, Bins, Floats, Floats, Ints, Bins, Words, Ints]
"""The attributes of `SideMasks` in their order, as the kernels take them."""

ForestArrays = tuple[Words, SideArrays, SideArrays, Ints, Ints, Floats, Lanes]
"""Of a forest as the kernels take it: masks of the trends, tables of the creator's and of the cross features, first
trees, first blocks, values of the leaves, kind of lanes; see `models.compiled.mask_kernels.score_small`."""

MOST_BYTES: Final = 1 << 28
"""Of one side's tables; a forest that needs more is left to LightGBM."""

MOST_LEAVES: Final = 64
"""Of trees that share blocks."""

BLOCK_BITS: Final = 512
"""Of a block that trees share: a cache line."""

CELLS: Final = 512
"""Of a feature's range: enough for most to hold one threshold or none."""

ONES: Final = np.array([(1 << bits) - 1 for bits in range(65)], np.uint64)


@dataclass(frozen=True)
class Layout:
    """Where each tree lies in the words of its block.

    Attributes:
        bits: of a tree: 16, 32 or 64 where trees share blocks; more where each has a block of its own.
        first_tree: of each block, shape (blocks + 1,).
        first_block: of each booster, shape (boosters + 1,).
    """

    bits: int
    first_tree: Ints
    first_block: Ints

    @classmethod
    def of(cls, trees: Trees) -> Layout:
        """Blocks never hold trees of two boosters, because each booster has a sum of its own."""
        most = int(trees.leaves.max(initial=1))
        bits = next((bits for bits in (16, 32, 64) if most <= bits), 64 * -(-most // 64))
        capacity = max(BLOCK_BITS // bits, 1) if bits <= 64 else 1
        ends = np.cumsum(trees.sizes)
        starts = [np.arange(end - size, end, capacity) for size, end in zip(trees.sizes, ends, strict=True)]
        return cls(
            bits=bits,
            first_tree=frozen(np.concatenate([*starts, ends[-1:]]).astype(np.int64)),
            first_block=frozen(np.cumsum([0, *map(len, starts)])),
        )

    @property
    def shared(self) -> bool:
        """Whether several trees share a block."""
        return self.bits <= MOST_LEAVES

    @property
    def width(self) -> int:
        """Words of a block."""
        return BLOCK_BITS // 64 if self.shared else self.bits // 64

    @cached_property
    def lanes(self) -> Lanes:
        """None: of the kind of number that one tree's bits are, where trees share blocks, shape (0,)."""
        return np.empty(0, f"u{min(self.bits, 64) // 8}")

    def __len__(self) -> int:
        return len(self.first_tree) - 1


@dataclass(frozen=True)
class SideMasks:
    """What the features of one side rule out, block by block.

    The bins of a feature with k thresholds: one below each of them, one above all, NaN, and what counts as 0.

    Attributes:
        columns: of the side's matrix that any tree looks at, shape (c,).
        starts: how many thresholds the columns before have, shape (c + 1,).
        thresholds: of each column, ascending, and then ∞, shape (c, w).
        banded: whether what counts as 0 has a bin of its own, shape (c,).
        cells: of a column's range, cut into `CELLS` of one width: how many thresholds lie in the cells before, shape
            (c, CELLS); what is out of range belongs to the first or the last.
        lows, scales: where a column's cells begin, and 1 ÷ their width, 0 where all is one, shape (c,).
        halves: a power of two, so that no cell has more than 2 × that − 1 thresholds, shape (c,).
        place: block and bin → row of `tables`, shape (blocks, thresholds + 3 × c).
        tables: the leaves that are left, one block after another, shape (r, words of a block).
        begins: row of `tables` where each block's begin, and where the last one's end, shape (blocks + 1,).
    """

    columns: Ints
    starts: Ints
    thresholds: Floats
    banded: Bools
    cells: Bins
    lows: Floats
    scales: Floats
    halves: Ints
    place: Bins
    tables: Words
    begins: Ints

    @property
    def arrays(self) -> SideArrays:
        """The attributes in their order."""
        searched = (self.columns, self.starts, self.thresholds, self.banded, self.cells)
        return (*searched, self.lows, self.scales, self.halves, self.place, self.tables, self.begins)

    @classmethod
    def of(cls, trees: Trees, layout: Layout, features: Ints) -> SideMasks:
        """The masks of some features.

        Args:
            trees: the forest.
            layout: of its blocks.
            features: one side's, in the order of its matrix.

        Raises:
            UnsupportedForest: they would need more than `MOST_BYTES`.
        """
        columns = np.flatnonzero(np.isin(features, trees.feature))
        splits = [np.flatnonzero(trees.feature == feature) for feature in features[columns]]
        splits = [of[np.argsort(trees.threshold[of], kind="stable")] for of in splits]
        known = [np.unique(trees.threshold[of]) for of in splits]
        starts = np.cumsum([0, *map(len, known)])
        bins, rows = int(starts[-1]) + 3 * len(columns), sum(map(len, splits)) + 3 * len(columns) * len(layout) + 1
        if len(layout) * bins * 4 + rows * layout.width * 8 > MOST_BYTES:
            raise UnsupportedForest("the masks of so many trees take too much memory")
        place = np.zeros((len(layout), bins), np.uint32)
        tables = [np.full((1, layout.width), ONES[-1])]  # row 0 rules nothing out
        rows, begins = 1, [1]
        of_block = [np.searchsorted(layout.first_tree, trees.tree[of], side="right") - 1 for of in splits]
        for block in range(len(layout)):
            for number, (of, thresholds) in enumerate(zip(splits, known, strict=True)):
                chosen = of[of_block[number] == block]
                if not len(chosen):
                    continue
                spot = slice(int(starts[number]) + 3 * number, int(starts[number + 1]) + 3 * number + 3)
                lower = np.searchsorted(trees.threshold[chosen], thresholds)
                place[block, spot] = rows + np.array([*lower, len(chosen), len(chosen) + 1, len(chosen) + 2])
                tables.append(_left_over(trees, layout, chosen))
                rows += len(tables[-1])
            begins.append(rows)
        cells, lows, scales, halves = _cells(known)
        padded = np.full((len(known), int(np.diff(starts).max(initial=0) + 2 * halves.max(initial=0))), np.inf)
        for row, thresholds in zip(padded, known, strict=True):
            row[: len(thresholds)] = thresholds
        return cls(
            columns=frozen(columns),
            starts=frozen(starts),
            thresholds=frozen(padded),
            banded=frozen(np.array([trees.zero_apart[of].any() for of in splits], bool)),
            cells=frozen(cells),
            lows=frozen(lows),
            scales=frozen(scales),
            halves=frozen(halves),
            place=frozen(place),
            tables=frozen(np.concatenate(tables, out=aligned_ones((rows, layout.width)))),
            begins=frozen(np.array(begins, np.int64)),
        )


def _cells(known: Sequence[Floats]) -> tuple[Bins, Floats, Floats, Ints]:
    """Where the search for a value among ascending thresholds begins, and how far it goes; see `SideMasks`."""
    cells, halves = np.zeros((len(known), CELLS), np.uint32), np.ones(len(known), np.int64)
    lows, scales = np.zeros(len(known)), np.zeros(len(known))
    for number, thresholds in enumerate(known):
        lows[number], high = np.quantile(thresholds, [0.02, 0.98], method="nearest")  # some lie far out
        with np.errstate(over="ignore", invalid="ignore"):
            width = high - lows[number]
            scales[number] = CELLS / width if 0 < width < np.inf else 0.0
            cell = (thresholds - lows[number]) * scales[number]
            at = np.where(cell > 0, np.minimum(cell, CELLS - 1), 0).astype(np.int64)
        cells[number] = np.searchsorted(at, np.arange(CELLS))
        halves[number] = 1 << (int(np.bincount(at).max()).bit_length() - 1)
    return cells, lows, scales, halves


def _left_over(trees: Trees, layout: Layout, splits: Ints) -> Words:
    """What is left of a block when the first 0, 1, … k of its splits on a feature send to the right; for NaN; for 0."""
    width = layout.width
    block = np.searchsorted(layout.first_tree, trees.tree[splits], side="right") - 1
    offset = (trees.tree[splits] - layout.first_tree[block]) * layout.bits
    word = 64 * np.arange(width)
    begin = np.clip((offset + trees.first[splits])[:, None] - word, 0, 64)
    end = np.clip((offset + trees.middle[splits])[:, None] - word, 0, 64)
    masks = ~(ONES[end] & ~ONES[begin])
    right_at_0 = np.where(trees.zero_apart[splits], ~trees.zero_left[splits], trees.threshold[splits] < 0)
    whole = np.full((1, width), ONES[-1])
    return np.concatenate(
        [
            np.bitwise_and.accumulate(np.concatenate([whole, masks])),
            np.bitwise_and.reduce(masks[~trees.nan_left[splits]], axis=0, keepdims=True, initial=ONES[-1]),
            np.bitwise_and.reduce(masks[right_at_0], axis=0, keepdims=True, initial=ONES[-1]),
        ]
    )


def frozen(array: Any) -> Any:
    """The array as one that cannot be written: also what keeps numba to one compiled form of each kernel."""
    view = array.view()
    view.flags.writeable = False
    return view


def aligned(shape: tuple[int, int], kind: npt.DTypeLike) -> npt.NDArray[Any]:
    """An array that begins with a cache line, not yet written."""
    size = shape[0] * shape[1] * np.dtype(kind).itemsize
    buffer = np.empty(size + 64, np.uint8)
    start = -buffer.ctypes.data % 64
    return buffer[start : start + size].view(kind).reshape(shape)


def aligned_ones(shape: tuple[int, int]) -> Words:
    """Words of ones, each row of 8 in one cache line."""
    words: Words = aligned(shape, np.uint64)
    words[...] = ONES[-1]
    return words
