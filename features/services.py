"""The feature services: which features each version of the ranker is trained and served with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from features.views import CREATOR_PROFILE, OWNER, TREND_ACTIVITY, TREND_AGE, TREND_FORECAST

if TYPE_CHECKING:
    from feast import FeatureService


@dataclass(frozen=True)
class ServiceSpec:
    """What one version of a model reads.

    Attributes:
        name: of the service.
        views: the stored views whose every feature it takes, in order, where the repository has them.
        on_demand: whether it also takes the features that depend on the request's time.
        description: for a reader of the registry.
    """

    name: str
    views: tuple[str, ...]
    on_demand: bool
    description: str


RANKER_V1: Final = ServiceSpec(
    "ranker_v1",
    (TREND_ACTIVITY, TREND_FORECAST, CREATOR_PROFILE),
    on_demand=True,
    description="Creator × trend ranker, version 1",
)
SERVICES: Final = {service.name: service for service in (RANKER_V1,)}


def feature_service(
    service: ServiceSpec, views: Mapping[str, Any], names: Mapping[str, tuple[str, ...]]
) -> FeatureService:
    """Feast's definition of a service.

    Args:
        service: what it takes.
        views: Feast's views by name, the on-demand view among them.
        names: the feature names of each stored view, without the store's own columns.
    """
    from feast import FeatureService

    features = [views[view][list(names[view])] for view in service.views if view in views]
    if service.on_demand:
        features.append(views[TREND_AGE])
    return FeatureService(
        name=service.name,
        features=features,
        description=service.description,
        owner=OWNER,
        tags={"owner": OWNER},
    )
