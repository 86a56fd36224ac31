"""Stage «score»: the linear stage shortlists, the trees correct, and what is left is scored, best first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.creator import Creator
from models.explain import Explainer
from models.market import Market
from models.ranker import Ranker
from serving.schemas import Candidates, Scored


@dataclass(frozen=True)
class Model:
    """What scores: a ranker, its version, and what explains its scores."""

    version: str
    ranker: Ranker
    explainer: Explainer


def score(ranker: Ranker, market: Market, creator: Creator, candidates: Candidates, most: int) -> Scored:
    """The `most` best candidates by the linear stage with their final raw scores, best first, ties by row."""
    mask = np.zeros(len(market), bool)
    mask[candidates.rows] = True
    chosen = ranker.best(market, creator, candidates.inputs, mask, most)
    raw = ranker.score(chosen, threads=1)
    usual = candidates.inputs[mask].mean(axis=0) if mask.any() else np.zeros(candidates.inputs.shape[1])
    scored = Scored(chosen.rows, chosen.features, raw, usual)
    return scored.take(np.lexsort((chosen.rows, -raw)))
