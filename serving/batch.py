"""Job: the slate of every known creator, through the same pipeline as a request."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from configs import Settings
from features.lake import Lake
from features.materialize import known_by
from features.store import FeatureRepository
from models.moment import moment, offline, write_moment
from serving.hydrate import GivenStates
from serving.pipeline import Pipeline
from serving.present import probabilities
from serving.publish import refuse_empty
from serving.schemas import RankQuery
from serving.score import Model
from serving.snapshot import TrendSnapshot, forecasts_of

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("creator_id", "rank", "trend_type", "trend_id", "score", "model_version")


def score_all(pipeline: Pipeline, k: int, progress: Callable[[str, float], None] = lambda *_: None) -> pd.DataFrame:
    """Slates of k items for every creator of whom a post is known, in the order of their ids.

    Returns:
        `COLUMNS`, one row per place.
    """
    import pandas as pd

    market, model = pipeline.snapshot.market, pipeline.model
    ids = list(pipeline.states.ids())
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for done, creator_id in enumerate(ids):
        creator, scored = pipeline.recommend(RankQuery(creator_id, k))
        columns["creator_id"] += [creator_id] * len(scored.rows)
        columns["rank"] += range(1, len(scored.rows) + 1)
        columns["trend_type"] += market.types[scored.rows].tolist()
        columns["trend_id"] += market.ids[scored.rows].tolist()
        columns["score"] += probabilities(pipeline, creator, scored).tolist()
        progress(f"{done + 1:,} creators", (done + 1) / len(ids))
    columns["model_version"] = [model.version] * len(columns["rank"])
    return pd.DataFrame(columns)


def pipeline_at(lake: Lake, features: FeatureRepository, model: Model, as_of: datetime, settings: Settings) -> Pipeline:
    """A pipeline over what was known at any instant, its features read through the point-in-time join.

    Raises:
        NotReady: no trend was live then.
    """
    past = known_by(lake, as_of, settings)
    write_moment(lake, past, features, settings)
    then = moment(past, offline(features, as_of), settings)
    refuse_empty(then.market, as_of, settings)
    return Pipeline.of(
        snapshot=TrendSnapshot(f"{as_of:%Y%m%dT%H%M%S}", then.market, forecasts_of(then.trends)),
        model=model,
        states=GivenStates(then.creators),
        settings=settings.serving,
    )
