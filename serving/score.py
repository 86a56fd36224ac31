"""Stage «score»: the linear stage shortlists, the trees correct, and what is left is scored, best first."""

from __future__ import annotations

from dataclasses import dataclass

from models.compiled.masks import CompiledForest
from models.compiled.prepared import PreparedRanker, compiled_forest
from models.creator import Creator
from models.explain import Explainer
from models.market import Bools
from models.ranker import Ranker
from serving.schemas import Scored


@dataclass(frozen=True)
class Model:
    """What scores: a ranker, its version, what explains its scores, and its trees in the form that is fast."""

    version: str
    ranker: Ranker
    explainer: Explainer
    forest: CompiledForest | None

    @classmethod
    def of(cls, version: str, ranker: Ranker) -> Model:
        """Compile and explain a ranker."""
        return cls(version, ranker, Explainer.of(ranker), compiled_forest(ranker))


def score(prepared: PreparedRanker, creator: Creator, allowed: Bools, most: int) -> Scored:
    """The `most` best of what is allowed by the linear stage with their final raw scores, best first, ties by row."""
    return Scored(*prepared.rank(creator, allowed, most))
