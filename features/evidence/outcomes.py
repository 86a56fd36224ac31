"""Which posts of a creator followed a plan, and how they did beside the creator's other posts at an equal age."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from features.evidence.differences import Difference, own_effect, welch
from features.evidence.own_posts import OwnPosts
from features.history import DAY, Floats, Ints

Bools = npt.NDArray[np.bool_]

FOLLOWED_DAYS: Final = 28
"""How long after a plan posts can follow it: its calendar's two weeks, and as long again."""
BASELINE_DAYS: Final = 90
BASELINE_POSTS: Final = 40
"""How far back, and how many of the latest posts before a plan, make its baseline, beside the others after it."""

HOUR: Final = DAY // 24
AGES_DAYS: Final = np.array([1 / 24, 1 / 12, 1 / 8, 1 / 4, 1 / 2, 1, 2, 3, 5, 7, 10, 14, 21, 28])
"""Ages at which posts can be compared; at the last one, counts have settled."""
NEAR: Final = 0.1
"""A count this near to an age, in log age, stands for it."""
WIDEST: Final = 5.0
"""Counts whose ages lie further apart than this ratio say nothing of the ages between them."""
ENOUGH: Final = 0.75
"""Posts are compared at the greatest age that keeps this much of the information there is at any."""


@dataclass(frozen=True)
class PlannedPlay:
    """One play as posts can be recognised by it.

    Attributes:
        keys: trend keys of its ranked items.
        window: start and end of its posting window, hours of day UTC; None where it names none.
    """

    keys: frozenset[str]
    window: tuple[float, float] | None = None


@dataclass(frozen=True)
class Plan:
    """What was given: from when on posts can follow it (µs since 1970 UTC), and its plays in order."""

    starts: int
    plays: tuple[PlannedPlay, ...]

    @property
    def ends(self) -> int:
        """Until when posts can follow it, µs."""
        return self.starts + FOLLOWED_DAYS * DAY

    @property
    def keys(self) -> frozenset[str]:
        """Of all plays."""
        return frozenset().union(*(play.keys for play in self.plays))


@dataclass(frozen=True)
class Followed:
    """One post that followed a plan.

    Attributes:
        post: its place among the creator's.
        play: place of the play that it fits best, from 0.
        keys: items of that play that it uses, sorted.
        in_window: whether it was posted in the play's window; None where the play names none.
        used_before: the creator had used all of these items in the `BASELINE_DAYS` before the plan.
    """

    post: int
    play: int
    keys: tuple[str, ...]
    in_window: bool | None
    used_before: bool


@dataclass(frozen=True)
class Compared:
    """One metric of the posts that followed a plan beside the creator's other posts.

    Attributes:
        metric: of `own_posts.METRICS`.
        age_days: at which all of them are taken; None where no age has both.
        done, others: posts whose count is known at that age, or at any, where it is None.
        difference: of mean log(1 + count); None where there are not enough.
    """

    metric: str
    age_days: float | None
    done: int
    others: int
    difference: Difference | None


@dataclass(frozen=True)
class KindEffect:
    """What one kind of play was worth to one creator: posts, those they are compared with, see `own_effect`."""

    kind: str
    done: int
    others: int
    effect: tuple[float, float]


def followed(plan: Plan, posts: OwnPosts) -> list[Followed]:
    """The posts in the plan's time that use at least one of its items, each with the play that it fits best.

    A post fits the play of whose items it uses most; of equals the one in whose window it lies, then the earlier.
    """
    before = (posts.created < plan.starts) & (posts.created >= plan.starts - BASELINE_DAYS * DAY)
    used = frozenset().union(*(posts.keys[at] for at in np.flatnonzero(before)))
    after = np.flatnonzero((posts.created > plan.starts) & (posts.created <= plan.ends))
    return [found for at in after.tolist() if (found := _best_fit(plan, posts, at, used)) is not None]


def _best_fit(plan: Plan, posts: OwnPosts, at: int, used: frozenset[str]) -> Followed | None:
    best: tuple[int, bool] = (0, False)
    found = None
    for place, play in enumerate(plan.plays):
        shared = play.keys & posts.keys[at]
        inside = None if play.window is None else _is_inside(play.window, int(posts.created[at]))
        if shared and (len(shared), bool(inside)) > best:
            best = len(shared), bool(inside)
            found = Followed(at, place, tuple(sorted(shared)), inside, shared <= used)
    return found


def _is_inside(window: tuple[float, float], created: int) -> bool:
    """Whether an instant's hour lies in a window, which may span midnight; one of no length is the whole day."""
    start, end = window
    length = (end - start) % 24 or 24.0
    return (created % DAY / HOUR - start) % 24 < length


def baseline(plan: Plan, posts: OwnPosts) -> Bools:
    """The creator's other posts: the latest before the plan, and those of its time, without any that use its items.

    Those of its time are what keeps an account that grows, or fades, from making every plan look good, or bad.
    """
    fits = np.array([bool(plan.keys & keys) for keys in posts.keys], bool)
    before = (posts.created <= plan.starts) & (posts.created >= plan.starts - BASELINE_DAYS * DAY) & ~fits
    latest = before & (np.cumsum(before[::-1])[::-1] <= BASELINE_POSTS)
    during = (posts.created > plan.starts) & (posts.created <= plan.ends) & ~fits
    return np.asarray(latest | during)


def at_ages(posts: OwnPosts, metric: str) -> Floats:
    """Log(1 + count) of every post at `AGES_DAYS`, shape (p, ages); NaN where nobody counted near enough.

    Between two counts the log runs straight in log age. At the last age the first later count will do.
    """
    known = ~np.isnan(posts.counts[metric])
    post, ages = posts.post[known], (posts.observed - posts.created[posts.post])[known] / DAY
    told = np.log1p(posts.counts[metric][known])
    old = np.log(np.maximum(ages, 1 / 1440))
    starts, ends = (np.searchsorted(post, np.arange(len(posts)), side) for side in ("left", "right"))
    table = np.full((len(posts), len(AGES_DAYS)), np.nan)
    for at in np.flatnonzero(ends > starts):
        own = slice(starts[at], ends[at])
        table[at] = _at_ages(old[own], told[own])
    return table


def _at_ages(old: Floats, told: Floats) -> Floats:
    """One post's: log ages of its counts, ascending, and their logs."""
    wanted = np.log(AGES_DAYS)
    after = np.searchsorted(old, wanted)
    high, low = np.minimum(after, len(old) - 1), np.maximum(after - 1, 0)
    between = (after > 0) & (after < len(old)) & (old[high] - old[low] <= np.log(WIDEST))
    found = np.where(between, np.interp(wanted, old, told), np.nan)
    nearest = np.where(np.abs(old[high] - wanted) < np.abs(old[low] - wanted), high, low)
    near = ~between & (np.abs(old[nearest] - wanted) <= NEAR)
    found[near] = told[nearest[near]]
    if np.isnan(found[-1]) and after[-1] < len(old):
        found[-1] = told[after[-1]]
    return np.asarray(found)


def common_age(done: Bools, others: Bools) -> int | None:
    """The place in `AGES_DAYS` at which the two sides are best compared; None where no age has both.

    The information of n posts against m grows with n·m ÷ (n + m); of ages with nearly as much, the greatest: there
    chance weighs least. What was counted decides, never how much.

    Args:
        done, others: whether a count is known, shapes (n, ages) and (m, ages).
    """
    n, m = done.sum(axis=0), others.sum(axis=0)
    worth = n * m / np.maximum(n + m, 1)
    if not worth.any():
        return None
    return int(np.flatnonzero(worth >= ENOUGH * worth.max())[-1])


def compare(posts: OwnPosts, done: Sequence[int], others: Bools, metrics: Iterable[str]) -> list[Compared]:
    """Posts against others of the same creator, metric by metric, all at the age that suits the first one.

    Args:
        done: places of the posts that followed a plan.
        others: which posts they are compared with, shape (p,).
    """
    found: list[Compared] = []
    age: int | None = None
    for metric in metrics:
        table = at_ages(posts, metric)
        sides = table[list(done)], table[others]
        if not found:
            age = common_age(*(~np.isnan(side) for side in sides))
        if age is None:
            ever = [int((~np.isnan(side)).any(axis=1).sum()) for side in sides]
            found.append(Compared(metric, None, ever[0], ever[1], None))
            continue
        left, right = (_known(side[:, age]) for side in sides)
        found.append(Compared(metric, float(AGES_DAYS[age]), len(left), len(right), welch(left, right)))
    return found


def _known(values: Floats) -> Floats:
    return np.asarray(values[~np.isnan(values)])


def effects_by_kind(plans: Sequence[tuple[Plan, Sequence[str]]], posts: OwnPosts, metric: str) -> Iterator[KindEffect]:
    """What each kind of play was worth to one creator.

    A post counts once for a kind however many plans it followed, and a post that followed any is nobody's baseline.

    Args:
        plans: each with the kind of every play, e.g. its strategy in the library.
    """
    done: dict[str, set[int]] = {}
    others, fits = np.zeros(len(posts), bool), np.zeros(len(posts), bool)
    for plan, kinds in plans:
        for one in followed(plan, posts):
            done.setdefault(kinds[one.play], set()).add(one.post)
            fits[one.post] = True
        others |= baseline(plan, posts)
    table = at_ages(posts, metric) if done else np.zeros((0, 0))
    others &= ~fits
    for kind, places in sorted(done.items()):
        sides = table[sorted(places)], table[others]
        age = common_age(*(~np.isnan(side) for side in sides))
        if age is None:
            continue
        left, right = (_known(side[:, age]) for side in sides)
        if (effect := own_effect(left, right)) is not None:
            yield KindEffect(kind, len(left), len(right), effect)


def first_of_days(found: Sequence[Followed], created: Ints) -> dict[int, Followed]:
    """Day since 1970 UTC → the first post of it that followed a plan."""
    days: dict[int, Followed] = {}
    for one in sorted(found, key=lambda one: (int(created[one.post]), one.post)):
        days.setdefault(int(created[one.post]) // DAY, one)
    return days
