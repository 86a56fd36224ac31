"""What candidate generators are fitted to: small forms that turn a creator's history into a score of every trend.

Each row of a result depends on its own history alone, operation by operation, so that one creator in a request and
the same creator among thousands in training get the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from models.interactions import Floats, Ints

Arrays = Mapping[str, npt.NDArray[Any]]


class Generator(Protocol):
    """A fitted generator: arrays in, arrays out, and it can be written down as arrays."""

    def scores(self, used: sp.csr_matrix) -> Floats:
        """How strongly each trend is proposed.

        Args:
            used: histories × vocabulary, 1 where used, shape (q, v).

        Returns:
            Scores ≥ 0, shape (q, n); only their order and ratios within a row mean anything.
        """
        ...

    def arrays(self) -> Arrays:
        """Everything `restore` needs to make it again."""
        ...


@dataclass(frozen=True)
class ItemToItem:
    """Scores are the sum, over the trends used, of their rows in a sparse vocabulary × market matrix."""

    matrix: sp.csr_matrix

    def scores(self, used: sp.csr_matrix) -> Floats:
        """See `Generator.scores`."""
        return np.asarray((used @ self.matrix).toarray())

    def arrays(self) -> Arrays:
        """The matrix in compressed rows."""
        m = self.matrix
        return {"data": m.data, "indices": m.indices, "indptr": m.indptr, "shape": np.array(m.shape)}


@dataclass(frozen=True)
class Latent:
    """Scores are the product of the creator's unit vector, summed from the trends used, and the market's vectors.

    Attributes:
        words: vectors of the vocabulary, shape (v, d).
        market: vectors of the live trends, each in its own unit, shape (d, n).
        units: of the vectors, shape (n,).
    """

    words: Floats
    market: npt.NDArray[Any]
    units: Floats

    @classmethod
    def of(cls, words: Floats, market: Floats) -> Latent:
        """Vectors as they are."""
        return cls(words, market, np.ones(market.shape[1]))

    def placed(self, used: sp.csr_matrix) -> Floats:
        """The histories' unit vectors, shape (q, d)."""
        return _placed(used, self.words)

    def scores(self, used: sp.csr_matrix) -> Floats:
        """See `Generator.scores`; what points away scores 0."""
        along = np.asarray(sp.csr_matrix(self.placed(used)) @ self.market.astype(np.float64, copy=False))
        return np.asarray(np.maximum(along * self.units, 0))

    def arrays(self) -> Arrays:
        """Both tables of vectors, and the units."""
        return {"words": self.words, "market": self.market, "units": self.units}


@dataclass(frozen=True)
class Clustered:
    """Scores are the row of the cluster whose centre is nearest; the last row is for a history that is nowhere.

    Attributes:
        words: vectors of the vocabulary, shape (v, d).
        centres: shape (g, d).
        shares: of the live trends, shape (g + 1, n).
    """

    words: Floats
    centres: Floats
    shares: Floats

    def scores(self, used: sp.csr_matrix) -> Floats:
        """See `Generator.scores`."""
        return np.asarray(self.shares[self.group(_placed(used, self.words))])

    def group(self, vectors: Floats) -> Ints:
        """Row of `shares` for each history's unit vector, shape (q,)."""
        return np.asarray(np.where(vectors.any(axis=1), nearest(vectors, self.centres), len(self.centres)))

    def arrays(self) -> Arrays:
        """The vectors, the centres and their rows."""
        return {"words": self.words, "centres": self.centres, "shares": self.shares}


def centres_of(vectors: Floats, clusters: int, seed: int) -> Floats:
    """Centres by k-means of unit vectors, no more of them than there are places, shape (c, d).

    Where there is to be one alone, it is any of them; without any vectors, the origin.
    """
    from scipy.cluster.vq import kmeans2

    apart = len(np.unique(vectors.round(9), axis=0)) if vectors.size else 0
    if min(clusters, apart) < 2:
        return vectors[:1] if apart else np.zeros((1, vectors.shape[1]))
    return np.asarray(kmeans2(vectors, min(clusters, apart), minit="++", missing="warn", rng=seed)[0], float)


def nearest(vectors: Floats, centres: Floats) -> Ints:
    """The centre nearest to each vector, shape (q,); ties by row."""
    along = np.asarray(sp.csr_matrix(vectors) @ centres.T)
    return np.asarray(np.argmin((centres**2).sum(axis=1) - 2 * along, axis=1))


def _placed(used: sp.csr_matrix, words: Floats) -> Floats:
    vectors = np.asarray(used @ words)
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9))


def restore(arrays: Arrays) -> Generator:
    """The generator that `arrays` was taken from."""
    if "centres" in arrays:
        return Clustered(arrays["words"], arrays["centres"], arrays["shares"])
    if "words" in arrays:
        return Latent(arrays["words"], arrays["market"], arrays["units"])
    return ItemToItem(sp.csr_matrix((arrays["data"], arrays["indices"], arrays["indptr"]), tuple(arrays["shape"])))


def lean(generator: Generator) -> Generator:
    """The generator with what grows with the market in fewer bytes: still more than it means.

    Numbers of a sparse matrix have single precision, those of a vector are whole multiples of a 32,767th of its
    largest. Sums are taken in double precision.
    """
    if isinstance(generator, ItemToItem):
        return ItemToItem(generator.matrix.astype(np.float32))
    if isinstance(generator, Latent):
        market = generator.market * generator.units
        largest = np.abs(market).max(axis=0, initial=0)
        units = np.where(largest > 0, largest / np.iinfo(np.int16).max, 1.0)
        return Latent(generator.words, np.rint(market / units).astype(np.int16), units)
    return generator


def strongest(matrix: sp.spmatrix, top_n: int) -> sp.csr_matrix:
    """The `top_n` largest positive entries of each row; ties by column number."""
    whole = sp.csr_matrix(matrix)
    whole.data[whole.data < 0] = 0
    whole.eliminate_zeros()
    whole.sort_indices()
    kept = np.ones(whole.nnz, bool)
    for row in np.flatnonzero(np.diff(whole.indptr) > top_n):
        span = slice(whole.indptr[row], whole.indptr[row + 1])
        kept[span] = _among_largest(whole.data[span], top_n)
    indptr = np.concatenate([[0], np.cumsum(kept)])[whole.indptr]
    return sp.csr_matrix((whole.data[kept], whole.indices[kept], indptr), whole.shape)


def _among_largest(values: Floats, n: int) -> npt.NDArray[np.bool_]:
    """Which of the values are the n largest; the earlier of equals wins."""
    threshold = np.partition(values, len(values) - n)[len(values) - n]
    chosen = values > threshold
    ties = np.flatnonzero(values == threshold)
    chosen[ties[: n - int(chosen.sum())]] = True
    return np.asarray(chosen)
