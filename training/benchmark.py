"""Job: the public micro-video benchmark through the product's generators and ranker, from files to lists."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import scipy.sparse as sp

from configs import BenchmarkSettings
from models.generators.blend import Blend, Candidates, best
from models.generators.content import CentroidCandidates, ContentCandidates, joined, whitened
from models.generators.forms import Generator, ItemToItem
from models.generators.walks import DampedWalkCandidates, chained
from models.interactions import Floats, Interactions, Ints
from models.metrics import ndcg, recall
from models.queries import Bools, Table
from models.ranker import Ranker, fit_ranker
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
        figures: recall20 and ndcg20 on `val` of the lists, of the generators' mean alone (`blend_…`) and of the linear
            stage alone (`linear_…`); counts.
        ranker: that made the lists.
    """

    frame: pd.DataFrame
    figures: dict[str, float]
    ranker: Ranker


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
    ranker = _fit(recipe, data.used, settings, progress)
    progress("all rows", 0.7)
    blend = recipe.fit(Interactions.undated(data.used))
    batches = list(_ranked(blend, ranker, data.used, settings.candidates, progress))
    by_blend, by_linear, lists = (np.concatenate(part) for part in zip(*batches, strict=True))
    figures = score(lists, data.truth) | {"users": float(len(lists)), "trees": float(ranker.trees)}
    for stage, listed in (("blend", by_blend), ("linear", by_linear)):
        figures |= {f"{stage}_{name}": value for name, value in score(listed, data.truth).items()}
    return BenchmarkResult(_frame(lists), figures, ranker)


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
        """The candidates, fitted to some rows: by walk and content; all else informs the ranker."""
        step, top_n = self.step.fit(rows), self.settings.top_n
        fitted: dict[str, Generator] = {"walk": self.walk.fit(rows), "step": step}
        if self.near is None:
            return Blend(fitted, {"walk": 1.0})
        fitted |= {
            "step_content": chained(step, self.near, top_n),
            "content_step": chained(self.near, step, top_n),
        }
        weights = {"walk": 1.0, "content": self.settings.content.share}
        return Blend(fitted | dict(self.of_content), weights)


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


def _fit(recipe: Recipe, used: sp.csr_matrix, settings: BenchmarkSettings, progress: Progress) -> Ranker:
    """The ranker, fitted to held-out rows that no generator has seen."""
    tables: list[Table] = []
    draws = range(settings.seed, settings.seed + settings.draws)
    folds = [fold for seed in draws for fold in hold_out(used, settings.folds, settings.label_exponent, seed)]
    for number, fold in enumerate(folds):
        progress(f"fold {number + 1} of {len(folds)}", 0.05 + 0.6 * number / len(folds))
        blend = recipe.fit(Interactions.undated(fold.used))
        tables += _asked(blend, fold, settings.candidates)
    progress("training", 0.65)
    return fit_ranker(tables, settings, blend.schema)


def _asked(blend: Blend, fold: Fold, most: int) -> Iterator[Table]:
    """The users of a fold whose held-out item is among the candidates."""
    for batch in _batches(len(fold.users)):
        users, items = fold.users[batch], fold.items[batch]
        found = blend.candidates(histories(fold.used, users), fold.used[users], most)
        wanted = found.items == items[:, None]
        yield _of_queries(replace(found.table, grades=wanted.astype(np.int8)), wanted.any(axis=1))


def _of_queries(table: Table, kept: Bools) -> Table:
    return Table(table.inputs[kept], table.others[kept], table.allowed[kept], table.grades[kept], table.terms[kept])


def _ranked(
    blend: Blend, ranker: Ranker, used: sp.csr_matrix, most: int, progress: Progress
) -> Iterator[tuple[Ints, Ints, Ints]]:
    """For each batch of users the list of the blend, of the linear stage and of the ranker, each of shape (q, 20).

    Raises:
        UnusableBenchmark: there are fewer than 20 items that a user has not used.
    """
    for batch in _batches(used.shape[0]):
        progress("lists", 0.75 + 0.25 * batch[0] / used.shape[0])
        found = blend.candidates(histories(used, batch), used[batch], max(most, K))
        if found.table.allowed.sum(axis=1).min() < K:
            raise UnusableBenchmark(f"some users have fewer than {K} items left to list: add items to the vectors")
        by_linear = np.where(found.table.allowed, found.table.inputs @ ranker.weights.astype(np.float32), -np.inf)
        yield found.items[:, :K], _listed(found, by_linear), _listed(found, ranker.rank_panel(found.table))


def _listed(found: Candidates, scores: Floats) -> Ints:
    return np.take_along_axis(found.items, best(scores, K), axis=1)


def _batches(users: int) -> Sequence[Ints]:
    return [np.arange(first, min(first + BATCH, users)) for first in range(0, users, BATCH)]


def _frame(lists: Ints) -> pd.DataFrame:
    import pandas as pd

    users = np.arange(len(lists), dtype=np.int32)
    ranks = np.arange(1, K + 1, dtype=np.int32)
    return pd.DataFrame(
        {"user": np.repeat(users, K), "item": lists.ravel().astype(np.int32), "rank": np.tile(ranks, len(lists))}
    )
