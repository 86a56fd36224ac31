"""Reads the text of LightGBM models into flat arrays of splits and leaves: what the mask evaluator is built from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from models.errors import ModelError
from models.interactions import Floats, Ints

Bools = npt.NDArray[np.bool_]

ZERO: Final = float(np.float32(1e-35))
"""LightGBM's `kZeroThreshold`: what is no further from 0 than this counts as 0."""

CATEGORICAL, DEFAULT_LEFT = 1, 2
"""Bits of LightGBM's `decision_type`; the two above them are the missing type."""

MISSING_NONE, MISSING_ZERO, MISSING_NAN = 0, 1, 2

NAN_LEFT: Final = 1
ZERO_APART: Final = 2
ZERO_LEFT: Final = 4
"""Bits that say where a split sends what has no number, see `Trees`."""


class UnsupportedForest(ModelError):
    """The trees have a form that masks cannot express exactly: let LightGBM predict them."""


@dataclass(frozen=True)
class Trees:
    """The trees of all boosters, one after another, the leaves of each numbered from left to right.

    A value goes to the left where it is ≤ the threshold. Whoever goes to the right of a split cannot end in one of
    the leaves `first` … `middle - 1`.

    Attributes:
        sizes: trees of each booster, shape (b,).
        leaves: leaves of each tree, shape (t,).
        values: of the leaves, tree after tree, shape (leaves.sum(),).
        tree: of each split, shape (s,).
        feature: shape (s,).
        threshold: as for values that were not rounded to 0 before, shape (s,).
        first, middle: the leaves on the left side of the split, shape (s,).
        nan_left: NaN goes to the left, shape (s,).
        zero_apart: what counts as 0 is sent where `zero_left` says, whatever the threshold, shape (s,).
        zero_left: shape (s,).
        features: number of features.
        checksum: SHA-256 of the texts, without what follows their trees.
    """

    sizes: Ints
    leaves: Ints
    values: Floats
    tree: Ints
    feature: Ints
    threshold: Floats
    first: Ints
    middle: Ints
    nan_left: Bools
    zero_apart: Bools
    zero_left: Bools
    features: int
    checksum: str


def checksum(texts: Sequence[str]) -> str:
    """SHA-256 of model texts, each up to the end of its trees."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(_until_the_end(text).encode())
        digest.update(b"\0")
    return digest.hexdigest()


def read(texts: Sequence[str]) -> Trees:
    """The trees of model texts, as `Booster.model_to_string` or `Booster.save_model` write them.

    Args:
        texts: at least one, all of the same number of features.

    Raises:
        UnsupportedForest: several classes, averaged, linear or categorical trees, or a text of another form.
    """
    if not texts:
        raise UnsupportedForest("there is no booster to read")
    forests = [blocks_of(text) for text in texts]
    features = {count for count, _ in forests}
    if len(features) > 1:
        raise UnsupportedForest(f"boosters of different numbers of features: {sorted(features)}")
    try:
        parts = [_tree(fields) for _, blocks in forests for fields in blocks]
    except (KeyError, ValueError) as error:
        raise UnsupportedForest(f"a tree that cannot be read: {error!r}") from error
    joined = {
        name: np.concatenate([part[name] for part in parts]) if parts else np.zeros(0, kind)
        for name, kind in _KINDS.items()
    }
    splits = np.array([len(part["feature"]) for part in parts], np.int64)
    return Trees(
        sizes=np.array([len(blocks) for _, blocks in forests]),
        leaves=splits + 1,
        tree=np.repeat(np.arange(len(parts)), splits),
        features=features.pop(),
        checksum=checksum(texts),
        **joined,
    )


_KINDS: Final[Mapping[str, type]] = {
    "values": np.float64,
    "feature": np.int64,
    "threshold": np.float64,
    "first": np.int64,
    "middle": np.int64,
    "nan_left": np.bool_,
    "zero_apart": np.bool_,
    "zero_left": np.bool_,
}


def _until_the_end(text: str) -> str:
    trees, end, _ = text.partition("end of trees")
    if not end:
        raise UnsupportedForest("the text of a model ends before its trees do")
    return trees


def blocks_of(text: str) -> tuple[int, list[dict[str, str]]]:
    """The number of features, and the fields of each tree."""
    head, *blocks = _until_the_end(text).split("\nTree=")
    fields = _fields(head)
    single = fields.get("num_class") == fields.get("num_tree_per_iteration") == "1"
    if not single or "average_output" in fields or "max_feature_idx" not in fields:
        raise UnsupportedForest("only boosted trees of a single output can be compiled")
    return int(fields["max_feature_idx"]) + 1, [_fields(block) for block in blocks]


def _fields(lines: str) -> dict[str, str]:
    return {key: value for key, _, value in (line.partition("=") for line in lines.splitlines())}


def _tree(fields: Mapping[str, str]) -> dict[str, npt.NDArray[np.generic]]:
    """The arrays of `_KINDS` for one tree."""
    if fields.get("num_cat", "0") != "0" or fields.get("is_linear", "0") != "0":
        raise UnsupportedForest("categorical splits and linear leaves cannot be compiled")
    leaves = int(fields["num_leaves"])
    values = numbers_of(fields["leaf_value"], leaves)
    if leaves == 1:
        return {name: np.zeros(0, kind) for name, kind in _KINDS.items()} | {"values": values}
    feature, left, right, decision = (
        numbers_of(fields[name], leaves - 1).astype(np.int64)
        for name in ("split_feature", "left_child", "right_child", "decision_type")
    )
    if np.any(decision & CATEGORICAL) or np.any(decision >> 2 > MISSING_NAN):
        raise UnsupportedForest("a split of an unknown kind")
    threshold = numbers_of(fields["threshold"], leaves - 1)
    if np.isnan(threshold).any():
        raise ValueError("a threshold is NaN")
    first, middle, order = _spans(left, right)
    tests = tests_of(threshold, decision)
    return {"values": values[order], "feature": feature, "first": first, "middle": middle} | tests


def numbers_of(text: str, count: int) -> Floats:
    """The numbers of a field, shape (count,).

    Raises:
        ValueError: there are more or fewer.
    """
    numbers = np.array(text.split(), np.float64)
    if len(numbers) != count:
        raise ValueError(f"{count} numbers expected, {len(numbers)} found")
    return numbers


def tests_of(threshold: Floats, decision: Ints) -> dict[str, npt.NDArray[np.generic]]:
    """How the splits send values, as attributes of `Trees`.

    `Booster.predict` takes for 0 what is no further than `ZERO` from it. Moving the thresholds that lie there out of
    the band, to the side that leaves the decision on 0 as it is, has the same effect on values left as they are.
    """
    missing = decision >> 2
    default_left = (decision & DEFAULT_LEFT) > 0
    zero_fits = threshold >= 0
    in_band = np.abs(threshold) <= ZERO
    moved = np.where(zero_fits, ZERO, np.nextafter(-ZERO, -np.inf))
    return {
        "threshold": np.where(in_band, moved, threshold),
        "nan_left": np.where(missing == MISSING_NONE, zero_fits, default_left),
        "zero_apart": missing == MISSING_ZERO,
        "zero_left": default_left,
    }


def _spans(left: Ints, right: Ints) -> tuple[Ints, Ints, Ints]:
    """Each split's `first` and `middle`, and the leaves' numbers from left to right.

    LightGBM numbers a split after its parent, and writes the child that is leaf i as -1 - i.
    """
    splits = len(left)
    if np.any((left >= 0) & (left <= np.arange(splits))) or np.any((right >= 0) & (right <= np.arange(splits))):
        raise ValueError("a split is numbered before its parent")
    below = [0] * splits
    lefts, rights = left.tolist(), right.tolist()
    for split in reversed(range(splits)):
        below[split] = sum(below[child] if child >= 0 else 1 for child in (lefts[split], rights[split]))
    first, middle, order = [0] * splits, [0] * splits, [0] * (splits + 1)
    for split in range(splits):
        start, child = first[split], lefts[split]
        middle[split] = start + (below[child] if child >= 0 else 1)
        for child, begins in ((lefts[split], start), (rights[split], middle[split])):
            if child >= 0:
                first[child] = begins
            else:
                order[begins] = -1 - child
    return np.array(first), np.array(middle), np.array(order)
