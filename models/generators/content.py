"""Likeness of content: candidates from dense vectors of trends, such as image and audio; reaches trends nobody used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from models.generators.forms import ItemToItem, Latent
from models.generators.walks import BLOCK, densest
from models.interactions import Floats, Interactions


@dataclass(frozen=True, eq=False)
class ContentCandidates:
    """Each trend's nearest by cosine, as shares: max(cosine, 0)^power, a row's kept entries summing to 1.

    Attributes:
        vectors: of the vocabulary, unit rows (see `whitened`); zeros where unknown, shape (v, d).
        power: above 1 the nearest count more.
        top_n: how many targets of a trend are kept.
    """

    vectors: Floats
    power: float
    top_n: int

    def fit(self, interactions: Interactions) -> ItemToItem:
        """See `Candidates.fit`; of the interactions only the targets matter.

        Raises:
            ValueError: there is not one vector for every trend of the vocabulary.
        """
        vectors, targets = _checked(self.vectors, interactions), interactions.targets
        blocks = []
        for first in range(0, len(vectors), BLOCK):
            alike = np.maximum(vectors[first : first + BLOCK] @ vectors[targets].T, 0) ** self.power
            alike[targets[None, :] == np.arange(first, first + len(alike))[:, None]] = 0
            blocks.append(densest(alike, self.top_n))
        return ItemToItem(_shares(sp.vstack(blocks, format="csr")))


@dataclass(frozen=True, eq=False)
class CentroidCandidates:
    """Cosine between a trend and the middle of a history.

    Attributes:
        vectors: of the vocabulary, unit rows; zeros where unknown, shape (v, d).
    """

    vectors: Floats

    def fit(self, interactions: Interactions) -> Latent:
        """See `Candidates.fit`; of the interactions only the targets matter.

        Raises:
            ValueError: there is not one vector for every trend of the vocabulary.
        """
        vectors = _checked(self.vectors, interactions)
        return Latent.of(vectors, np.ascontiguousarray(vectors[interactions.targets].T))


def whitened(vectors: Floats) -> Floats:
    """All principal components at unit variance, then unit rows, shape (v, d); constant directions fall away."""
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    return unit_rows(left[:, singular > 1e-8 * singular[0]])


def joined(parts: Sequence[Floats], weights: Sequence[float]) -> Floats:
    """Several vectors of each trend side by side, each scaled by its weight, then unit rows."""
    return unit_rows(np.hstack([weight * part for part, weight in zip(parts, weights, strict=True)]))


def unit_rows(vectors: Floats) -> Floats:
    """Every row scaled to length 1; zeros stay zeros."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))


def _checked(vectors: Floats, interactions: Interactions) -> Floats:
    if len(vectors) != interactions.used.shape[1]:
        raise ValueError(f"{len(vectors)} vectors for a vocabulary of {interactions.used.shape[1]} trends")
    return vectors


def _shares(matrix: sp.csr_matrix) -> sp.csr_matrix:
    sums = np.asarray(matrix.sum(axis=1), float).ravel()
    return (sp.diags(1 / np.maximum(sums, 1e-12)) @ matrix).tocsr()
