"""What is taken up now where a creator is: candidates from the creator's region and from its cluster of taste."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from models.generators.forms import Clustered, ItemToItem, Latent, centres_of, nearest, strongest
from models.interactions import Floats, Interactions


@dataclass(frozen=True)
class RegionTrendCandidates:
    """What creators of the same region took up lately, drawn towards what everybody did where they are few.

    Attributes:
        half_life_days: of an adoption's weight.
        prior_adoptions: how many adoptions of everybody a region's own are mixed with.
        top_n: how many targets a region keeps.
    """

    half_life_days: float
    prior_adoptions: float
    top_n: int

    def fit(self, interactions: Interactions) -> ItemToItem:
        """See `Candidates.fit`."""
        based = interactions.based
        regions = np.unique(based.indices)
        shares = _smoothed(_taken_up(interactions, based.T[regions], self.half_life_days), self.prior_adoptions)
        rows = sp.csr_matrix((np.ones(len(regions)), (regions, np.arange(len(regions)))), (based.shape[1], len(shares)))
        return ItemToItem(strongest(rows @ sp.csr_matrix(shares), self.top_n))


@dataclass(frozen=True)
class ClusterTrendCandidates:
    """What creators of the same cluster of taste took up lately, drawn towards what everybody did.

    The clusters are those of k-means over the creators' unit vectors in the space of `NeighbourCandidates`.

    Attributes:
        space: fitted; its vectors of the vocabulary place a history.
        creators_per_cluster: how many creators a cluster has on average, at the least.
        most: clusters at the most.
        half_life_days: of an adoption's weight.
        prior_adoptions: how many adoptions of everybody a cluster's own are mixed with.
        seed: of the first centres.
    """

    space: Latent
    creators_per_cluster: int
    most: int
    half_life_days: float
    prior_adoptions: float
    seed: int = 0

    def fit(self, interactions: Interactions) -> Clustered:
        """See `Candidates.fit`."""
        vectors = self.space.placed(interactions.used)
        clusters = min(max(len(vectors) // self.creators_per_cluster, 1), self.most)
        centres = centres_of(vectors, clusters, self.seed)
        members = sp.csr_matrix(
            (np.ones(len(vectors)), (nearest(vectors, centres), np.arange(len(vectors)))), (len(centres), len(vectors))
        )
        taken_up = _taken_up(interactions, members, self.half_life_days)
        return Clustered(self.space.words, centres, _smoothed(taken_up, self.prior_adoptions))


def _taken_up(interactions: Interactions, members: sp.csr_matrix, half_life_days: float) -> Floats:
    """Adoptions of each target by the creators of each group, halved every half-life, shape (g, n)."""
    return np.asarray((members @ interactions.adopted(half_life_days)[:, interactions.targets]).toarray())


def _smoothed(taken_up: Floats, prior: float) -> Floats:
    """Each group's shares, mixed with `prior` adoptions of everybody's; the last row is everybody's, (g + 1, n)."""
    everybody = taken_up.sum(axis=0)
    usual = everybody / max(float(everybody.sum()), 1e-12)
    mixed = (taken_up + prior * usual) / (taken_up.sum(axis=1, keepdims=True) + prior)
    return np.vstack([mixed, usual])
