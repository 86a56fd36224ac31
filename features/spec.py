"""What a feature is: its name, kind, unit and meaning, spelled once for code, store and documentation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["float", "string", "floats", "strings", "instants"]
"""One value a row (`float`, `string`) or an array of them (`floats`, `strings`, `instants`)."""


@dataclass(frozen=True)
class FeatureSpec:
    """One feature of a creator or a trend.

    Attributes:
        name: the column's name, in frames and in the feature store alike.
        kind: what a cell holds; instants are UTC with microsecond precision.
        description: what it measures, for a reader who has not seen the code.
        unit: of the value (or of each element), e.g. `days`, `log count per day`; empty where it has none.
    """

    name: str
    kind: Kind
    description: str
    unit: str
