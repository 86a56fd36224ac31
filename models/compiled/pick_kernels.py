"""The compiled loop that picks candidates, from words to pair features; importing this module imports numba.

One call instead of one for each step: between two calls the interpreter takes longer than most steps do.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.compiled.choice_kernels import choose
from models.compiled.linear_kernels import TILE, approach, as_inputs, fill_pairs, nearest, place, weigh
from models.compiled.lines import compiled
from models.compiled.proposal_kernels import fill_proposed, propose
from models.compiled.proposers import OfGenerators, OfTrends, Places, Room
from models.interactions import Floats, Ints

Bools = npt.NDArray[np.bool_]


@compiled
def pick(
    of: OfGenerators,
    trends: OfTrends,
    at: Places,
    room: Room,
    weights: Floats,
    words: Ints,
    blank: bool,
    traits: Floats,
    match: Floats,
    usual_match: float,
    region: int,
    allowed: Bools,
    most: int,
) -> tuple[Ints, Floats, Floats, Floats]:
    """See `models.compiled.prepared.PreparedRanker.pick`.

    Args:
        weights: of the linear inputs, shape (inputs,).
        words: columns of the vocabulary that speak for the creator, ascending.
        blank: the creator used nothing of the vocabulary.
        traits: lean to sounds, knowledge, followers.
        match: `region_match` of the creator's region, shape (n,).
        usual_match: of a recommendable trend, on average.
        region: column of the regions' shares, −1 where it is unknown.
        allowed: shape (n,).
        most: how many at most.

    Returns:
        As in `Picked`: rows, scores above that of the best, pair features, and the usual inputs.
    """
    lean, known = traits[0], traits[1]
    usual = np.empty(len(weights))
    group, scale = _near(of, at, room, words, blank)
    own, floor = _own_weights(of, at, weights, known)
    total = _weigh(of, trends, at, room, weights, group, scale, blank, lean, known, match, floor, allowed)
    usual[at.near] = of.everybody_means[at.near] if blank else total / max(of.size, 1)
    _propose(of, room, words, blank, own, usual)
    usual[at.cluster] = of.cluster_means[group]
    usual[at.habit] = trends.usual_sounds * lean
    usual[at.walk_by_history] = usual[at.walk] * known
    usual[at.adopters_by_history] = trends.usual[at.adopters] * known
    usual[at.region] = usual_match
    usual[at.trends :] = trends.usual

    count = choose(room.scores, most, room.best, room.order)
    rows, best = room.order[:count].copy(), room.best[:count]
    pairs = _fill(of, trends, at, room, rows, group, blank, traits, match, region)
    above = np.empty(count)
    for k in range(count):
        above[k] = best[k] - best[0]
    return rows, above, pairs, usual


@compiled
def _near(of: OfGenerators, at: Places, room: Room, words: Ints, blank: bool) -> tuple[int, float]:
    """Write how near every trend is to `room.near`; says the creator's cluster, and what to scale nearness by."""
    vector = np.empty(of.vectors.shape[1])
    is_known = place(words, of.cluster_vectors, vector)
    group = nearest(vector, of.centres, of.lengths) if is_known else len(of.centres)
    if blank:
        room.near[:] = of.everybody[at.near]
        return group, 1.0
    if not of.is_one_space:
        place(words, of.vectors, vector)
    return group, approach(vector, of.market, of.units, of.recommendable, room.near)


@compiled
def _own_weights(of: OfGenerators, at: Places, weights: Floats, known: float) -> tuple[Floats, float]:
    """Weights of the sparse generators for this creator, and what they add where they propose nothing."""
    own = weights[of.places]
    floor = 0.0
    for g in range(len(own)):
        if of.places[g] == at.walk:
            own[g] += weights[at.walk_by_history] * known
        floor += of.floor * own[g]
    return own, floor


@compiled
def _weigh(
    of: OfGenerators, trends: OfTrends, at: Places, room: Room, weights: Floats, group: int, scale: float, blank: bool,
    lean: float, known: float, match: Floats, floor: float, allowed: Bools,
) -> float:  # fmt: skip
    """Write `room.scores` but for what is proposed, and say how near the recommendable trends are, all together."""
    near, cluster, region = weights[at.near], weights[at.cluster], weights[at.region]
    amounts = np.array([near, cluster, weights[at.habit] * lean, weights[at.adopters_by_history] * known, region])
    of_cluster, total, n = of.of_clusters[group], 0.0, len(room.scores)
    for begin in range(0, n, TILE):  # some trends after others: what is written is still at hand when it is read
        end = min(begin + TILE, n)
        here = room.near[begin:end]
        total += 0.0 if blank else as_inputs(here, scale, of.offset, of.recommendable[begin:end])
        weigh(
            trends.base[begin:end], here, of_cluster[begin:end], trends.sounds[begin:end], trends.adopters[begin:end],
            match[begin:end], amounts, floor, allowed[begin:end], room.scores[begin:end],
        )  # fmt: skip
    return total


@compiled
def _propose(of: OfGenerators, room: Room, words: Ints, blank: bool, own: Floats, usual: Floats) -> None:
    """Add to `room.scores` what the sparse generators propose beyond their floor, and write what is usual."""
    totals, lasting = np.empty(len(own)), own.copy()
    if blank:
        for g in range(len(own)):
            lasting[g] = 0.0 if of.of_history[g] else own[g]
    propose(
        words, of.indptr, of.indices, of.data, lasting, of.recommendable, of.offset, room.sums, room.rows, room.logs,
        room.counts, totals, room.scores,
    )  # fmt: skip
    for g in range(len(own)):
        column = of.places[g]
        usual[column] = of.floor + totals[g] / of.size if of.size else 0.0
        if blank and of.of_history[g]:
            usual[column] = of.everybody_means[column]
            for row in range(len(room.scores)):
                room.scores[row] += own[g] * (of.everybody[column, row] - of.floor)


@compiled
def _fill(
    of: OfGenerators, trends: OfTrends, at: Places, room: Room, rows: Ints, group: int, blank: bool, traits: Floats,
    match: Floats, region: int,
) -> Floats:  # fmt: skip
    """The pair features of what was chosen, best first, as `choose` left the scores in `room.best`."""
    table = np.empty((len(rows) + 1, at.columns))
    fill_proposed(rows, room.rows, room.logs, room.counts, of.places, of.offset, room.spots, table)
    pairs = table[1:]
    if blank:
        for g in range(len(of.places)):
            if of.of_history[g]:
                for k in range(len(rows)):
                    pairs[k, of.places[g]] = of.everybody[of.places[g], rows[k]]
    filled = np.array([at.near, at.cluster, at.walk, at.habit])
    fill_pairs(
        rows, room.best[: len(rows)], filled, room.near, of.of_clusters[group], trends.sounds, trends.adopters, match,
        trends.shares, trends.followers, traits, region, pairs,
    )  # fmt: skip
    return pairs
