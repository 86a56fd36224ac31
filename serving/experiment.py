"""Which model makes whose slate: a sticky split of creators between two arms, and slates scored unseen by the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from time import perf_counter
from typing import Final, Literal, Protocol

import numpy as np

from models.interactions import Ints
from serving.process.queues import BatchQueue
from serving.schemas import RankQuery

Arm = Literal["champion", "challenger"]

SHADOW_SECONDS: Final = 0.02
"""How long a request waits at the most before an idle shadow looks at it."""


def unit(salt: str, purpose: str, text: str) -> float:
    """A number in [0, 1) that depends on nothing else, evenly spread over texts."""
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, key=salt.encode(), person=purpose.encode())
    return (int.from_bytes(digest.digest(), "big") >> 11) * 2.0**-53  # 53 bits: never rounded up to 1


@dataclass(frozen=True)
class Experiment:
    """The split: a creator stays with an arm while the salt stays, and a growing share only ever takes creators in.

    Attributes:
        salt: another one deals creators anew.
        challenger_share: of creators.
        shadow_share: of the champion's requests that the challenger scores too.
    """

    salt: str
    challenger_share: float = 0.0
    shadow_share: float = 0.0

    def arm(self, creator_id: str) -> Arm:
        """The creator's arm; nobody in particular has the champion's."""
        if not self.challenger_share or not creator_id:
            return "champion"
        return "challenger" if unit(self.salt, "arm", creator_id) < self.challenger_share else "champion"

    def share(self, arm: Arm) -> float:
        """The share of creators of an arm: the chance with which a creator came to it."""
        return self.challenger_share if arm == "challenger" else 1 - self.challenger_share

    def is_shadowed(self, recommendation_id: str) -> bool:
        """Whether this request is scored by the challenger too."""
        return bool(self.shadow_share) and unit(self.salt, "shadow", recommendation_id) < self.shadow_share


@dataclass(frozen=True)
class Shadowed:
    """A slate that was served, and how to have it made by the other model.

    Attributes:
        query: what was asked.
        served: rows of the market in the order of the slate, shape (k,).
        rows: makes the other model's slate of the same query, in the same market.
    """

    query: RankQuery
    served: Ints
    rows: Callable[[RankQuery], Ints]


class ShadowFigures(Protocol):
    """Where comparisons are recorded."""

    def shadowed(self, overlap: float, correlation: float | None, seconds: float) -> None:
        """One slate was scored by the challenger too."""
        ...


class Shadow:
    """Scores served slates with the challenger off the request path, a few at a time; more than may wait are dropped.

    Args:
        figures: takes the comparisons.
        most: how many may wait.
    """

    def __init__(self, figures: ShadowFigures, most: int) -> None:
        self._figures = figures
        self.queue: BatchQueue[Shadowed] = BatchQueue("shadow", self._score, most, SHADOW_SECONDS, batch=1)

    def _score(self, batch: list[Shadowed]) -> None:
        for one in batch:
            began = perf_counter()
            rows = one.rows(one.query)
            seconds = perf_counter() - began
            self._figures.shadowed(overlap(one.served, rows), rank_correlation(one.served, rows), seconds)


def overlap(served: Ints, other: Ints) -> float:
    """Share of the served slate that the other model would have served too; 1 of an empty slate."""
    return float(np.isin(served, other).mean()) if len(served) else 1.0


def rank_correlation(served: Ints, other: Ints) -> float | None:
    """Spearman's ρ of the places of the items that both slates hold; None of fewer than three."""
    first = _ranks([int(row) for row in served if row in other], served)
    n = len(first)
    if n < 3:
        return None
    second = _ranks([int(row) for row in served if row in other], other)
    return float(1 - 6 * ((first - second) ** 2).sum() / (n * (n * n - 1)))


def _ranks(shared: Sequence[int], slate: Ints) -> Ints:
    """The order among themselves in which a slate holds these rows."""
    at = {int(row): place for place, row in enumerate(slate)}
    return np.argsort(np.argsort([at[row] for row in shared]))
