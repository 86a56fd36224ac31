"""What the row of one trend owes to all the others: which are live, who uses what, and how views grow with age."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from features.history import DAY, Floats, History, Ints
from features.lift import age_curve, creator_medians

if TYPE_CHECKING:
    from configs import PoolSettings


@dataclass(frozen=True)
class Background:
    """What the row of one trend owes to all the others, as of a history's instant.

    Attributes:
        live: indices of the live trends, ascending, shape (n,).
        used: creators × live trends, 1 where ever used; columns ascending in each row.
        active: how many creators used any trend in 28 days.
        curve: `features.lift.age_curve`.
    """

    live: Ints
    used: sp.csr_matrix
    active: int
    curve: Floats

    @classmethod
    def of(cls, history: History, pool: PoolSettings) -> Background:
        """The background of a whole history."""
        live = live_trends(history, pool.window_days, pool.min_creators)
        number = numbered(live, len(history.trends["key"]))[history.use_trend]
        of_live = number >= 0
        return cls(
            live=live,
            used=_incidence(history.use_creator[of_live], number[of_live], (len(history.creators), len(live))),
            active=len(np.unique(history.use_creator[history.use_created > history.now - 28 * DAY])),
            curve=age_curve(history, creator_medians(history)),
        )


def live_trends(history: History, window_days: int, min_creators: int) -> Ints:
    """Indices of the trends with at least `min_creators` distinct creators in the window, ascending."""
    recent = history.use_created > history.now - window_days * DAY
    return np.flatnonzero(_distinct(history, recent) >= min_creators)


def numbered(trends: Ints, size: int) -> Ints:
    """For each of `size` trends its place in `trends`, -1 where it is not there."""
    number = np.full(size, -1)
    number[trends] = np.arange(len(trends))
    return number


def _incidence(creator: Ints, trend: Ints, shape: tuple[int, int]) -> sp.csr_matrix:
    """Creators × trends, 1 where a pair occurs."""
    matrix = sp.csr_matrix((np.ones(len(creator)), (creator, trend)), shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1.0
    return matrix


def _distinct(history: History, mask: npt.NDArray[np.bool_]) -> Ints:
    trends = len(history.trends["key"])
    pairs = np.unique(history.use_creator[mask] * max(trends, 1) + history.use_trend[mask])
    return np.bincount(pairs % max(trends, 1), minlength=trends)
