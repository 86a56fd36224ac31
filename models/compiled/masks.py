"""Scores LightGBM forests with bit masks: the trend side folded once a snapshot, the creator's once a request.

QuickScorer (Lucchese et al., SIGIR 2015): a split that sends a value to the right rules out the leaves on its left;
the leftmost leaf that no split rules out is where the value ends. Which leaves a feature rules out depends on its
value alone, so those of the features that all requests share can be worked out beforehand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, get_args
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from models.compiled.forest_dump import Trees, checksum, read
from models.compiled.mask_tables import ForestArrays, Layout, SideArrays, SideMasks, Words, aligned_ones, frozen
from models.errors import IncompatibleModel
from models.interactions import Floats, Ints

Side = Literal["trend", "creator", "cross"]
Shared = tuple[Floats, Ints, Floats, Words, SideArrays, SideArrays]
SIDES: Final[tuple[Side, ...]] = get_args(Side)

MANY: Final = 2
"""From one in so many trends on, going through them in the order of the memory is worth sorting them."""


@dataclass(frozen=True)
class CompiledForest:
    """Trees in the form of masks; equal to the mean of the boosters' raw predictions.

    Attributes:
        trees: what they were read from.
        sides: of each feature, shape (f,).
        layout: of the blocks.
        masks: side → its masks.
        values: of the leaves, shape (t, most leaves).
    """

    trees: Trees
    sides: tuple[Side, ...]
    layout: Layout
    masks: Mapping[Side, SideMasks]
    values: Floats

    @classmethod
    def of(cls, boosters: Sequence[Any], sides: Sequence[Side]) -> CompiledForest:
        """Compile `lightgbm.Booster`s; see `of_texts`."""
        return cls.of_texts(texts_of(boosters), sides)

    @classmethod
    def of_texts(cls, texts: Sequence[str], sides: Sequence[Side]) -> CompiledForest:
        """Compile model texts.

        Args:
            texts: as `Booster.save_model` writes them, at least one; their mean counts.
            sides: whether each feature is the same for all requests, the creator's, or neither, shape (f,).

        Raises:
            UnsupportedForest: LightGBM itself has to predict these trees.
            IncompatibleModel: they have another number of features.
        """
        return cls._of_trees(read(texts), tuple(sides))

    @classmethod
    def _of_trees(cls, trees: Trees, sides: tuple[Side, ...]) -> CompiledForest:
        if len(sides) != trees.features or not set(sides) <= set(SIDES) or np.any(trees.feature >= trees.features):
            raise IncompatibleModel(f"{trees.features} features, but the sides of {len(sides)}: {sorted(set(sides))}")
        layout = Layout.of(trees)
        values = np.zeros((len(trees.leaves), layout.bits))
        values[np.arange(layout.bits) < trees.leaves[:, None]] = trees.values
        masks = {side: SideMasks.of(trees, layout, np.flatnonzero(np.array(sides) == side)) for side in SIDES}
        return cls(trees, sides, layout, masks, frozen(values))

    @cached_property
    def widths(self) -> dict[Side, int]:
        """Side → number of its features."""
        return {side: self.sides.count(side) for side in SIDES}

    @cached_property
    def tables(self) -> tuple[SideArrays, SideArrays]:
        """What the loops take of the creator's and of the cross features."""
        return self.masks["creator"].arrays, self.masks["cross"].arrays

    @property
    def bytes_per_trend(self) -> int:
        """What `prepare` takes for each trend."""
        return len(self.layout) * self.layout.width * 8

    def columns(self, side: Side) -> Ints:
        """Places of a side's features among all, in the order of that side's matrix, shape (c,)."""
        return np.flatnonzero(np.array(self.sides) == side)

    def prepare(self, trends: Floats) -> PreparedForest:
        """Fold the trend side; trends of shape (n, trend features), NaN where unknown."""
        from models.compiled.mask_kernels import fold

        trends = _matrix(trends, self.widths["trend"], "trend")
        masks = aligned_ones((len(trends), self.bytes_per_trend // 8))
        fold(trends, self.masks["trend"].arrays, masks)
        return PreparedForest(self, frozen(masks))

    def warm(self) -> None:
        """Compile what this forest needs, or load it from numba's cache, before the first request has to wait."""
        prepared = self.prepare(np.zeros((1, self.widths["trend"])))
        prepared.score(np.zeros(self.widths["creator"]), np.zeros(1, np.int64), np.zeros((1, self.widths["cross"])))

    def save(self, path: Path) -> None:
        """Write the trees and sides as arrays, with the checksum of the texts."""
        arrays: dict[str, Any] = {field.name: np.asarray(getattr(self.trees, field.name)) for field in fields(Trees)}
        with path.open("wb") as file:
            np.savez_compressed(file, sides=np.array(self.sides), **arrays)

    @classmethod
    def load(cls, path: Path, texts: Sequence[str]) -> CompiledForest:
        """The inverse of `save`.

        Args:
            path: of the file.
            texts: of the models it must have been compiled from.

        Raises:
            IncompatibleModel: it was compiled from other models, or is no such file.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays: dict[str, Any] = {name: stored[name] for name in stored.files}
            sides = arrays.pop("sides").tolist()
            arrays |= {"features": int(arrays["features"]), "checksum": str(arrays["checksum"])}
            trees = Trees(**arrays)
        except (KeyError, TypeError, ValueError, EOFError, BadZipFile) as error:
            raise IncompatibleModel(f"{path.name} is no compiled forest: compile the model again") from error
        if trees.checksum != checksum(texts):
            raise IncompatibleModel(f"{path.name} was compiled from other trees: compile the model again")
        return cls._of_trees(trees, tuple(sides))


@dataclass(frozen=True)
class PreparedForest:
    """A forest with the trend side of one snapshot folded in; never changes, so threads may share it.

    Attributes:
        forest: what was compiled.
        masks: the leaves each trend leaves, shape (n, blocks × words of a block).
    """

    forest: CompiledForest
    masks: Words

    def __len__(self) -> int:
        return len(self.masks)

    def patched(self, trends: Floats, rows: Ints) -> PreparedForest:
        """The same forest with other trend sides of some rows; trends of shape (m, trend features), rows of (m,)."""
        masks = aligned_ones(self.masks.shape)
        masks[:] = self.masks
        masks[rows] = self.forest.prepare(trends).masks
        return PreparedForest(self.forest, frozen(masks))

    def score(self, creator: Floats, rows: Ints, cross: Floats, out: Floats | None = None) -> Floats:
        """Raw score of some trends for one creator, the mean over the boosters, shape (m,).

        Args:
            creator: the creator side, shape (creator features,).
            rows: of the snapshot, shape (m,).
            cross: the creator × trend side of those rows, shape (m, cross features).
            out: where to write it, contiguous, shape (m,); a new array otherwise.

        Raises:
            IndexError: a row is not of the snapshot.
            ValueError: something has another shape.
        """
        from models.compiled.mask_kernels import score_large, score_small

        forest, layout = self.forest, self.forest.layout
        shared = self.arguments(creator, rows, cross)
        out = np.empty(len(rows)) if out is None else out
        if out.shape != shared[1].shape or out.dtype != np.float64 or not out.flags.carray:
            raise ValueError(f"the scores need a writable, contiguous array of float64, shape {shared[1].shape}")
        trees = layout.first_tree, layout.first_block, forest.values
        if layout.shared:
            found = score_small(*shared, *trees, layout.lanes, _taken_in(shared[1], len(self)), out)
        else:
            found = score_large(*shared, *trees, out)
        if not found:
            raise IndexError(f"rows must be 0 to {len(self) - 1}")
        return out

    def leaves(self, creator: Floats, rows: Ints, cross: Floats) -> npt.NDArray[np.uint16] | None:
        """The leaf of some trends in each tree, counted from the left, shape (m, t); arguments and errors as `score`.

        None where trees are so large that none shares its block. What explains slates finds them on its way; see
        `models.compiled.reason_kernels.explain_rows`.
        """
        from models.compiled.mask_kernels import find_leaves

        if not self.forest.layout.shared:
            return None
        found = np.empty((len(rows), len(self.forest.trees.leaves)), np.uint16)
        layout, shared = self.forest.layout, self.arguments(creator, rows, cross)
        if not find_leaves(*shared, layout.first_tree, layout.lanes, found):
            raise IndexError(f"rows must be 0 to {len(self) - 1}")
        return found

    def arguments(self, creator: Floats, rows: Ints, cross: Floats) -> Shared:
        """What the loops take first: creator, rows, cross features, masks, and the tables of both sides.

        Raises:
            ValueError: something has another shape.
        """
        forest = self.forest
        rows = frozen(np.ascontiguousarray(rows, np.int64))
        cross = _matrix(cross, forest.widths["cross"], "cross")
        if rows.ndim != 1 or len(cross) != len(rows):
            raise ValueError(f"{rows.shape} rows, {cross.shape} cross features")
        own, crossed = forest.tables
        return self.of_creator(creator), rows, cross, self.masks, own, crossed

    def of_creator(self, creator: Floats) -> Floats:
        """The creator side as loops take it, shape (1, creator features); `ValueError` for another number of them."""
        return _matrix(np.reshape(creator, (1, -1)), self.forest.widths["creator"], "creator")

    @cached_property
    def arrays(self) -> ForestArrays:
        """What the loops take that is the same for every request."""
        (own, crossed), layout = self.forest.tables, self.forest.layout
        return self.masks, own, crossed, layout.first_tree, layout.first_block, self.forest.values, layout.lanes


def _taken_in(rows: Ints, trends: int) -> Ints:
    """The order in which rows are looked at: that of the memory where they are many, as they come where they are few.

    Args:
        rows: shape (m,).
        trends: of the snapshot.
    """
    order: Ints = np.arange(len(rows))
    if MANY * len(rows) >= trends and trends <= np.iinfo(np.uint16).max:
        order = np.argsort(rows.astype(np.uint16), kind="stable")  # numpy counts small numbers instead of comparing
    ordered: Ints = frozen(order)
    return ordered


def texts_of(boosters: Sequence[Any]) -> tuple[str, ...]:
    """The texts of `lightgbm.Booster`s, as they predict: up to the best round where there is one."""
    return tuple(booster.model_to_string() for booster in boosters)


def _matrix(values: Floats, columns: int, side: str) -> Floats:
    values = frozen(np.ascontiguousarray(values, np.float64))
    if values.ndim != 2 or values.shape[1] != columns:
        raise ValueError(f"the {side} side has {columns} features, not a matrix of shape {values.shape}")
    return values
