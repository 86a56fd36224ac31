"""Job: the public micro-video benchmark through the product's generators and trees, from files to lists."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import scipy.sparse as sp

from configs import BenchmarkSettings
from models.blend import Blend, Shortlists, best
from models.content import CentroidCandidates, ContentCandidates, joined, whitened
from models.forest import Examples, Forest, fit_forest
from models.generators import Generator, ItemToItem
from models.interactions import Floats, Interactions, Ints
from models.metrics import ndcg, recall
from models.walks import DampedWalkCandidates, chained
from training.benchmark_data import Fold, UnusableBenchmark, histories, hold_out, read_benchmark

if TYPE_CHECKING:
    import pandas as pd

K: Final = 20
"""Length of a list, the benchmark's own."""

BATCH: Final = 512
"""Users that are ranked at once: bounds the memory, changes no result."""

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class BenchmarkResult:
    """The lists and how good they are.

    Attributes:
        frame: user, item, rank 1 to 20, int32, sorted by user and rank; every user from 0 to the largest id.
        figures: recall20 and ndcg20 on `val` of the lists, and of the first stage alone (`blend_…`); counts.
    """

    frame: pd.DataFrame
    figures: dict[str, float]


def benchmark_tiktok(
    train: Path,
    val: Path,
    image: Path | None,
    audio: Path | None,
    settings: BenchmarkSettings,
    progress: Progress = lambda *_: None,
) -> BenchmarkResult:
    """Learn from `train` alone, list 20 unseen items for every user, and score the lists on `val`.

    Neither the order of the rows nor that of the ids is used.

    Args:
        train, val: Parquet with the integer columns user and item.
        image, audio: a vector per item as .npy, shape (items, any); None does without.

    Raises:
        UnusableBenchmark: a file is missing, damaged or does not fit the others.
    """
    progress("reading", 0.0)
    data = read_benchmark(train, val, image, audio)
    recipe = Recipe.of(data.vectors, data.used.shape[1], settings)
    forest = _fit_trees(recipe, data.used, settings, progress)
    progress("all rows", 0.7)
    blend = recipe.fit(Interactions.undated(data.used))
    batches = list(_ranked(blend, forest, data.used, settings.trees.shortlist, progress))
    plain, lists = (np.concatenate(part) for part in zip(*batches, strict=True))
    figures = {f"blend_{name}": value for name, value in score(plain, data.truth).items()}
    figures |= score(lists, data.truth) | {"users": float(len(lists)), "boosters": float(len(forest.boosters))}
    return BenchmarkResult(_frame(lists), figures)


@dataclass(frozen=True)
class Recipe:
    """The generators of the benchmark.

    Attributes:
        walk, step: walks of several lengths and of one.
        of_content: fitted once, since they know no rows; empty without vectors.
        near: the graph of nearest neighbours by content, None without vectors.
        settings: weights and sizes.
    """

    walk: DampedWalkCandidates
    step: DampedWalkCandidates
    of_content: Mapping[str, Generator]
    near: ItemToItem | None
    settings: BenchmarkSettings

    @classmethod
    def of(cls, vectors: Mapping[str, Floats], items: int, settings: BenchmarkSettings) -> Recipe:
        """The recipe for a catalogue; without vectors the walks stand alone."""
        walk, content = settings.walk, settings.content
        several = DampedWalkCandidates(
            walk.steps, walk.damping, walk.trend_exponent, walk.creator_exponent, settings.top_n
        )
        step = replace(several, steps=1)
        if not vectors:
            return cls(several, step, {}, None, settings)
        nobody = Interactions.undated(sp.csr_matrix((0, items)))
        both = joined([whitened(table) for table in vectors.values()], [content.weights[name] for name in vectors])
        of_content: dict[str, Generator] = {
            "content": ContentCandidates(both, content.power, settings.top_n).fit(nobody),
            "likeness": CentroidCandidates(both).fit(nobody),
        }
        near = ContentCandidates(both, content.power, content.neighbours).fit(nobody)
        return cls(several, step, of_content, near, settings)

    def fit(self, rows: Interactions) -> Blend:
        """The first stage, fitted to some rows: walk and content; all else informs the trees."""
        step, top_n = self.step.fit(rows), self.settings.top_n
        fitted: dict[str, Generator] = {"walk": self.walk.fit(rows), "step": step}
        if self.near is None:
            return Blend(fitted, {"walk": 1.0}, self.settings.scale)
        fitted |= {
            "step_content": chained(step, self.near, top_n),
            "content_step": chained(self.near, step, top_n),
        }
        weights = {"walk": 1.0, "content": self.settings.content.share}
        return Blend(fitted | dict(self.of_content), weights, self.settings.scale)


def score(lists: Ints, truth: sp.csr_matrix) -> dict[str, float]:
    """Recall@20 and NDCG@20 over the users who have a held-out item.

    Args:
        lists: items of every user, best first, shape (u, 20).
        truth: held-out rows, shape (u, n).
    """
    wanted = np.diff(truth.indptr).astype(np.int64)
    asked = np.flatnonzero(wanted)
    hits = np.asarray(truth[asked[:, None], lists[asked]].todense()) > 0
    return {
        "recall20": float(recall(hits, wanted[asked]).mean()),
        "ndcg20": float(ndcg(hits, wanted[asked]).mean()),
    }


def _fit_trees(recipe: Recipe, used: sp.csr_matrix, settings: BenchmarkSettings, progress: Progress) -> Forest:
    """Trees fitted to held-out rows that no generator has seen; none where those are too few."""
    parts: list[Examples] = []
    names: tuple[str, ...] = ()
    directions: list[int] = []
    draws = range(settings.seed, settings.seed + settings.draws)
    folds = [fold for seed in draws for fold in hold_out(used, settings.folds, settings.label_exponent, seed)]
    for number, fold in enumerate(folds):
        progress(f"fold {number + 1} of {len(folds)}", 0.05 + 0.6 * number / len(folds))
        blend = recipe.fit(Interactions.undated(fold.used))
        names, directions = blend.names, blend.directions
        parts += _examples(blend, fold, settings)
    if sum(len(part.sizes) for part in parts) < settings.trees.least_queries:
        return Forest()
    progress("trees", 0.65)
    parameters = settings.trees.lightgbm | {"monotone_constraints": directions}
    return fit_forest(Examples.joined(parts), names, parameters, settings.trees.seeds)


def _examples(blend: Blend, fold: Fold, settings: BenchmarkSettings) -> Iterator[Examples]:
    """The held-out rows that the shortlists reach, each among the best of its user's shortlist."""
    for batch in _batches(len(fold.users)):
        users, items = fold.users[batch], fold.items[batch]
        short = blend.shortlists(histories(fold.used, users), fold.used[users], settings.trees.shortlist)
        wanted = short.items == items[:, None]
        kept = wanted | (np.arange(wanted.shape[1]) < settings.trees.learned) & np.isfinite(short.stage_one)
        kept &= wanted.any(axis=1, keepdims=True)
        sizes = kept.sum(axis=1)
        yield Examples(short.features[kept], wanted[kept].astype(np.int64), short.stage_one[kept], sizes[sizes > 0])


def _ranked(
    blend: Blend, forest: Forest, used: sp.csr_matrix, shortlist: int, progress: Progress
) -> Iterator[tuple[Ints, Ints]]:
    """For each batch of users the first stage's list and the final one, each of shape (q, 20).

    Raises:
        UnusableBenchmark: there are fewer than 20 items that a user has not used.
    """
    for batch in _batches(used.shape[0]):
        progress("lists", 0.75 + 0.25 * batch[0] / used.shape[0])
        short = blend.shortlists(histories(used, batch), used[batch], max(shortlist, K))
        if np.isfinite(short.stage_one).sum(axis=1).min() < K:
            raise UnusableBenchmark(f"some users have fewer than {K} items left to list: add items to the vectors")
        yield short.items[:, :K], _corrected(short, forest)


def _corrected(short: Shortlists, forest: Forest) -> Ints:
    added = forest.correction(short.features.reshape(-1, short.features.shape[2]))
    return np.take_along_axis(short.items, best(short.stage_one + added.reshape(short.items.shape), K), axis=1)


def _batches(users: int) -> Sequence[Ints]:
    return [np.arange(first, min(first + BATCH, users)) for first in range(0, users, BATCH)]


def _frame(lists: Ints) -> pd.DataFrame:
    import pandas as pd

    users = np.arange(len(lists), dtype=np.int32)
    ranks = np.arange(1, K + 1, dtype=np.int32)
    return pd.DataFrame(
        {"user": np.repeat(users, K), "item": lists.ravel().astype(np.int32), "rank": np.tile(ranks, len(lists))}
    )
