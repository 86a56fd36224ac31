"""Why an item ranks where it does: contributions of features to its score, and what is told of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from models.compiled.contributions import Nodes, Ways
from models.compiled.mask_tables import MOST_LEAVES, frozen
from models.compiled.masks import texts_of
from models.compiled.prepared import PreparedRanker
from models.creator import Creator
from models.interactions import Floats, Ints
from models.market import TREND_COLUMNS
from models.pairs import FEATURES, PAIR_INPUTS, TREND_INPUTS, creator_terms
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
        ways: what those to their leaves add; None where no prepared forest says at which leaf a row ends.
    """

    ranker: Ranker
    nodes: Nodes | None
    ways: Ways | None

    @classmethod
    def of(cls, ranker: Ranker) -> Explainer:
        """Read the trees of a ranker once."""
        nodes = Nodes.of_texts(texts_of(ranker.boosters)) if ranker.boosters else None
        told = nodes is not None and nodes.most_leaves <= MOST_LEAVES
        return cls(ranker, nodes, Ways.of(nodes, len(ranker.schema.features)) if nodes and told else None)

    @property
    def scale(self) -> float:
        """Of what the trees contribute."""
        return self.ranker.trust / max(len(self.ranker.boosters), 1)

    def contributions(self, features: Floats, usual: Floats) -> Floats:
        """What each feature adds to each raw score, compared with a usual candidate, shape (m, len(schema.features)).

        Args:
            features: of the trees, shape (m, len(schema.features)).
            usual: the linear inputs of the candidates on average, shape (len(schema.inputs),).
        """
        ranker = self.ranker
        total = np.zeros(features.shape) if self.nodes is None else self.nodes.contributions(features, self.scale)
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


def explain(
    prepared: PreparedRanker,
    explainer: Explainer,
    creator: Creator,
    rows: Ints,
    cross: Floats,
    usual: Floats,
    raw: Floats,
    most: int,
) -> Explained:
    """What is told of some rows that a prepared ranker picked and scored.

    Args:
        rows, cross, usual: see `models.compiled.prepared.Picked`.
        raw: their scores, shape (m,).
        most: how many reasons a row at the most.
    """
    calibration, terms = explainer.ranker.calibration, creator_terms(creator)
    stranger, forest, ways = creator.words_of(prepared.market).blank, prepared.forest, explainer.ways
    if forest is None or ways is None or not forest.forest.layout.shared:
        features = prepared.features(creator, rows, cross)
        return explained(features, explainer.contributions(features, usual), raw, calibration, terms, most, stranger)
    from models.compiled.reason_kernels import explain_rows

    found, numbers, phrases, values = explain_rows(
        frozen(prepared.market.numeric),
        frozen(prepared.of_trends),
        forest.of_creator(creator.profile),
        frozen(rows),
        frozen(cross),
        len(PAIR_INPUTS),
        forest.arrays,
        (ways.first, ways.steps, ways.lines),
        explainer.scale,
        explainer.ranker.schema.inputs_at.start,
        frozen(usual),
        prepared.weights,
        _IMPERSONAL if stranger else _ROLES,
        _READS,
        _BOUNDS,
        _sigmoid(calibration, terms),
        frozen(raw),
        most,
    )
    if not found:
        raise IndexError(f"rows must be 0 to {len(prepared.market) - 1}")
    return Explained(numbers, phrases, values)


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

    sigmoid = _sigmoid(calibration, terms)
    roles = _IMPERSONAL if stranger else _ROLES
    return Explained(*tell(features, contributions, roles, _READS, _BOUNDS, sigmoid, frozen(raw), most))


def _sigmoid(calibration: Calibration, terms: Floats) -> Floats:
    """Slope and intercept for a creator with these terms."""
    return np.array([calibration.slope, float(terms @ calibration.pace) + calibration.intercept])


def reasons(told: Explained) -> list[list[str]]:
    """The sentences of each row."""
    both = zip(told.phrases.tolist(), told.values.tolist(), strict=True)
    return [[PHRASES[at].say(x) for at, x in zip(*row, strict=True) if at >= 0] for row in both]
