"""Why an item ranks where it does: contributions of features to its score, and reasons in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.contributions import Nodes
from models.interactions import Floats
from models.market import TREND_COLUMNS
from models.masks import texts_of
from models.pairs import FEATURES, INPUTS, TREND_INPUTS
from models.ranker import Ranker

_INPUTS_AT: Final = FEATURES.index(INPUTS[0])
_HEAT: Final = np.isin(FEATURES, (*TREND_COLUMNS, *TREND_INPUTS))
_BOTH: Final = np.isin(FEATURES, ("stage_one", "stage_one_place"))


@dataclass(frozen=True)
class Explainer:
    """Contributions of features to a ranker's scores: linear weights, and the splits of the trees.

    Attributes:
        ranker: whose scores are explained.
        nodes: of its trees; None where it has none that can be walked.
    """

    ranker: Ranker
    nodes: Nodes | None

    @classmethod
    def of(cls, ranker: Ranker) -> Explainer:
        """Read the trees of a ranker once."""
        return cls(ranker, Nodes.of_texts(texts_of(ranker.boosters)) if ranker.boosters else None)

    def contributions(self, features: Floats, usual: Floats) -> Floats:
        """What each feature adds to each raw score, compared with a usual candidate, shape (m, len(FEATURES)).

        Args:
            features: of the trees, shape (m, len(FEATURES)).
            usual: the linear inputs of the candidates on average, shape (len(INPUTS),).
        """
        ranker = self.ranker
        if self.nodes is None:
            total = np.zeros(features.shape)
        else:
            total = self.nodes.contributions(features, ranker.trust / len(ranker.boosters))
        inputs = slice(_INPUTS_AT, _INPUTS_AT + len(INPUTS))
        total[:, inputs] += (features[:, inputs] - usual) * ranker.weights
        return total


def fit_and_heat(contributions: Floats) -> tuple[Floats, Floats]:
    """How far the creator's side and the trend's side lift each row, each squeezed into 0 to 1, shapes (m,)."""
    heat = contributions[:, _HEAT].sum(axis=1)
    fit = contributions[:, ~(_HEAT | _BOTH)].sum(axis=1)
    return 1 / (1 + np.exp(-fit)), 1 / (1 + np.exp(-heat))


class Row:
    """One row's values by feature name.

    Args:
        values: shape (len(FEATURES),).
    """

    __slots__ = ("_values",)

    def __init__(self, values: Floats) -> None:
        self._values = values

    def __getitem__(self, name: str) -> float:
        return float(self._values[_AT[name]])


Phrase = Callable[[Row], str | None]
"""From a row's values to a sentence, or None where they say nothing."""

_AT: Final = {name: at for at, name in enumerate(FEATURES)}

_PROPOSED: Final = math.log(0.1)
"""A generator's input above this: its score is more than a tenth of its best."""


def _many(name: str, text: str) -> Phrase:
    return lambda row: text.format(n=int(row[name])) if row[name] >= 2 else None


def _above(name: str, least: float, text: str) -> Phrase:
    return lambda row: text.format(x=row[name]) if row[name] > least else None


def _young(row: Row) -> str | None:
    return f"it is only {row['age_days']:.0f} days old" if row["age_days"] < 14 else None


_WALK: Final = ("creators who use what you use have taken it up", ("walk", "recent_walk", "long_walk"))
_PHRASES: Final[dict[str, tuple[Phrase, tuple[str, ...]]]] = {
    "walk": (_above("long_walk", _PROPOSED, _WALK[0]), (*_WALK[1], "walk_by_history")),
    "neighbours": (
        _above("neighbours", _PROPOSED, "creators with your taste took it up lately"),
        ("neighbours",),
    ),
    "coadoption": (
        _above("coadoption", _PROPOSED, "it goes together with trends you already use"),
        ("coadoption",),
    ),
    "same_post": (
        _above("same_post", _PROPOSED, "it is used in one post with trends you use"),
        ("same_post",),
    ),
    "captions": (
        _above("captions", _PROPOSED, "creators whose captions read like yours use it"),
        ("captions",),
    ),
    "cluster": (
        _above("cluster_trends", _PROPOSED, "it is being taken up among creators with your taste"),
        ("cluster_trends",),
    ),
    "region_trends": (
        _above("region_trends", _PROPOSED, "it is being taken up in your region"),
        ("region_trends",),
    ),
    "text": (_above("text", _PROPOSED, "its name is close to hashtags you use"), ("text",)),
    "region": (
        _above("region_share", 0.2, "{x:.0%} of its posts come from your region"),
        ("region_share", "region_match"),
    ),
    "adopters": (
        _many("adopters_7d", "{n} creators used it for the first time in the last 7 days"),
        (
            "adopters",
            "adopters_7d",
            "adopters_by_history",
            "adopters_3d",
            "recent_adopters_5d",
            "recent_adopters_2d",
        ),
    ),
    "uses": (
        _many("uses_7d", "{n} posts used it in the last 7 days"),
        ("uses_7d", "uses_3d", "uses_1d", "repeat_use"),
    ),
    "day": (
        _many("creators_1d", "{n} creators used it in the last 24 hours"),
        ("creators_1d", "adopters_1d", "creators_1d_excess", "creators_3d_excess", "adopters_trend"),
    ),
    "burst": (_above("burst", 1, "its use is {x:.1f} standard deviations above its month"), ("burst",)),
    "velocity": (
        _above("velocity_7d", 0.02, "its uses grow by {x:.0%} a day"),
        ("velocity_7d", "velocity_3d"),
    ),
    "market": (
        _above("market_growth_7d", 0.01, "its public count grew by {x:.0%} in a week"),
        ("market_growth_7d", "market_growth_3d", "market_growth_1d"),
    ),
    "forecast": (
        _above("forecast_growth_7d", 0.01, "its public count should grow by {x:.0%} in the coming week"),
        ("forecast_growth_7d", "forecast_growth_3d", "forecast_growth_1d"),
    ),
    "lift": (
        _above("median_lift", 0.1, "posts with it do better than their creators' usual ones"),
        ("median_lift",),
    ),
    "sound": (_above("sound_habit", 0, "you often post with named sounds"), ("sound_habit",)),
    "age": (_young, ("age_days",)),
}
"""Family, of which one is told → its sentence and the features that speak for it."""

_FAMILY_OF: Final = {name: family for family, (_, names) in _PHRASES.items() for name in names}
_TOLD: Final = np.array([at for at, name in enumerate(FEATURES) if name in _FAMILY_OF])
_FAMILIES: Final = tuple(_FAMILY_OF[FEATURES[at]] for at in _TOLD)


def reasons(values: Floats, contributions: Floats, most: int) -> list[list[str]]:
    """Sentences for each row, the strongest contribution first, one per family, only what speaks for the item.

    Args:
        values, contributions: shape (m, len(FEATURES)).
        most: how many sentences a row at the most.
    """
    strengths = contributions[:, _TOLD]
    orders = np.argsort(-strengths, axis=1, kind="stable").tolist()
    speaking = (strengths > 0).sum(axis=1).tolist()
    return [_reasons(Row(row), order[:count], most) for row, order, count in zip(values, orders, speaking, strict=True)]


def _reasons(row: Row, order: Sequence[int], most: int) -> list[str]:
    told: dict[str, str] = {}
    for at in order:
        if len(told) == most:
            break
        family = _FAMILIES[at]
        if family not in told and (sentence := _PHRASES[family][0](row)):
            told[family] = sentence
    return list(told.values())
