"""Parts of a rolling history: what something touched, and the history of some creators alone."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from features.history import History, Ints


@dataclass
class Touched:
    """Whose rows something changed.

    Attributes:
        trends: keys.
        creators: ids.
    """

    trends: set[str] = field(default_factory=set)
    creators: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.trends or self.creators)


def of_creators(history: History, chosen: Ints) -> tuple[History, Ints]:
    """The part of a history that speaks of some creators, and which of its trends are in it."""
    number = np.full(len(history.creators), -1)
    number[chosen] = np.arange(len(chosen))
    rows = np.flatnonzero(number[history.posts["creator"]] >= 0)
    place = np.full(len(history.posts["id"]), -1)
    place[rows] = np.arange(len(rows))
    uses = np.flatnonzero(place[history.use_post] >= 0)
    trends, use_trend = np.unique(history.use_trend[uses], return_inverse=True)
    posts = {name: column[rows] for name, column in history.posts.items()}
    part = History(
        as_of=history.as_of,
        creators=history.creators[chosen],
        followers=history.followers[chosen],
        regions=history.regions,
        posts=posts | {"creator": number[posts["creator"]]},
        use_post=place[history.use_post[uses]],
        use_trend=use_trend,
        words=history.words,
        said_by=history.said_by,
        said=history.said,
        trends={name: column[trends] for name, column in history.trends.items()},
        market={},
    )
    return part, trends
