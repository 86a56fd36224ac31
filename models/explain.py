"""Why an item ranks where it does: contributions of features to its score, and reasons in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from models.interactions import Floats
from models.market import TREND_COLUMNS
from models.pairs import FEATURES, INPUTS, TREND_INPUTS
from models.ranker import Ranker

_INPUTS_AT: Final = FEATURES.index(INPUTS[0])
_HEAT: Final = np.isin(FEATURES, (*TREND_COLUMNS, *TREND_INPUTS))
_BOTH: Final = np.isin(FEATURES, ("stage_one", "stage_one_place"))


@dataclass(frozen=True)
class Explainer:
    """Contributions of features to a ranker's scores: linear weights, and what each leaf owes to the splits above it.

    Attributes:
        ranker: whose scores are explained.
        leaves: booster → tree → table of shape (leaves, len(FEATURES)): the change of the expected value at the
            splits on the way to each leaf (Saabas, 2014).
    """

    ranker: Ranker
    leaves: tuple[tuple[Floats, ...], ...]

    @classmethod
    def of(cls, ranker: Ranker) -> Explainer:
        """Walk every tree of a ranker once."""
        dumps = (booster.dump_model()["tree_info"] for booster in ranker.boosters)
        return cls(ranker, tuple(tuple(_paths(t["tree_structure"], t["num_leaves"]) for t in dump) for dump in dumps))

    def contributions(self, features: Floats, usual: Floats) -> Floats:
        """What each feature adds to each raw score, compared with a usual candidate, shape (m, len(FEATURES)).

        Args:
            features: of the trees, shape (m, len(FEATURES)).
            usual: the linear inputs of the candidates on average, shape (len(INPUTS),).
        """
        total = np.zeros(features.shape)
        inputs = slice(_INPUTS_AT, _INPUTS_AT + len(INPUTS))
        total[:, inputs] = (features[:, inputs] - usual) * self.ranker.weights
        if len(features) == 0:
            return total
        for booster, tables in zip(self.ranker.boosters, self.leaves, strict=True):
            leaf = np.asarray(booster.predict(features, pred_leaf=True, num_threads=1), np.int64)
            for tree, table in enumerate(tables):
                total += self.ranker.trust / len(self.leaves) * table[leaf.reshape(len(features), -1)[:, tree]]
        return total


def fit_and_heat(contributions: Floats) -> tuple[Floats, Floats]:
    """How far the creator's side and the trend's side lift each row, each squeezed into 0 to 1, shapes (m,)."""
    heat = contributions[:, _HEAT].sum(axis=1)
    fit = contributions[:, ~(_HEAT | _BOTH)].sum(axis=1)
    return 1 / (1 + np.exp(-fit)), 1 / (1 + np.exp(-heat))


def _paths(root: Mapping[str, Any], leaves: int) -> Floats:
    table = np.zeros((max(leaves, 1), len(FEATURES)))
    stack: list[tuple[Mapping[str, Any], Floats]] = [(root, np.zeros(len(FEATURES)))]
    while stack:
        node, path = stack.pop()
        if "split_feature" not in node:
            table[node.get("leaf_index", 0)] = path
            continue
        for child in (node["left_child"], node["right_child"]):
            reached = path.copy()
            reached[node["split_feature"]] += (
                child.get("internal_value", child.get("leaf_value")) - node["internal_value"]
            )
            stack.append((child, reached))
    return table


Phrase = Callable[[Mapping[str, float]], str | None]
"""From a row's values by feature name to a sentence, or None where the value says nothing."""

_PROPOSED: Final = math.log(0.1)
"""A generator's input above this: its score is more than a tenth of its best."""


def _many(name: str, text: str) -> Phrase:
    return lambda row: text.format(n=int(row[name])) if row[name] >= 2 else None


def _above(name: str, least: float, text: str) -> Phrase:
    return lambda row: text.format(x=row[name]) if row[name] > least else None


def _young(row: Mapping[str, float]) -> str | None:
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
    "lift": (
        _above("median_lift", 0.1, "posts with it do better than their creators' usual ones"),
        ("median_lift",),
    ),
    "sound": (_above("sound_habit", 0, "you often post with named sounds"), ("sound_habit",)),
    "age": (_young, ("age_days",)),
}
"""Family, of which one is told → its sentence and the features that speak for it."""

_FAMILY_OF: Final = {name: family for family, (_, names) in _PHRASES.items() for name in names}


def reasons(values: Floats, contributions: Floats, most: int) -> list[str]:
    """Sentences for one row, the strongest contribution first, one per family, only what speaks for the item.

    Args:
        values, contributions: one row of each, shape (len(FEATURES),).
        most: how many sentences at the most.
    """
    row = dict(zip(FEATURES, map(float, values), strict=True))
    told: dict[str, str] = {}
    for index in np.argsort(-contributions, kind="stable"):
        if contributions[index] <= 0 or len(told) == most:
            break
        family = _FAMILY_OF.get(FEATURES[index])
        if family is not None and family not in told and (sentence := _PHRASES[family][0](row)):
            told[family] = sentence
    return list(told.values())
