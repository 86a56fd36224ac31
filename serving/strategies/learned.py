"""The released ranker of strategies beside who posts how: what ranks the library for a creator where there is one."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from features.evidence.lifts import Measure
from models.creator import Creator
from models.errors import IncompatibleModel
from models.interactions import Floats
from models.registry import CHAMPION
from models.releases import load_checked, released
from models.strategies.kinds import OWN_FEATURES, KindLike
from models.strategies.practice import Practice
from models.strategies.queries import STRATEGIES, StrategyScorer, inputs_of, pace_of

log = logging.getLogger(__name__)

PRACTICE: Final = "practice.npz"
MODEL: Final = "strategy_model"
"""In the folder of what is published; see `Settings.released_strategy_models`."""

LONG_AGO_DAYS: Final = 365.0


@dataclass(frozen=True)
class LearnedOrder:
    """A released ranker and what it looks at.

    Attributes:
        version: of the registry.
        scorer: of the ranker.
        practice: who posts how.
    """

    version: str
    scorer: StrategyScorer
    practice: Practice

    @classmethod
    def read(cls, folder: Path) -> LearnedOrder | None:
        """What is released and published in a folder; None, and the rule ranks, where either is missing or unfit."""
        release, practice = released(folder / MODEL, CHAMPION), Practice.load(folder / PRACTICE)
        if release is None or practice is None:
            return None
        try:
            ranker = load_checked(release.folder, STRATEGIES)
        except IncompatibleModel as error:
            log.warning("strategies are ranked by the rule: %s", error)
            return None
        return cls(release.version, StrategyScorer.of(ranker), practice)

    def scores(
        self,
        kinds: Sequence[KindLike],
        measures: Mapping[str, Measure],
        followed: Mapping[str, Measure],
        known: Mapping[str, float],
        creator: Creator,
    ) -> Floats:
        """Scores of the kinds that apply to a creator, in log-lift, shape (k,).

        Args:
            measures, followed: see `inputs_of`.
            known: features of conditions.
        """
        own = {name: value for name, value in known.items() if name in OWN_FEATURES}
        told = {name: value for name, value in known.items() if name not in OWN_FEATURES}
        columns = self.practice.columns(
            self.practice.rows_of(np.array([creator.creator_id])),
            creator.taste[None],
            np.array([creator.column("followers")]),
            np.array([creator.region]),
        )
        inputs = inputs_of(kinds, measures, followed, own, told, columns)[0]
        return self.scorer.score(inputs, _pace(creator))


def _pace(creator: Creator) -> Floats:
    """Of somebody nobody has seen: no posts, and long ago."""
    posts, rest = creator.column("posts_28d"), creator.column("days_since_post")
    known = (0.0 if math.isnan(posts) else posts), (LONG_AGO_DAYS if math.isnan(rest) else rest)
    pace: Floats = pace_of(*(np.array([value]) for value in known))[0]
    return pace
