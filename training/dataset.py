"""From a moment and its labels to examples: which creators ask, and which trends each is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from configs import RankerSettings
from models.candidates import Floats, Ints, propose
from models.creator import Creator, histories
from models.examples import Examples
from models.moment import Moment
from models.pairs import pair_features
from training.labels import Adoptions


@dataclass(frozen=True)
class Query:
    """One creator at a moment, with what every generator proposes and what may be recommended."""

    creator: Creator
    scores: Mapping[str, Floats]
    allowed: np.ndarray


def queries(moment: Moment, creator_ids: Iterable[str]) -> Iterator[Query]:
    """What the generators say for each creator that the moment knows, in the order given."""
    creators = [moment.creators[name] for name in creator_ids if name in moment.creators]
    past = histories(creators, moment.market)
    scores = {name: generator.scores(past) for name, generator in moment.market.generators.items()}
    for number, creator in enumerate(creators):
        allowed = moment.market.recommendable.copy()
        allowed[creator.rows_used(moment.market)] = False
        yield Query(creator, {name: table[number] for name, table in scores.items()}, allowed)


def training_examples(moment: Moment, labels: Adoptions, settings: RankerSettings) -> Examples | None:
    """Adoptions with hard negatives (proposed, not adopted) and random ones; None where nobody adopted anything."""
    rng = np.random.default_rng([settings.seed, int(labels.cutoff.timestamp())])

    def choose(query: Query, wanted: Ints) -> Ints:
        hard = propose(query.scores, query.allowed, settings.hard_negatives + len(wanted))
        pool = np.flatnonzero(query.allowed)
        drawn = rng.choice(pool, min(settings.random_negatives, len(pool)), replace=False)
        return np.unique(np.concatenate([wanted, hard, drawn]))

    return _examples(moment, labels, settings, choose)


def ranking_examples(moment: Moment, labels: Adoptions, settings: RankerSettings, limit: int) -> Examples | None:
    """What serving would score: up to `limit` proposed rows per creator, whatever was adopted."""
    return _examples(moment, labels, settings, lambda query, _: propose(query.scores, query.allowed, limit))


def _examples(moment: Moment, labels: Adoptions, settings: RankerSettings, choose: Callable[[Query, Ints], Ints]) -> Examples | None:
    graded, parts = labels.by_creator(), []
    for query in queries(moment, sorted(graded)):
        wanted = {moment.market.row_of[key]: g for key, g in graded[query.creator.creator_id].items() if key in moment.market.row_of}
        wanted = {row: g for row, g in wanted.items() if query.allowed[row]}
        if wanted:
            rows = choose(query, np.array(sorted(wanted), np.int64))
            parts.append(_one_query(moment, query, rows, wanted, labels.cutoff, settings))
    return Examples.concatenate(parts) if parts else None


def _one_query(
    moment: Moment, query: Query, rows: Ints, wanted: Mapping[int, int], cutoff: datetime, settings: RankerSettings
) -> Examples:
    is_new = query.creator.column("posts_known") < settings.established_posts
    segments = {"creator_id": query.creator.creator_id, "cutoff": cutoff, "creators": "new" if is_new else "established"}
    return Examples(
        features=pair_features(moment.market, query.creator, rows, query.scores),
        grades=np.array([wanted.get(int(row), 0) for row in rows], np.int64),
        sizes=np.array([len(rows)]),
        wanted=np.array([len(wanted)]),
        wanted_sounds=np.array([sum(moment.market.types[row] == "sound" for row in wanted)]),
        segments={name: np.array([value], object) for name, value in segments.items()},
        rows=rows,
        is_sound=moment.market.types[rows] == "sound",
    )
