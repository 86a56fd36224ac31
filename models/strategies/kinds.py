"""Kinds of strategy as a ranker sees them: conditions, effort, and today's rule of how they rank."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from configs import CONFIG_DIR
from features.evidence.lifts import Z80, Measure
from models.interactions import Floats

LIBRARY_FILE: Final = CONFIG_DIR / "library" / "strategies.yaml"

PRIOR_LIFT: Final = 0.1
"""How far true lifts of strategies lie apart, as a standard deviation of log-lift."""
LEAST_ERROR: Final = 1e-3
FIT_WEIGHT: Final = 0.1
"""What a whole fit is worth above none, in log-lift."""
NO_CONDITIONS_FIT: Final = 0.5
"""The fit of a strategy that fits everybody alike."""
EFFORTS: Final = ("low", "medium", "high")

OPERATORS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
    "==": operator.eq,
}
"""How a condition compares; no comparison holds of NaN."""

Known = Mapping[str, float | Floats]
"""Feature → its value, or one value per creator; NaN where unknown."""


class ConditionLike(Protocol):
    """One feature compared with one value."""

    @property
    def feature(self) -> str:
        """Name of the feature."""
        ...

    @property
    def op(self) -> str:
        """One of `OPERATORS`."""
        ...

    @property
    def value(self) -> float:
        """What it is compared with."""
        ...


class KindLike(Protocol):
    """What of a strategy the ranker looks at."""

    @property
    def id(self) -> str:
        """Of the strategy."""
        ...

    @property
    def evidence(self) -> str:
        """The query that measures it."""
        ...

    @property
    def effort(self) -> str:
        """One of `EFFORTS`."""
        ...

    @property
    def when(self) -> Sequence[ConditionLike]:
        """All must hold."""
        ...

    @property
    def fits(self) -> Sequence[ConditionLike]:
        """The more hold, the better it fits."""
        ...


@dataclass(frozen=True)
class Condition:
    """See `ConditionLike`."""

    feature: str
    op: str
    value: float


@dataclass(frozen=True)
class Kind:
    """See `KindLike`."""

    id: str
    evidence: str
    effort: str
    when: tuple[Condition, ...]
    fits: tuple[Condition, ...]


def read_kinds(path: Path = LIBRARY_FILE) -> tuple[Kind, ...]:
    """The kinds of the library's file, in its order; whoever serves the library checks it whole."""
    import yaml

    rows = yaml.safe_load(path.read_text())
    return tuple(
        Kind(row["id"], row["evidence"], row["effort"], *(_conditions(row[part]) for part in ("when", "fits")))
        for row in rows
    )


def _conditions(rows: Iterable[Mapping[str, Any]]) -> tuple[Condition, ...]:
    return tuple(Condition(row["feature"], row["op"], float(row["value"])) for row in rows)


OWN_AS_THEY_ARE: Final = (
    "posts_known", "posts_7d", "posts_28d", "cadence", "days_since_post", "median_engagement", "adoption_rate",
    "mainstream",
)  # fmt: skip
OWN_FEATURES: Final = frozenset(
    {"known", "region_known", "followers", "tags_per_post", "sound_share", "weekend_share", *OWN_AS_THEY_ARE}
)
"""What `own_conditions` tells; all other features are told by the slate and the request."""


def own_conditions(
    column: Callable[[str], Any], known: float | Floats, has_region: float | Floats, weekend_share: float | Floats
) -> dict[str, Any]:
    """The features of conditions that a creator's own profile tells.

    Args:
        column: of the profile by name, a number or one per creator.
        known: 1 where posts are known.
        has_region: 1 where the region is known.
        weekend_share: share of posts on Saturday and Sunday, NaN where unknown.
    """
    uses, share = column("trends_per_post"), column("creator_sound_share")
    return {
        "known": known,
        "region_known": has_region,
        "followers": np.expm1(column("followers")),
        **{name: column(name) for name in OWN_AS_THEY_ARE},
        "tags_per_post": uses * (1 - share),
        "sound_share": share,
        "weekend_share": weekend_share,
    }


def applies(kind: KindLike, known: Known) -> Any:
    """Whether every condition of `when` holds that speaks of something in `known`; one answer, or one per creator."""
    held = [OPERATORS[c.op](known[c.feature], c.value) for c in kind.when if c.feature in known]
    return np.logical_and.reduce(held) if held else np.True_


def fit(kind: KindLike, known: Known) -> Any:
    """How many conditions of `fits` hold, of all of them; those that speak of nothing in `known` do not.

    The fits by two halves of what is known add up to the fit by the whole, but for `NO_CONDITIONS_FIT`, which is left
    to the caller: a strategy without conditions fits 0 here.
    """
    held = [OPERATORS[c.op](known[c.feature], c.value) for c in kind.fits if c.feature in known]
    return np.sum(held, axis=0) / len(kind.fits) if held else 0.0


def shrunk_lift(*measures: Measure | None) -> float:
    """The mean of measured lifts, each by its certainty, drawn towards 0; 0 where there is not enough data.

    The posterior mean of a normal prior around 0 with deviation `PRIOR_LIFT` (Gelman et al., «Bayesian Data Analysis»,
    3rd edition, 2.5); of a single measure it is `lift · τ² ÷ (τ² + se²)`.
    """
    certainty, told = 1 / PRIOR_LIFT**2, 0.0
    for measure in measures:
        if measure is not None and measure.lift is not None and measure.lo is not None and measure.hi is not None:
            error = max((measure.hi - measure.lo) / (2 * Z80), LEAST_ERROR)
            certainty += 1 / error**2
            told += measure.lift / error**2
    return told / certainty
