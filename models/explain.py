"""Why an item ranks where it does: contributions of features along the trees' own paths, and reasons in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from models.candidates import Floats
from models.market import TREND_COLUMNS
from models.pairs import FEATURES


@dataclass(frozen=True)
class PathContributions:
    """What each leaf of each tree owes to each feature (Saabas, 2014): the change of the expected value at its splits.

    Attributes:
        booster: `lightgbm.Booster`.
        leaves: one array per tree, shape (leaves, f).
        base: the sum of the trees' root values.
    """

    booster: Any
    leaves: tuple[Floats, ...]
    base: float

    @classmethod
    def of(cls, booster: Any) -> PathContributions:
        """Walk every tree of a booster once."""
        trees = booster.dump_model()["tree_info"]
        walked = [_walk(tree["tree_structure"], tree["num_leaves"]) for tree in trees]
        return cls(booster, tuple(leaves for leaves, _ in walked), sum(root for _, root in walked))

    def of_rows(self, features: Floats) -> Floats:
        """Contribution of each feature to each raw score, shape (m, f); rows sum to score − base."""
        if len(features) == 0:
            return np.zeros((0, len(FEATURES)))
        leaf = np.asarray(self.booster.predict(features, pred_leaf=True, num_threads=1)).reshape(len(features), -1)
        total = np.zeros((len(features), len(FEATURES)))
        for tree, table in enumerate(self.leaves):
            total += table[leaf[:, tree].astype(np.int64)]
        return total


def _walk(root: Mapping[str, Any], leaves: int) -> tuple[Floats, float]:
    table = np.zeros((max(leaves, 1), len(FEATURES)))
    if "leaf_value" in root:
        return table, float(root["leaf_value"])
    stack: list[tuple[Mapping[str, Any], Floats]] = [(root, np.zeros(len(FEATURES)))]
    while stack:
        node, path = stack.pop()
        for child in (node["left_child"], node["right_child"]):
            value = child.get("internal_value", child.get("leaf_value"))
            reached = path.copy()
            reached[node["split_feature"]] += value - node["internal_value"]
            if "leaf_index" in child:
                table[child["leaf_index"]] = reached
            else:
                stack.append((child, reached))
    return table, float(root["internal_value"])


def fit_and_heat(contributions: Floats) -> tuple[Floats, Floats]:
    """How far the creator's side and the trend's side lift each row, each squeezed into 0 to 1, shapes (m,)."""
    trends = len(TREND_COLUMNS)
    heat, fit = contributions[:, :trends].sum(axis=1), contributions[:, trends:].sum(axis=1)
    return 1 / (1 + np.exp(-fit)), 1 / (1 + np.exp(-heat))


Phrase = Callable[[Mapping[str, float]], str | None]
"""From a row's values by feature name to a sentence, or None where the value says nothing."""


def _many(name: str, text: str) -> Phrase:
    return lambda row: text.format(n=int(row[name])) if row[name] >= 2 else None


def _above(name: str, least: float, text: str) -> Phrase:
    return lambda row: text.format(x=row[name]) if row[name] > least else None


PHRASES: Final[dict[str, tuple[str, Phrase]]] = {
    "walk": ("walk", _above("walk_score", 0, "creators who use what you use have taken it up")),
    "coadoption": ("coadoption", _above("coadoption_score", 0, "it goes together with trends you already use")),
    "trending": ("trending", _above("trending_share", 0.2, "it is among the most adopted this week where you post")),
    "taste": ("taste", _above("taste_match", 0.1, "it is close to your taste")),
    "region": ("region", _above("region_share", 0.2, "{x:.0%} of its posts come from your region")),
    "adopters_1d": ("adopters", _many("adopters_1d", "{n} creators used it for the first time in the last day")),
    "adopters_3d": ("adopters", _many("adopters_3d", "{n} creators used it for the first time in the last 3 days")),
    "adopters_7d": ("adopters", _many("adopters_7d", "{n} creators used it for the first time in the last 7 days")),
    "uses_7d": ("uses", _many("uses_7d", "{n} posts used it in the last 7 days")),
    "creators_28d": ("creators", _many("creators_28d", "{n} creators used it in the last 28 days")),
    "burst": ("burst", _above("burst", 1, "its use is {x:.1f} standard deviations above its month")),
    "velocity": ("velocity", _above("velocity_7d", 0.02, "its uses grow by {x:.0%} a day")),
    "market": ("market", _above("market_growth_7d", 0.01, "its public count grew by {x:.0%} in a week")),
    "lift": ("lift", _above("median_lift", 0.1, "posts with it do better than their creators' usual ones")),
    "age": ("age", lambda row: f"it is only {row['age_days']:.0f} days old" if row["age_days"] < 14 else None),
}
"""Reason → (family, of which one is told; its sentence)."""

_SPEAKS_FOR: Final[dict[str, str]] = {
    **{f"{name}_{form}": name for name in ("walk", "coadoption", "trending") for form in ("score", "share")},
    "taste_match": "taste",
    "region_share": "region",
    "adopters_1d": "adopters_1d",
    "adopters_3d": "adopters_3d",
    "adopters_7d": "adopters_7d",
    **{f"uses_{w}d": "uses_7d" for w in (1, 3, 7, 28)},
    **{f"creators_{w}d": "creators_28d" for w in (1, 3, 7, 28)},
    "burst": "burst",
    **{f"velocity_{w}d": "velocity" for w in (1, 3, 7, 28)},
    **{f"market_growth_{w}d": "market" for w in (1, 3, 7)},
    "median_lift": "lift",
    "age_days": "age",
}
"""Feature → the reason that tells of it."""


def reasons(values: Floats, contributions: Floats, most: int) -> list[str]:
    """Sentences for one row, the strongest contribution first, one per family, only what speaks for the item.

    Args:
        values, contributions: one row of each, shape (f,).
        most: how many sentences at the most.
    """
    row = dict(zip(FEATURES, map(float, values), strict=True))
    told: dict[str, str] = {}
    for index in np.argsort(-contributions, kind="stable"):
        if contributions[index] <= 0 or len(told) == most:
            break
        reason = _SPEAKS_FOR.get(FEATURES[index])
        if reason is None:
            continue
        family, phrase = PHRASES[reason]
        sentence = phrase(row)
        if sentence and family not in told:
            told[family] = sentence
    return list(told.values())
