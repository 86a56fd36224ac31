"""Which features a caller asks for: a service's name, or views' names, narrowed to some columns."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from features.recency import FIRST_USED_AT, LAST_USED_AT, RECENCY_FEATURES, REQUESTED_AT
from features.services import SERVICES
from features.spec import FeatureSpec
from features.views import EVENT_AT, TREND_ACTIVITY, TREND_AGE, ViewSpec


@dataclass(frozen=True)
class Selection:
    """What to join to labels.

    Attributes:
        views: the stored views, in order.
        on_demand: whether the features that depend on the request's time too.
        names: the columns wanted, in order.
    """

    views: tuple[ViewSpec, ...]
    on_demand: bool
    names: tuple[str, ...]

    @property
    def label_columns(self) -> list[str]:
        """The columns that labels must have: keys, instant, and the request's time where it counts."""
        keys = sorted({view.key for view in self.views})
        return [*keys, EVENT_AT, *([REQUESTED_AT] if self.on_demand else [])]

    @property
    def specs(self) -> dict[str, FeatureSpec]:
        """Every feature of what was selected, by name."""
        stored = [spec for view in self.views for spec in view.features]
        return {spec.name: spec for spec in (*stored, *(RECENCY_FEATURES if self.on_demand else ()))}

    def stored(self, view: ViewSpec) -> list[FeatureSpec]:
        """The features of a view that must be read, also for what is computed from them."""
        needed = {*self.names, *((FIRST_USED_AT, LAST_USED_AT) if self.on_demand else ())}
        return [spec for spec in view.features if spec.name in needed]


def select(views: Mapping[str, ViewSpec], features: str | Sequence[str], names: Sequence[str] | None) -> Selection:
    """The selection that these words mean.

    Args:
        views: every stored view by name.
        features: a service's name, or names of views.
        names: which columns, in which order; all of them where None.

    Raises:
        ValueError: a name is unknown, or the on-demand view is asked for without the view that feeds it.
    """
    asked = _views_of(features, views)
    refuse_unknown("there is no feature view", asked, {*views, TREND_AGE})
    on_demand = TREND_AGE in asked
    if on_demand and TREND_ACTIVITY not in asked:
        raise ValueError(f"{TREND_AGE} is computed from {TREND_ACTIVITY}; ask for both")
    everything = Selection(tuple(views[name] for name in asked if name != TREND_AGE), on_demand, ())
    known = everything.specs
    refuse_unknown(f"{', '.join(asked)} have no feature", names or (), known)
    return Selection(everything.views, on_demand, tuple(known if names is None else names))


def _views_of(features: str | Sequence[str], known: Container[str]) -> tuple[str, ...]:
    if not isinstance(features, str):
        return tuple(features)
    if features not in SERVICES:
        return (features,)
    service = SERVICES[features]
    return (*(view for view in service.views if view in known), *((TREND_AGE,) if service.on_demand else ()))


def refuse_unknown(problem: str, asked: Iterable[str], known: Iterable[str]) -> None:
    """Raise ValueError, naming what is asked for but not known."""
    there = set(known)
    unknown = [name for name in asked if name not in there]
    if unknown:
        raise ValueError(f"{problem} {', '.join(unknown)}")
