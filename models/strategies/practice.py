"""Who posts how, as of an instant: every creator's own habits, and those of creators like them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from features.evidence.lifts import QUERIES
from features.evidence.posts import Bools, Posts
from features.history import DAY, Ints, Strings
from models.generators.forms import centres_of, nearest
from models.interactions import Floats

if TYPE_CHECKING:
    import pandas as pd

UNSETTLED: Final = frozenset({"hours_own_best", "hours_usual", "sound_catalogue"})
"""Queries by which the same post reads differently as its creator goes on posting, or as the lake grows older: nobody
can be said to take them up."""
WAYS: Final = tuple(name for name in QUERIES if name not in UNSETTLED)
"""The queries that say of every single post whether it did it, once and for all."""

SPANS_DAYS: Final = (None, 28)
"""Own posts are counted over all that is known, and over four weeks."""
RISE_DAYS: Final = (14, 42)
"""The latest days against those before them, back to."""
LEAST_BEFORE: Final = 5
"""With fewer posts before it, anything would be done for the first time."""
OWN_PRIOR: Final = 3.0
GROUP_PRIOR: Final = 50.0
"""Posts of everybody that a creator's, and a group's, own are mixed with."""
CLEARLY: Final = 0.1
"""How unlikely it is, at most, that somebody did it so often without doing it more than before."""
CREATORS_PER_CLUSTER: Final = 25
MOST_CLUSTERS: Final = 40
SEED: Final = 20
BANDS: Final = 10
"""Sizes: nobody knows, and by the digits of the followers."""

Small = npt.NDArray[np.uint16]

COLUMNS: Final = (
    "usual", "taken_up", "rise", "own", "own_28d", "is_new", "new_usual", "new_taken_up", "taste_peers", "size_peers",
    "region_peers",
)  # fmt: skip
"""What is told of a creator and a way: logs of smoothed shares, those of a creator or a group against everybody's."""


@dataclass(frozen=True)
class Counts:
    """Posts and those that did it, of each creator.

    Attributes:
        posts: shape (c,).
        did: by way, shape (c, w).
    """

    posts: Ints
    did: Ints

    @classmethod
    def of(cls, posts: Posts, masks: Bools, chosen: Bools) -> Counts:
        """Over the chosen posts, shape (p,); masks of the ways, shape (w, p)."""
        creators = len(posts.history.creators)
        did = [np.bincount(posts.creator[chosen & mask], minlength=creators) for mask in masks]
        return cls(np.bincount(posts.creator[chosen], minlength=creators), np.array(did, np.int64).T)


def masks_of(posts: Posts) -> Bools:
    """Which posts did each of `WAYS`, shape (w, p)."""
    return np.array([QUERIES[way](posts)[0] for way in WAYS], bool)


def take_up(before: Counts, after: Counts) -> Bools:
    """Who does what for the first time, or clearly more than before, shape (c, w).

    More is clear where so many of so many posts had a chance of at most `CLEARLY`, at the share of the creator's posts
    before, which is drawn towards everybody's.
    """
    from scipy.stats import binom

    usual = _usual(before)
    share = (before.did + OWN_PRIOR * usual) / (before.posts[:, None] + OWN_PRIOR)
    first = (before.did == 0) & (after.did > 0)
    more = (after.did >= 2) & (binom.sf(after.did - 1, after.posts[:, None], share) <= CLEARLY)
    return np.asarray((first | more) & (before.posts[:, None] >= LEAST_BEFORE))


@dataclass(frozen=True)
class Practice:
    """Arrays as of an instant; w ways, in the order of `WAYS`.

    Attributes:
        creators: names, ascending, shape (c,).
        posts, did: of each creator, over each of `SPANS_DAYS`, shapes (c, 2) and (c, 2, w).
        usual: log share of all posts, shape (w,).
        taken_up: log share of those who posted that took it up lately, shape (w,).
        rise: log share of the latest posts against those before, shape (w,).
        centres: of clusters of taste, shape (k, d).
        by_taste, by_size, by_region: log share of a group's posts against `usual`; the last region is unknown.
        regions: names, ascending, shape (r,).
    """

    creators: Strings
    posts: Small
    did: Small
    usual: Floats
    taken_up: Floats
    rise: Floats
    centres: Floats
    by_taste: Floats
    by_size: Floats
    by_region: Floats
    regions: Strings

    @classmethod
    def of(cls, posts: Posts, creators: pd.DataFrame, horizon_days: int) -> Practice:
        """From posts and their creators' features as of the same instant; «now» is when the latest was posted.

        Args:
            creators: `features.creators.creator_features` of the posts' history.
            horizon_days: how long ago «lately» began.
        """
        masks, age = masks_of(posts), (posts.created.max() - posts.created) / DAY
        spans = [Counts.of(posts, masks, age < (days or np.inf)) for days in SPANS_DAYS]
        ever, usual = spans[0], _usual(spans[0])
        lately, before = (Counts.of(posts, masks, side) for side in (age < horizon_days, age >= horizon_days))
        latest, earlier = (
            Counts.of(posts, masks, side) for side in (age < RISE_DAYS[0], (age >= RISE_DAYS[0]) & (age < RISE_DAYS[1]))
        )
        tastes = np.stack(creators["creator_taste"].tolist())
        centres = _centres(tastes)
        names = creators["region"].to_numpy(object).astype(str)
        regions = np.unique(names[names != ""])
        return cls(
            creators=posts.history.creators.astype(str),
            posts=_small(np.stack([span.posts for span in spans], axis=1)),
            did=_small(np.stack([span.did for span in spans], axis=1)),
            usual=np.log(usual),
            taken_up=_taken_up(before, lately),
            rise=np.log(_share(latest, usual)) - np.log(_share(earlier, usual)),
            centres=centres,
            by_taste=_by_group(ever, nearest(tastes, centres), len(centres), usual),
            by_size=_by_group(ever, bands(creators["followers"].to_numpy(float)), BANDS, usual),
            by_region=_by_group(ever, region_rows(regions, names), len(regions), usual),
            regions=regions,
        )

    def columns(self, rows: Ints, tastes: Floats, followers: Floats, regions: Strings) -> Floats:
        """`COLUMNS` of some creators, shape (q, w, len(COLUMNS)).

        Args:
            rows: of `creators`, −1 where nothing is known, shape (q,).
            tastes: unit vectors, zeros where unknown, shape (q, d).
            followers: log1p, NaN where unknown, shape (q,).
            regions: names, empty where unknown, shape (q,).
        """
        some = (rows >= 0)[:, None]
        own, lately = (np.where(some, self._own(np.maximum(rows, 0), span), 0.0) for span in range(len(SPANS_DAYS)))
        is_new = np.where(some, self.did[np.maximum(rows, 0), 0] == 0, True).astype(float)
        taste = self.by_taste[nearest(tastes, self.centres)] * (np.abs(tastes).sum(axis=1) > 0)[:, None]
        size, region = self.by_size[bands(followers)], self.by_region[region_rows(self.regions, regions)]
        everybody = (np.broadcast_to(row, own.shape) for row in (self.usual, self.taken_up, self.rise))
        new = (is_new, is_new * self.usual, is_new * self.taken_up)
        return np.stack([*everybody, own, lately, *new, taste, size, region], axis=2)

    def rows_of(self, names: Strings) -> Ints:
        """Row of each creator, −1 of whom nothing is known."""
        at = np.minimum(np.searchsorted(self.creators, names), len(self.creators) - 1)
        return np.where(self.creators[at] == names, at, -1)

    def _own(self, rows: Ints, span: int) -> Floats:
        did, posts = self.did[rows, span], self.posts[rows, span, None]
        return np.asarray(np.log((did + OWN_PRIOR * np.exp(self.usual)) / (posts + OWN_PRIOR)) - self.usual)

    def publish(self, path: Path) -> None:
        """Write it as one file of arrays; a reader sees the old or the new, never half."""
        path.parent.mkdir(parents=True, exist_ok=True)
        staged = path.with_name(f".{path.name}.{os.getpid()}")
        with staged.open("wb") as file:
            np.savez(file, allow_pickle=False, ways=np.array(WAYS), **vars(self))
        staged.replace(path)

    @classmethod
    def load(cls, path: Path) -> Practice | None:
        """The inverse of `publish`; None where there is none, it cannot be read, or it is of other ways."""
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                arrays: Mapping[str, Any] = {name: stored[name] for name in stored.files}
        except (FileNotFoundError, ValueError, TypeError, EOFError, BadZipFile):
            return None
        if set(arrays) != {*cls.__dataclass_fields__, "ways"} or tuple(arrays["ways"].tolist()) != WAYS:
            return None
        return cls(**{name: arrays[name] for name in cls.__dataclass_fields__})


def bands(followers: Floats) -> Ints:
    """Band of each size from log1p followers, 0 where unknown."""
    digits = np.floor(np.nan_to_num(followers, nan=-1.0) / np.log(10)).astype(np.int64) + 1
    return np.asarray(np.clip(digits, 0, BANDS - 1))


def region_rows(regions: Strings, names: Strings) -> Ints:
    """Row of each region's name, that behind the last where it is not among them."""
    at = np.searchsorted(regions, names)
    there = at < len(regions)
    there[there] = regions[at[there]] == names[there]
    return np.where(there, at, len(regions))


def _small(counts: Ints) -> Small:
    """A process that serves keeps every creator's."""
    return np.minimum(counts, np.iinfo(np.uint16).max).astype(np.uint16)


def _usual(counts: Counts) -> Floats:
    return np.asarray((counts.did.sum(axis=0) + 0.5) / (counts.posts.sum() + 1))


def _share(counts: Counts, usual: Floats) -> Floats:
    return np.asarray((counts.did.sum(axis=0) + GROUP_PRIOR * usual) / (counts.posts.sum() + GROUP_PRIOR))


def _taken_up(before: Counts, lately: Counts) -> Floats:
    asked = (before.posts >= LEAST_BEFORE) & (lately.posts > 0)
    return np.asarray(np.log((take_up(before, lately)[asked].sum(axis=0) + 0.5) / (asked.sum() + 1)))


def _by_group(counts: Counts, group: Ints, groups: int, usual: Floats) -> Floats:
    """Of each group, and of nobody, shape (groups + 1, w)."""
    did, posts = np.zeros((groups + 1, counts.did.shape[1])), np.zeros(groups + 1)
    inside = group < groups
    np.add.at(did, group[inside], counts.did[inside])
    np.add.at(posts, group[inside], counts.posts[inside])
    return np.asarray(np.log((did + GROUP_PRIOR * usual) / (posts[:, None] + GROUP_PRIOR)) - np.log(usual))


def _centres(tastes: Floats) -> Floats:
    return centres_of(tastes, min(max(len(tastes) // CREATORS_PER_CLUSTER, 1), MOST_CLUSTERS), SEED)
