"""From the lake to tables: what strategies would have been ranked for whom at a cut-off, and what was taken up then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from configs import Settings
from features.creators import creator_features
from features.evidence.lifts import measure
from features.evidence.posts import Bools, Posts
from features.history import History, Ints, Strings, micros
from features.lake import Lake
from features.materialize import known_by
from models.queries import Table
from models.strategies.kinds import Kind, applies, own_conditions
from models.strategies.practice import LEAST_BEFORE, WAYS, Counts, Practice, masks_of, take_up
from models.strategies.queries import inputs_of, pace_of
from training.labels import UNKNOWN_LIFT_GRADE, grade


class Hindsight:
    """What was known in the end of who posted how: labels come out of it, features never do."""

    def __init__(self, known: History) -> None:
        self._posts = Posts(known)
        self._masks = masks_of(self._posts)

    def taken_up(self, cutoff: datetime, horizon_days: int) -> TakenUp:
        """What was taken up in (cutoff, cutoff + horizon]."""
        posts, masks = self._posts, self._masks
        start, end = micros(cutoff), micros(cutoff + timedelta(days=horizon_days))
        inside = (posts.created > start) & (posts.created <= end)
        before, after = (Counts.of(posts, masks, side) for side in (posts.created <= start, inside))
        asked = (before.posts >= LEAST_BEFORE) & (after.posts > 0)
        grades = np.where(take_up(before, after), self._grades(inside, after), 0)
        return TakenUp(cutoff, posts.history.creators[asked].astype(str), grades[asked].astype(np.int8))

    def _grades(self, inside: Bools, after: Counts) -> Ints:
        """How well the posts that did it went, against their creators' own baselines, shape (c, w)."""
        posts, creators = self._posts, len(self._posts.history.creators)
        known = inside & ~np.isnan(posts.lift)
        counted = Counts.of(posts, self._masks, known)
        sides = (known & mask for mask in self._masks)
        total = np.array([np.bincount(posts.creator[side], posts.lift[side], creators) for side in sides]).T
        with np.errstate(invalid="ignore"):
            means = np.where(counted.did > 0, total / counted.did, np.nan)
        grades, taken = np.full(means.shape, UNKNOWN_LIFT_GRADE), after.did > 0
        grades[taken] = grade(means[taken])
        return grades


@dataclass(frozen=True)
class TakenUp:
    """Labels of a cut-off: creators who posted after it, shape (q,), and a grade for every way, shape (q, w)."""

    cutoff: datetime
    creators: Strings
    grades: Any


@dataclass(frozen=True)
class Asked:
    """Everybody who posted after a cut-off: whom, and a table of the kinds."""

    creators: Strings
    table: Table

    def wanting(self) -> Asked:
        """Those who took something up."""
        return self.of(np.asarray((self.table.grades > 0).any(axis=1)))

    def of(self, chosen: Bools) -> Asked:
        """Some of them."""
        t = self.table
        parts = (t.inputs[chosen], t.others[chosen], t.allowed[chosen], t.grades[chosen], t.terms[chosen])
        return Asked(self.creators[chosen], Table(*parts, t.cutoff, t.weight))


def asked_at(
    lake: Lake, labels: TakenUp, kinds: Sequence[Kind], horizon_days: int, weight: float, settings: Settings
) -> Asked:
    """The queries of a cut-off, by what was known then."""
    history = known_by(lake, labels.cutoff, settings)
    posts, frame = Posts(history), creator_features(history)
    practice = Practice.of(posts, frame, horizon_days)
    rows = practice.rows_of(labels.creators)
    there, rows = rows >= 0, rows[rows >= 0]
    some = frame.iloc[rows]
    regions = some["region"].to_numpy(object).astype(str)
    weekdays = np.reshape(some["weekday_profile"].tolist(), (len(rows), 7))
    own = own_conditions(
        lambda name: some[name].to_numpy(float),
        np.ones(len(rows)),
        (regions != "").astype(float),
        weekdays[:, 5:].sum(axis=1),
    )
    tastes = np.reshape(some["creator_taste"].tolist(), (len(rows), practice.centres.shape[1]))
    columns = practice.columns(rows, tastes, some["followers"].to_numpy(float), regions)
    inputs = inputs_of(kinds, measure(posts), {}, own, {}, columns)
    allowed = np.stack([np.broadcast_to(applies(kind, own), len(rows)) for kind in kinds], axis=1)
    grades = labels.grades[there][:, [WAYS.index(kind.evidence) for kind in kinds]] * allowed
    pace = pace_of(own["posts_28d"], own["days_since_post"])
    others = np.repeat(pace[:, None].astype(np.float32), len(kinds), axis=1)
    table = Table(inputs.astype(np.float32), others, allowed, grades, pace, labels.cutoff, weight)
    return Asked(labels.creators[there], table)
