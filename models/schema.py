"""What a ranker takes in: the names of its linear inputs and of its trees' features, and which way they may push."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from models.interactions import Floats

STAGE_ONE: Final = ("stage_one", "stage_one_place")
"""What the linear stage tells the trees: its score against the best's, and how many score higher."""


@dataclass(frozen=True)
class Schema:
    """Names in the order of the matrices.

    Attributes:
        name: of what is ranked.
        inputs: of the linear stage.
        features: of the trees; the inputs are among them, side by side and in their order.
        rising: features with which a score never falls, all else being equal.
        falling: features with which it never rises.
        terms: what of a query says how much is wanted at all; the calibration looks at them.
    """

    name: str
    inputs: tuple[str, ...]
    features: tuple[str, ...]
    rising: frozenset[str] = frozenset()
    falling: frozenset[str] = frozenset()
    terms: tuple[str, ...] = ()

    @classmethod
    def of_table(
        cls,
        name: str,
        inputs: tuple[str, ...],
        others: tuple[str, ...] = (),
        rising: Iterable[str] = (),
        falling: Iterable[str] = (),
        terms: tuple[str, ...] = (),
    ) -> Schema:
        """Of a `models.queries.Table`: the trees see the inputs, the others and what the linear stage says."""
        features = (*inputs, *others, *STAGE_ONE)
        return cls(name, inputs, features, frozenset(rising) | {"stage_one"}, frozenset(falling), terms)

    def __post_init__(self) -> None:
        """Refuse names that do not fit each other.

        Raises:
            ValueError: a name occurs twice or is no feature, or the inputs do not lie side by side.
        """
        if len(set(self.features)) < len(self.features):
            raise ValueError(f"the features of {self.name} are not all different")
        if unknown := sorted((self.rising | self.falling) - {*self.features}):
            raise ValueError(f"these are no features of {self.name}: {unknown}")
        if self.features[self.inputs_at] != self.inputs:
            raise ValueError(f"the inputs of {self.name} do not lie side by side among its features")

    @cached_property
    def inputs_at(self) -> slice:
        """Where the inputs lie among the features."""
        first = self.features.index(self.inputs[0]) if self.inputs and self.inputs[0] in self.features else 0
        return slice(first, first + len(self.inputs))

    @cached_property
    def version(self) -> str:
        """Of the names and their order."""
        return hashlib.sha256("\n".join((*self.inputs, "", *self.features)).encode()).hexdigest()[:12]

    @property
    def directions(self) -> list[int]:
        """1 where the score may only rise with a feature, −1 where it may only fall, 0 elsewhere."""
        return [(name in self.rising) - (name in self.falling) for name in self.features]

    def weights(self, named: Mapping[str, float]) -> Floats:
        """Weights in the order of the inputs, 0 where not named, shape (len(inputs),).

        Raises:
            ValueError: something is named that is no input.
        """
        if unknown := sorted(set(named) - set(self.inputs)):
            raise ValueError(f"linear.prior names inputs of {self.name} that do not exist: {unknown}")
        return np.array([named.get(name, 0.0) for name in self.inputs])
