"""What each feature adds to the trees' scores: rows walked down every tree, each split's move of the expected value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.compiled.forest_dump import NAN_LEFT, ZERO, ZERO_APART, ZERO_LEFT, blocks_of, numbers_of, tests_of
from models.compiled.mask_tables import aligned, frozen
from models.interactions import Floats, Ints

Leaves = npt.NDArray[np.uint16]


@dataclass(frozen=True)
class Nodes:
    """The splits and leaves of all boosters' trees in one numbering.

    Attributes:
        roots: node at which each tree begins, shape (t,).
        splits, levels: of each node, see `models.compiled.path_kernels.add_contributions`.
    """

    roots: Ints
    splits: npt.NDArray[np.int32]
    levels: Floats

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
        splits, levels = (frozen(np.concatenate(part)) for part in zip(*parts, strict=True))
        return cls(frozen(roots[:-1].astype(np.int64)), splits, levels)

    @property
    def most_leaves(self) -> int:
        """Of a tree, which has one split fewer than leaves."""
        return int(np.diff(np.append(self.roots, len(self.splits))).max(initial=1) + 1) // 2

    def contributions(self, features: Floats, scale: float) -> Floats:
        """Each feature's part of the trees' sum, times `scale`, shape (m, f) as `features` (Saabas, 2014)."""
        from models.compiled.path_kernels import add_contributions

        total = np.zeros(features.shape)
        table = frozen(np.ascontiguousarray(features, np.float64))
        add_contributions(table, self.roots, self.splits, self.levels, ZERO, scale, total)
        return total


@dataclass(frozen=True)
class Ways:
    """What the way to every leaf adds for each feature, leaves counted from the left, tree after tree.

    Attributes:
        first: number of each tree's first leaf among all, shape (t,).
        lines: of each leaf.
        steps: number of a feature, and by how much its splits move the expected value, `STEPS` to a line, shape
            (all leaves × lines, STEPS, 2). The last number of a line is −1 − the feature's where the way goes on in the
            next one. What fills a line up adds 0 to features that are none, each to one of its own. In single
            precision: more than reasons need, and half of what has to be read.
        features: how many there are.
    """

    first: Ints
    lines: int
    steps: npt.NDArray[np.float32]
    features: int

    @classmethod
    def of(cls, nodes: Nodes, features: int) -> Ways:
        """Walk down all trees of so many features once."""
        from models.compiled.path_kernels import STEPS

        ends = np.append(nodes.roots[1:], len(nodes.splits))
        ways: list[dict[int, float]] = []
        first = []
        for root, end in zip(nodes.roots.tolist(), ends.tolist(), strict=True):
            first.append(len(ways))
            ways += _ways(nodes.splits[root:end].tolist(), nodes.levels[root:end, 1].tolist(), root)
        lines = max(-(-max(map(len, ways)) // STEPS), 1)
        steps = aligned((len(ways) * lines * STEPS, 2), np.float32)
        steps[:, 0], steps[:, 1] = np.resize(features + np.arange(STEPS), len(steps)), 0.0
        for leaf, way in enumerate(ways):
            own = steps[leaf * lines * STEPS :]
            own[: len(way)] = np.reshape(sorted(way.items()), (-1, 2))
            on = slice(STEPS - 1, max(len(way) - 1, 0), STEPS)
            own[on, 0] = -1 - own[on, 0]
        return cls(frozen(np.array(first, np.int64)), lines, frozen(steps.reshape(-1, STEPS, 2)), features)

    def contributions(self, leaves: Leaves, scale: float) -> Floats:
        """Each feature's part of the trees' sum, times `scale`, shape (m, features); leaves of shape (m, t).

        `models.compiled.reason_kernels.explain_rows` does the same on its way.
        """
        from models.compiled.path_kernels import add_ways

        total = np.zeros((len(leaves), self.features))
        add_ways(leaves, self.first, self.steps, self.lines, scale, total)
        return total


def _ways(splits: list[list[int]], levels: list[float], root: int) -> list[dict[int, float]]:
    """Of each leaf of a tree, from left to right, feature → how far its splits on the way move the expected value."""
    found: list[dict[int, float]] = []
    open_: list[tuple[int, dict[int, float]]] = [(0, {})]
    while open_:
        node, way = open_.pop()
        feature, left, right, _ = splits[node]
        if feature < 0:
            found.append(way)
            continue
        for child in (right - root, left - root):
            moved = way.get(feature, 0.0) + levels[child] - levels[node]
            open_.append((child, {**way, feature: moved}))
    return found


def _nodes(fields: dict[str, str], root: int) -> tuple[npt.NDArray[np.int32], Floats]:
    """One tree's splits, then its leaves; a child that LightGBM writes as −1 − i is leaf i."""
    leaves = int(fields["num_leaves"])
    splits = leaves - 1
    nodes, levels = np.zeros((splits + leaves, 4), np.int32), np.zeros((splits + leaves, 2))
    nodes[splits:, 0] = -1
    levels[splits:, 1] = numbers_of(fields["leaf_value"], leaves)
    if splits:
        feature, decision, left, right = (
            numbers_of(fields[name], splits).astype(np.int64)
            for name in ("split_feature", "decision_type", "left_child", "right_child")
        )
        tests = tests_of(numbers_of(fields["threshold"], splits), decision)
        nodes[:splits, 0] = feature
        for column, child in ((1, left), (2, right)):
            nodes[:splits, column] = root + np.where(child >= 0, child, splits - 1 - child)
        flags = ((NAN_LEFT, "nan_left"), (ZERO_APART, "zero_apart"), (ZERO_LEFT, "zero_left"))
        nodes[:splits, 3] = sum(flag * tests[name].astype(np.int64) for flag, name in flags)
        levels[:splits, 0] = tests["threshold"]
        levels[:splits, 1] = numbers_of(fields["internal_value"], splits)
    return nodes, levels
