"""The rankers that are measured: the reference that the bars name, and one in the shape of the product's default."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from configs import RankerSettings
from features.trends import NUMERIC
from models.compiled.prepared import PreparedRanker
from models.creator import CREATOR_COLUMNS, Creator
from models.forest import Examples, Forest, fit_forest
from models.interactions import Floats
from models.market import Market
from models.pairs import FEATURES, TRENDS
from models.ranker import Calibration, Ranker
from models.registry import CHAMPION
from models.releases import publish, write_release
from serving.bench.world import World
from serving.errors import BenchmarkFault

TREES: Final = 300
LEAVES: Final = 31
OF_TRENDS: Final = tuple(spec.name for spec in NUMERIC if not spec.name.endswith("_1d"))[:24]
OF_CREATORS: Final = CREATOR_COLUMNS[:6]
OF_PAIRS: Final = (
    *("walk", "long_walk", "neighbours", "captions", "text", "coadoption"),
    *("region_match", "region_share", "follower_gap", "stage_one"),
)
REFERENCE_FEATURES: Final = (*OF_TRENDS, *OF_CREATORS, *OF_PAIRS)
"""What the reference takes in: 40, of them 10 of creator and trend together."""

_COLUMNS: Final = np.array([FEATURES.index(name) for name in REFERENCE_FEATURES])
_LEARNING: Final = {"learning_rate": 0.05, "min_data_in_leaf": 5, "feature_pre_filter": False}
TOLERANCE: Final = 1e-9


@dataclass(frozen=True)
class Reference:
    """The reference: the same trees for a service that knows all features, and for one that knows their 40 alone.

    Attributes:
        ranker: takes `FEATURES`.
        booster: takes `REFERENCE_FEATURES`.
        rows: real rows of `FEATURES`.
    """

    ranker: Ranker
    booster: Any
    rows: Floats

    @classmethod
    def of(cls, rows: Floats, shortlist: int, settings: RankerSettings) -> Reference:
        """Learn it.

        Args:
            rows: of `feature_rows`.
            shortlist: candidates that the trees see.
            settings: where the linear stage's weights come from.

        Raises:
            BenchmarkFault: the two forms disagree.
        """
        seen = np.zeros(rows.shape)
        seen[:, _COLUMNS] = rows[:, _COLUMNS]
        shape = {"n_estimators": TREES, "num_leaves": LEAVES, **_LEARNING}
        examples = _examples(seen)
        whole = fit_forest(examples, FEATURES, shape, (0,))
        own = fit_forest(replace(examples, features=reference_rows(rows)), REFERENCE_FEATURES, shape, (0,))
        apart = np.abs(whole.correction(rows) - own.correction(reference_rows(rows))).max()
        if apart > TOLERANCE:
            raise BenchmarkFault(f"the reference model's two forms differ by {apart:.3g}: nothing can be compared")
        return cls(_ranker(whole, shortlist, settings), own.boosters[0], rows)


def reference_rows(rows: Floats) -> Floats:
    """The columns of `REFERENCE_FEATURES` of rows of `FEATURES`."""
    return np.ascontiguousarray(rows[:, _COLUMNS])


def champion(rows: Floats, settings: RankerSettings) -> Ranker:
    """A ranker with as many trees, leaves and candidates as one that `harmonic train` makes, on all features."""
    trees = settings.trees
    forest = fit_forest(_examples(rows), FEATURES, dict(trees.lightgbm) | {"min_data_in_leaf": 5}, trees.seeds)
    return _ranker(forest, trees.shortlist, settings)


def feature_rows(market: Market, creators: Sequence[Creator], each: int, settings: RankerSettings) -> Floats:
    """What the trees of a ranker see of the linear stage's best, creator by creator, shape (m, len(FEATURES))."""
    linear = _ranker(Forest(), each, settings)
    prepared = PreparedRanker.of(linear, market, None)
    parts = []
    for creator in creators:
        picked = prepared.pick(creator, market.recommendable, each)
        parts.append(prepared.features(creator, picked.rows, picked.cross))
    return np.concatenate(parts)


def rows_of(world: World, settings: RankerSettings, creators: int = 60, each: int = 150) -> Floats:
    """Rows to learn from."""
    return feature_rows(world.market, world.creators[:creators], each, settings)


def release(ranker: Ranker, rows: Floats, version: str, folder: Any) -> None:
    """Make a ranker the champion of serving processes, without MLflow.

    Args:
        rows: of `FEATURES`, for its example predictions.
        folder: of released models.
    """

    def fill(staged: Any) -> None:
        write_release(ranker, rows[:64], staged)

    publish(folder, CHAMPION, version, fill)


def _examples(rows: Floats) -> Examples:
    """Rows with grades that depend on some columns and on chance, in queries of up to 100."""
    chance = np.random.default_rng(1)
    known = np.nan_to_num(rows)
    spread = known.std(axis=0)
    scaled = (known - known.mean(axis=0)) / np.where(spread > 0, spread, 1)
    wish = scaled @ chance.normal(size=rows.shape[1]) / np.sqrt(rows.shape[1]) + chance.normal(0, 1, len(rows))
    grades = np.digitize(wish, np.quantile(wish, [0.8, 0.95])).astype(np.int64)
    sizes = np.full(-(-len(rows) // 100), 100)
    sizes[-1] = len(rows) - 100 * (len(sizes) - 1)
    return Examples(features=rows, grades=grades, start=np.zeros(len(rows)), sizes=sizes)


def _ranker(forest: Forest, shortlist: int, settings: RankerSettings) -> Ranker:
    weights = TRENDS.weights(settings.linear.prior)
    return Ranker(weights, forest.boosters, 1.0, shortlist, Calibration(intercept=-3.0))
