"""The feature views: which features belong together, how long they hold, and their Feast definitions.

A view is a plain `ViewSpec` first; the Feast objects are made from it when the store asks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from features.entities import CREATOR_KEY, TREND_KEY, entities
from features.recency import (
    FIRST_USED_AT,
    LAST_USED_AT,
    RECENCY_FEATURES,
    REQUESTED_AT,
    at_request,
    epoch_seconds,
)
from features.spec import FeatureSpec

if TYPE_CHECKING:
    from feast import FeatureView, OnDemandFeatureView
    from feast.data_source import DataSource

OWNER: Final = "harmonic-bytes"
EVENT_AT: Final = "event_timestamp"
CREATED_AT: Final = "created_timestamp"
EVENT_US: Final = "event_us"
"""The event's exact instant as a value (us since 1970, UTC): Feast's SQLite store keeps whole seconds."""

TREND_ACTIVITY: Final = "trend_activity"
TREND_FORECAST: Final = "trend_forecast"
CREATOR_PROFILE: Final = "creator_profile"
CREATOR_HISTORY: Final = "creator_history"
TREND_AGE: Final = "trend_age_at_request"


@dataclass(frozen=True)
class ViewSpec:
    """Features of one entity that are computed and stored together.

    Attributes:
        name: of the view, its folder and its push source.
        key: the join key.
        features: its columns, in order.
        ttl: how long a row holds, to the microsecond and inclusive; an older row is no value.
        description: for a reader of the registry.
    """

    name: str
    key: str
    features: tuple[FeatureSpec, ...]
    ttl: timedelta
    description: str

    @property
    def names(self) -> tuple[str, ...]:
        """The features' names, in order."""
        return tuple(spec.name for spec in self.features)


def view_specs(
    trend: Sequence[FeatureSpec],
    creator: Sequence[FeatureSpec],
    history: Sequence[FeatureSpec],
    forecast: Sequence[FeatureSpec] = (),
) -> tuple[ViewSpec, ...]:
    """The views over these features; one without any is left out.

    Raises:
        ValueError: one name stands in two places, or is a column of the store's own.
    """
    views = (
        ViewSpec(TREND_ACTIVITY, TREND_KEY, tuple(trend), timedelta(days=30), "How a trend is doing"),
        ViewSpec(CREATOR_PROFILE, CREATOR_KEY, tuple(creator), timedelta(days=90), "What a creator's posts do"),
        ViewSpec(CREATOR_HISTORY, CREATOR_KEY, tuple(history), timedelta(days=90), "Which trends a creator used"),
        ViewSpec(TREND_FORECAST, TREND_KEY, tuple(forecast), timedelta(days=30), "Where a trend's count is heading"),
    )
    _refuse_repeats([spec.name for view in views for spec in view.features])
    return tuple(view for view in views if view.features)


def all_views() -> tuple[ViewSpec, ...]:
    """The views of the project's own features."""
    from features.creators import CREATOR_FEATURES, HISTORY_FEATURES
    from features.forecasts import FORECAST_FEATURES
    from features.trends import TREND_FEATURES

    return view_specs(TREND_FEATURES, CREATOR_FEATURES, HISTORY_FEATURES, FORECAST_FEATURES)


def _refuse_repeats(names: list[str]) -> None:
    own = [CREATOR_KEY, TREND_KEY, EVENT_AT, CREATED_AT, EVENT_US, REQUESTED_AT]
    taken = [*names, *own, *(spec.name for spec in RECENCY_FEATURES)]
    repeated = sorted({name for name in taken if taken.count(name) > 1})
    if repeated:
        raise ValueError(f"feature names must be unique over all views; rename {', '.join(repeated)}")


def push_source_name(view: str) -> str:
    """The name of the push source that feeds a view."""
    return f"{view}_push"


def feature_view(view: ViewSpec, batch_source: DataSource) -> FeatureView:
    """Feast's definition of a view over the place where its rows are kept."""
    from feast import FeatureView, Field, PushSource
    from feast.types import Int64, String

    push = PushSource(name=push_source_name(view.name), batch_source=batch_source, owner=OWNER)
    return FeatureView(
        name=view.name,
        entities=[entities()[view.key]],
        ttl=view.ttl,
        online=True,
        source=push,
        description=view.description,
        owner=OWNER,
        tags={"owner": OWNER, "entity": view.key},
        schema=[
            Field(name=view.key, dtype=String),
            *(_field(spec) for spec in view.features),
            Field(name=EVENT_US, dtype=Int64, tags={"unit": "us since 1970, UTC", "kind": "bookkeeping"}),
        ],
    )


def _field(spec: FeatureSpec) -> Any:
    from feast import Field
    from feast.types import Array, Float64, Int64, String

    types = {
        "float": Float64,
        "string": String,
        "floats": Array(Float64),
        "strings": Array(String),
        "instants": Array(Int64),  # Feast's timestamps keep whole seconds; these keep microseconds
    }
    tags = {"unit": spec.unit, "kind": spec.kind}
    return Field(name=spec.name, dtype=types[spec.kind], description=spec.description, tags=tags)


def recency_of(inputs: pd.DataFrame) -> pd.DataFrame:
    """The on-demand features of rows that carry `first_used_at`, `last_used_at` (s) and `requested_at`."""
    requested = epoch_seconds(inputs[REQUESTED_AT])
    first, last = (inputs[name].to_numpy(dtype=float) for name in (FIRST_USED_AT, LAST_USED_AT))
    return pd.DataFrame(at_request(first, last, requested))


def trend_age_view(trend_activity: FeatureView) -> OnDemandFeatureView:
    """Feast's on-demand view of how old a trend is when it is asked for."""
    from feast import Field, OnDemandFeatureView, RequestSource
    from feast.transformation.pandas_transformation import PandasTransformation
    from feast.types import Float64, UnixTimestamp

    request = RequestSource(name="request", schema=[Field(name=REQUESTED_AT, dtype=UnixTimestamp)])
    udf: Callable[[pd.DataFrame], pd.DataFrame] = recency_of
    return OnDemandFeatureView(
        name=TREND_AGE,
        sources=[trend_activity[[FIRST_USED_AT, LAST_USED_AT]], request],
        # Feast refuses a described or tagged field here: the view's tags say the units.
        schema=[Field(name=spec.name, dtype=Float64) for spec in RECENCY_FEATURES],
        feature_transformation=PandasTransformation(udf=udf, udf_string="features.views.recency_of"),
        mode="pandas",
        description="How old a trend is, and how long unused, at the instant of the request",
        owner=OWNER,
        tags={"owner": OWNER, "entity": TREND_KEY, **{spec.name: spec.unit for spec in RECENCY_FEATURES}},
    )
