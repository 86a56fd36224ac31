"""Why an item ranks where it does: contributions of features to its score, and what is told of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from models.compiled.contributions import Leaves, Nodes, Ways
from models.compiled.masks import texts_of
from models.interactions import Floats, Ints
from models.market import TREND_COLUMNS
from models.pairs import FEATURES, TREND_INPUTS
from models.ranker import Calibration, Ranker
from models.reasons import PHRASES
from models.schema import STAGE_ONE

_PHRASE_OF: Final = {name: place for place, phrase in enumerate(PHRASES) for name in phrase.features}


def _side(name: str) -> int:
    """See `models.compiled.reason_kernels.tell`."""
    return 0 if name in STAGE_ONE else 2 if name in (*TREND_COLUMNS, *TREND_INPUTS) else 1


_ROLES: Final = np.array([(_side(name), _PHRASE_OF.get(name, -1)) for name in FEATURES])
_IMPERSONAL: Final = np.array([(side, -1 if at >= 0 and PHRASES[at].personal else at) for side, at in _ROLES.tolist()])
_READS: Final = np.array([FEATURES.index(phrase.reads) for phrase in PHRASES])
_BOUNDS: Final = np.array([(phrase.above, phrase.below) for phrase in PHRASES])


@dataclass(frozen=True)
class Explainer:
    """Contributions of features to a ranker's scores: linear weights, and the splits of the trees.

    Attributes:
        ranker: whose scores are explained.
        nodes: of its trees; None where it has none that can be walked.
        ways: what those to their leaves add; None where there are no nodes.
    """

    ranker: Ranker
    nodes: Nodes | None
    ways: Ways | None

    @classmethod
    def of(cls, ranker: Ranker) -> Explainer:
        """Read the trees of a ranker once."""
        nodes = Nodes.of_texts(texts_of(ranker.boosters)) if ranker.boosters else None
        return cls(ranker, nodes, Ways.of(nodes, len(ranker.schema.features)) if nodes else None)

    def contributions(self, features: Floats, usual: Floats, leaves: Leaves | None = None) -> Floats:
        """What each feature adds to each raw score, compared with a usual candidate, shape (m, len(schema.features)).

        Args:
            features: of the trees, shape (m, len(schema.features)).
            usual: the linear inputs of the candidates on average, shape (len(schema.inputs),).
            leaves: where the rows end in each tree, see `PreparedRanker.leaves`; found out where it is not given.
        """
        ranker = self.ranker
        scale = ranker.trust / max(len(ranker.boosters), 1)
        if self.nodes is None or self.ways is None:
            total = np.zeros(features.shape)
        elif leaves is None:
            total = self.nodes.contributions(features, scale)
        else:
            total = self.ways.contributions(leaves, scale)
        inputs = ranker.schema.inputs_at
        total[:, inputs] += (features[:, inputs] - usual) * ranker.weights
        return total


class Explained(NamedTuple):
    """What is told of each row beside the row itself.

    Attributes:
        numbers: probability of adoption to 6 digits; how far the creator's side and the trend's side lift the row, its
            fit and its heat, each squeezed into 0 to 1, to 4 digits; shape (m, 3).
        phrases: places in `models.reasons.PHRASES`: those that are true of the row and speak for it, the strongest
            contribution first; −1 where there are no more, shape (m, most).
        values: the numbers that these phrases tell, shape (m, most).
    """

    numbers: Floats
    phrases: Ints
    values: Floats


def explained(
    features: Floats,
    contributions: Floats,
    raw: Floats,
    calibration: Calibration,
    terms: Floats,
    most: int,
    stranger: bool = False,
) -> Explained:
    """What is told of each row.

    Args:
        features, contributions: shape (m, len(FEATURES)).
        raw: scores, shape (m,).
        calibration: of the ranker.
        terms: of the creator, see `Calibration.probability`, shape (t,).
        most: how many reasons a row at the most.
        stranger: nothing is known of what the creator did.
    """
    from models.compiled.reason_kernels import tell

    sigmoid = np.array([calibration.slope, float(terms @ calibration.pace) + calibration.intercept])
    roles = _IMPERSONAL if stranger else _ROLES
    return Explained(*tell(features, contributions, roles, _READS, _BOUNDS, sigmoid, raw, most))


def reasons(told: Explained) -> list[list[str]]:
    """The sentences of each row."""
    both = zip(told.phrases.tolist(), told.values.tolist(), strict=True)
    return [[PHRASES[at].say(x) for at, x in zip(*row, strict=True) if at >= 0] for row in both]
