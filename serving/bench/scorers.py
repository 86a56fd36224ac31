"""The bare scorers, in this process and without a network: LightGBM's own prediction and the service's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle
from time import perf_counter
from typing import Any, Final

import numpy as np

from models.compiled.prepared import Picked, PreparedRanker, compiled_forest
from models.creator import Creator
from models.interactions import Floats
from models.market import Market
from models.ranker import Ranker
from serving.errors import BenchmarkFault

TOLERANCE: Final = 1e-9


class BareScorers:
    """Times scorers on the candidates of different creators, turn by turn.

    Args:
        ranker, market: what scores, and what.
        creators: whose candidates.
        candidates: how many the linear stage picks for each.
        boosters: what LightGBM predicts with: the mean counts.
        columns: what those take of rows of `FEATURES`.

    Raises:
        BenchmarkFault: the service's scorer says something else than LightGBM.
    """

    def __init__(
        self,
        ranker: Ranker,
        market: Market,
        creators: Sequence[Creator],
        candidates: int,
        boosters: Sequence[Any],
        columns: Callable[[Floats], Floats] = np.ascontiguousarray,
    ) -> None:
        self._prepared = PreparedRanker.of(ranker, market, compiled_forest(ranker))
        self._market, self._most, self._boosters = market, candidates, boosters
        picked = [self._picked(creator) for creator in creators]
        rows = [columns(self._prepared.features(c, p.rows, p.cross)) for c, p in zip(creators, picked, strict=True)]
        self._turns = cycle(list(zip(creators, picked, rows, strict=True)))
        self._times: dict[str, list[float]] = {name: [] for name in ("predict", "scorer", "pick_and_score")}
        for creator, one, features in zip(creators, picked, rows, strict=True):
            self._check(creator, one, features)

    @property
    def rows(self) -> int:
        """How many candidates are scored at once."""
        return len(next(self._turns)[1].rows)

    def run(self, seconds: float) -> None:
        """Take times for a while; each scorer once at the least."""
        until = perf_counter() + seconds
        while True:
            self._turn(*next(self._turns))
            if perf_counter() >= until:
                return

    def milliseconds(self, name: str) -> float:
        """The median of one scorer's times."""
        return float(np.median(self._times[name])) * 1e3

    def _turn(self, creator: Creator, picked: Picked, features: Floats) -> None:
        self._timed("predict", lambda: self._predict(features))
        self._timed("scorer", lambda: self._score(creator, picked))
        self._timed("pick_and_score", lambda: self._prepared.rank(creator, self._market.recommendable, self._most))

    def _timed(self, name: str, work: Callable[[], object]) -> None:
        began = perf_counter()
        work()
        self._times[name].append(perf_counter() - began)

    def _picked(self, creator: Creator) -> Picked:
        return self._prepared.pick(creator, self._market.recommendable, self._most)

    def _predict(self, features: Floats) -> Floats:
        each = [booster.predict(features, raw_score=True, num_threads=1) for booster in self._boosters]
        return np.asarray(each[0] if len(each) == 1 else np.mean(each, axis=0))

    def _score(self, creator: Creator, picked: Picked) -> Floats:
        forest = self._prepared.forest
        if forest is None:
            raise BenchmarkFault("the benchmark's trees cannot be compiled")
        return forest.score(creator.profile, picked.rows, picked.cross)

    def _check(self, creator: Creator, picked: Picked, features: Floats) -> None:
        apart = float(np.abs(self._predict(features) - self._score(creator, picked)).max(initial=0))
        if apart > TOLERANCE:
            raise BenchmarkFault(f"the service's scorer differs from LightGBM by {apart:.3g}: nothing can be compared")
