"""What each feature adds to the trees' scores: rows walked down every tree, each split's move of the expected value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.forest_dump import ZERO, Bools, blocks_of, numbers_of, tests_of
from models.interactions import Floats, Ints
from models.mask_tables import frozen


@dataclass(frozen=True)
class Nodes:
    """The splits and leaves of all boosters' trees in one numbering.

    Attributes:
        roots: node at which each tree begins, shape (t,).
        feature: of each node's split, −1 at a leaf, shape (n,).
        threshold, left, right, nan_left, zero_apart, zero_left: of each split, see `models.forest_dump.Trees`.
        value: expected at each node, shape (n,).
    """

    roots: Ints
    feature: Ints
    threshold: Floats
    left: Ints
    right: Ints
    nan_left: Bools
    zero_apart: Bools
    zero_left: Bools
    value: Floats

    @classmethod
    def of_texts(cls, texts: Sequence[str]) -> Nodes:
        """Read model texts, as `Booster.save_model` writes them.

        Raises:
            UnsupportedForest: the trees have splits of another kind.
        """
        trees = [fields for text in texts for fields in blocks_of(text)[1]]
        leaves = np.array([int(fields["num_leaves"]) for fields in trees], np.int64)
        roots = np.concatenate([[0], np.cumsum(2 * leaves - 1)])
        parts = [_nodes(fields, int(root)) for fields, root in zip(trees, roots[:-1], strict=True)]
        joined = (frozen(np.concatenate(columns)) for columns in zip(*parts, strict=True))
        return cls(frozen(roots[:-1].astype(np.int64)), *joined)

    def contributions(self, features: Floats, scale: float) -> Floats:
        """Each feature's part of the trees' sum, times `scale`, shape (m, f) as `features` (Saabas, 2014)."""
        from models.stage_kernels import add_contributions

        total = np.zeros(features.shape)
        table = frozen(np.ascontiguousarray(features, np.float64))
        add_contributions(
            table,
            self.roots,
            self.feature,
            self.threshold,
            self.left,
            self.right,
            self.nan_left,
            self.zero_apart,
            self.zero_left,
            self.value,
            ZERO,
            scale,
            total,
        )
        return total


def _nodes(fields: dict[str, str], root: int) -> tuple[np.ndarray, ...]:
    """One tree's splits, then its leaves; a child that LightGBM writes as −1 − i is leaf i."""
    leaves = int(fields["num_leaves"])
    splits = leaves - 1
    values = numbers_of(fields["leaf_value"], leaves)
    if splits == 0:
        nothing, no = np.zeros(1, np.int64), np.zeros(1, bool)
        return nothing - 1, np.zeros(1), nothing, nothing, no, no, no, values
    feature, decision, left, right = (
        numbers_of(fields[name], splits).astype(np.int64)
        for name in ("split_feature", "decision_type", "left_child", "right_child")
    )
    tests = tests_of(numbers_of(fields["threshold"], splits), decision)
    inner = numbers_of(fields["internal_value"], splits)
    left, right = (root + np.where(child >= 0, child, splits - 1 - child) for child in (left, right))

    def padded(column: np.ndarray, fill: float | bool) -> np.ndarray:
        return np.concatenate([column, np.full(leaves, fill, column.dtype)])

    return (
        padded(feature, -1),
        padded(tests["threshold"], 0.0),
        padded(left, 0),
        padded(right, 0),
        *(padded(tests[name], False) for name in ("nan_left", "zero_apart", "zero_left")),
        np.concatenate([inner, values]),
    )
