"""The micro-video benchmark's files, and what the product's models make of their rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from models.interactions import Floats, Ints
from training.errors import TrainingError

MOST: Final = 10_000_000
"""Ids from here on are taken for names rather than numbers."""


class UnusableBenchmark(TrainingError):
    """A file of the benchmark is missing, damaged, or does not fit the others."""


@dataclass(frozen=True)
class Benchmark:
    """The benchmark in memory; users and items are numbered from 0.

    Attributes:
        used: training rows, 1 where the user has the item, shape (u, n).
        truth: held-out rows, for scoring alone, shape (u, n).
        vectors: "image", "audio" → a vector per item, finite, shape (n, any); those that were given.
    """

    used: sp.csr_matrix
    truth: sp.csr_matrix
    vectors: dict[str, Floats]


@dataclass(frozen=True)
class Fold:
    """Training rows without those held out, one of each of some users.

    Attributes:
        used: users × items, shape (u, n).
        users: whose row is held out, shape (q,).
        items: what is held out, shape (q,).
    """

    used: sp.csr_matrix
    users: Ints
    items: Ints


def read_benchmark(train: Path, val: Path, image: Path | None, audio: Path | None) -> Benchmark:
    """Read and check the files.

    Args:
        train, val: Parquet with the integer columns user and item.
        image, audio: a vector per item as .npy.

    Raises:
        UnusableBenchmark: the message names the file and what is wrong with it.
    """
    learned, wanted = _pairs(train), _pairs(val)
    vectors = {name: _vectors(path) for name, path in (("image", image), ("audio", audio)) if path is not None}
    users = 1 + max(int(pairs[0].max(initial=0)) for pairs in (learned, wanted))
    items = 1 + max(int(pairs[1].max(initial=0)) for pairs in (learned, wanted))
    if len({len(table) for table in vectors.values()}) > 1:
        raise UnusableBenchmark(f"{image} has {len(vectors['image'])} rows and {audio} has {len(vectors['audio'])}")
    if vectors:
        given = len(next(iter(vectors.values())))
        if given < items:
            raise UnusableBenchmark(f"{image or audio} has vectors for {given} items, but the rows name {items}")
        items = given
    return Benchmark(_table(learned, users, items), _table(wanted, users, items), vectors)


def histories(used: sp.csr_matrix, users: Ints) -> sp.csr_matrix:
    """What the users used, and for those who used nothing what everybody used, shape (q, n)."""
    rows = used[users]
    empty = np.diff(rows.indptr) == 0
    return (rows + sp.csr_matrix(empty.astype(float)[:, None]) @ sp.csr_matrix(used.sum(axis=0))).tocsr()


def hold_out(used: sp.csr_matrix, folds: int, exponent: float, seed: int) -> list[Fold]:
    """One random row of every user with at least two, a fold of users at a time.

    A row is drawn with a chance ∝ its item's degree ^ −exponent. At 0 most of what is held out are the popular items,
    which stand in most rows; at 1 taste is asked for rather than popularity (inverse propensities, Yang et al., 2018).
    """
    rng = np.random.default_rng(seed)
    length = np.diff(used.indptr)
    user = np.repeat(np.arange(used.shape[0]), length)
    degree = np.bincount(used.indices, minlength=used.shape[1])[used.indices]
    # of exponential variables the least falls on a row in proportion to its rate
    order = np.lexsort((rng.exponential(size=used.nnz) * degree.astype(float) ** exponent, user))
    asked = np.flatnonzero(length >= 2)
    drawn = order[used.indptr[asked]]
    part = rng.integers(0, folds, len(asked))
    return [_without(used, asked[part == number], drawn[part == number]) for number in range(folds)]


def _without(used: sp.csr_matrix, users: Ints, places: Ints) -> Fold:
    rest = used.copy()
    rest.data[places] = 0
    rest.eliminate_zeros()
    return Fold(rest, users, used.indices[places].astype(np.int64))


def _table(pairs: tuple[Ints, Ints], users: int, items: int) -> sp.csr_matrix:
    table = sp.csr_matrix((np.ones(len(pairs[0])), pairs), (users, items))
    table.sum_duplicates()
    table.data[:] = 1
    return table


def _pairs(path: Path) -> tuple[Ints, Ints]:
    """The columns user and item of a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, columns=["user", "item"])
    except (OSError, pa.ArrowInvalid) as error:
        raise UnusableBenchmark(f"{path} cannot be read as Parquet: {_first_line(error)}") from None
    missing = {"user", "item"} - set(table.column_names)
    if missing:
        raise UnusableBenchmark(f"{path} has no column «{'», «'.join(sorted(missing))}»: it needs user and item")
    columns = [table[name].to_numpy() for name in ("user", "item")]
    if not all(np.issubdtype(c.dtype, np.integer) and (len(c) == 0 or c.min() >= 0) for c in columns):
        raise UnusableBenchmark(f"{path}: user and item must be whole numbers from 0")
    if len(table) == 0:
        raise UnusableBenchmark(f"{path} has no rows")
    if max(c.max() for c in columns) >= MOST:
        raise UnusableBenchmark(f"{path}: users and items must be numbered from 0, below {MOST:,}")
    return columns[0].astype(np.int64), columns[1].astype(np.int64)


def _vectors(path: Path) -> Floats:
    try:
        table: npt.NDArray[np.float64] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UnusableBenchmark(f"{path} cannot be read as .npy: {_first_line(error)}") from None
    if table.ndim != 2 or table.size == 0 or not np.issubdtype(table.dtype, np.number):
        raise UnusableBenchmark(f"{path} has the shape {table.shape}: it needs one vector of numbers per item")
    if not np.isfinite(table).all():
        raise UnusableBenchmark(f"{path} has values that are not finite")
    return table.astype(np.float64)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
