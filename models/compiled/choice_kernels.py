"""Compiled loops that choose the best of many scores and put them in order; importing this module imports numba."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from models.compiled.lines import compiled
from models.interactions import Floats, Ints

Place = int | np.int64
Kinds = npt.NDArray[np.int8]

FEW: Final = 24
"""So many are put in order one by one."""

MOST_BUCKETS: Final = 1 << 14

SAMPLE: Final = 512

LEAST: Final = -np.finfo(np.float64).max


@compiled
def choose(scores: Floats, most: int, best: Floats, rows: Ints) -> Place:
    """The `most` best, best first, ties by row, and how many there are.

    Args:
        scores: −inf where a row does not count, never NaN or ∞, shape (n,).
        most: how many at most.
        best, rows: written: the scores of the best and their rows, shape (n,).
    """
    least = _enough(scores, most)
    size = _at_least(scores, least, best, rows)
    if size < most and least > LEAST:
        size = _at_least(scores, LEAST, best, rows)
    return _put_in_order(best, rows, size, most)


@compiled
def in_order(scores: Floats, rows: Ints) -> Ints:
    """Places by falling score, ties by row, NaN last; rows differ, both of shape (m,)."""
    best, places = scores.copy(), np.arange(len(scores))
    for k in range(len(best)):
        best[k] = -np.inf if np.isnan(best[k]) else best[k]  # only of a model that is about to be refused
    _put_in_order(best, places, len(scores), len(scores))
    begin = 0
    for end in range(1, len(scores) + 1):
        if end == len(scores) or best[end] != best[begin]:
            for k in range(begin, end):
                best[k] = -rows[places[k]]
            _sort(best, places, begin, end)
            begin = end
    return places


@compiled
def diverse_places(groups: Ints, kinds: Kinds, most: int, limit: int) -> Ints:
    """See `serving.rerank.diversify`.

    Args:
        groups, kinds: of the candidates, best first, none of them negative, shape (m,).
        most: places wanted.
        limit: how many of a kind, while others can fill.
    """
    seen, counts = np.zeros(groups.max() + 1 if len(groups) else 0, np.bool_), np.zeros(128, np.int64)
    within, above = np.empty(most, np.int64), np.empty(most, np.int64)
    inside, outside = 0, 0
    for place in range(len(groups)):
        if inside == most:
            return within
        if seen[groups[place]]:
            continue
        seen[groups[place]] = True
        counts[kinds[place]] += 1
        if counts[kinds[place]] <= limit:
            within[inside] = place
            inside += 1
        elif outside < most:
            above[outside] = place
            outside += 1
    chosen = np.concatenate((within[:inside], above[: min(outside, most - inside)]))
    chosen.sort()
    return chosen


@compiled
def _enough(scores: Floats, most: int) -> float:
    """A score that at least `most` very likely reach, and not many more: guessed from some of them."""
    step = len(scores) // SAMPLE
    share = most / max(len(scores), 1)
    wanted = SAMPLE * share + 3 * np.sqrt(SAMPLE * share) + 2
    if step < 2 or wanted >= SAMPLE:
        return LEAST
    low, high = np.inf, LEAST
    for i in range(0, step * SAMPLE, step):
        low, high = min(low, scores[i] if scores[i] >= LEAST else np.inf), max(high, scores[i])
    scale = SAMPLE / (high - low)
    if not 0 < scale < np.inf:
        return LEAST
    counts = np.zeros(SAMPLE + 1, np.int64)
    for i in range(0, step * SAMPLE, step):
        counts[np.uint64(min((high - scores[i]) * scale, SAMPLE))] += 1
    bucket, found = 0, counts[0]
    while found < wanted and bucket < SAMPLE:
        bucket += 1
        found += counts[bucket]
    return max(high - (bucket + 1) / scale, LEAST) if bucket < SAMPLE else LEAST


@compiled
def _at_least(scores: Floats, least: float, best: Floats, rows: Ints) -> Place:
    """Collect the scores that are no less, and say how many there are."""
    size = np.uint64(0)
    for row in range(len(scores)):  # without branches; what is written is never ahead of what is read
        best[size], rows[size] = scores[row], row
        size += np.uint64(scores[row] >= least)
    return np.int64(size)


@compiled
def _put_in_order(scores: Floats, rows: Ints, size: Place, most: int) -> Place:
    """Bring the `most` best of the first `size` pairs to the front; rows have to ascend where scores are equal."""
    if size == 0 or most == 0:
        return 0
    low, high = scores[0], scores[0]
    for i in range(1, size):
        low, high = min(low, scores[i]), max(high, scores[i])
    buckets = 256
    while buckets < min(size, MOST_BUCKETS):
        buckets *= 2
    scale = (buckets - 1) / (high - low)
    if not 0 < scale < np.inf:
        _sort(scores, rows, 0, size)
        return min(most, size)
    bucket, ends = np.empty(size, np.uint16), np.zeros(buckets + 1, np.uint32)
    for i in range(size):
        bucket[i] = np.uint16((high - scores[i]) * scale)  # never smaller for a smaller score
    for i in range(size):
        ends[bucket[i] + np.uint32(1)] += np.uint32(1)
    last = 0
    while last < buckets and ends[last] < most:
        last += 1
        ends[last] += ends[last - 1]
    kept, kept_rows = np.empty(ends[last]), np.empty(ends[last], np.int64)
    for i in range(size):
        if bucket[i] < last:
            at = ends[bucket[i]]
            kept[at], kept_rows[at] = scores[i], rows[i]
            ends[bucket[i]] = at + np.uint32(1)
    begin = np.int64(0)
    for i in range(last):
        end = np.int64(ends[i])
        if end - begin > 1:
            _sort(kept, kept_rows, begin, end)
        begin = end
    count = min(most, size)
    scores[:count], rows[:count] = kept[:count], kept_rows[:count]
    return count


@compiled
def _sort(scores: Floats, rows: Ints, begin: Place, end: Place) -> None:
    """Put pairs in order, higher scores first, then lower rows."""
    if end - begin > FEW:
        _sort_many(scores, rows, begin, end)
        return
    for i in range(begin + 1, end):
        score, row, at = scores[i], rows[i], i
        while at > begin and _before(score, row, scores[at - 1], rows[at - 1]):
            scores[at], rows[at] = scores[at - 1], rows[at - 1]
            at -= 1
        scores[at], rows[at] = score, row


@compiled
def _sort_many(scores: Floats, rows: Ints, begin: Place, end: Place) -> None:
    """Heapsort: what is last in the order stands at the top."""
    for top in range((end - begin) // 2 - 1, -1, -1):
        _sink(scores, rows, begin, top, end - begin)
    for size in range(end - begin - 1, 0, -1):
        at = begin + size
        scores[begin], scores[at] = scores[at], scores[begin]
        rows[begin], rows[at] = rows[at], rows[begin]
        _sink(scores, rows, begin, 0, size)


@compiled
def _sink(scores: Floats, rows: Ints, begin: Place, top: Place, size: Place) -> None:
    """Restore the heap below `top`: nobody stands before the two below them."""
    score, row = scores[begin + top], rows[begin + top]
    while 2 * top + 1 < size:
        child = begin + 2 * top + 1
        if child + 1 < begin + size and _before(scores[child], rows[child], scores[child + 1], rows[child + 1]):
            child += 1
        if not _before(score, row, scores[child], rows[child]):
            break
        scores[begin + top], rows[begin + top] = scores[child], rows[child]
        top = child - begin
    scores[begin + top], rows[begin + top] = score, row


@compiled
def _before(score: float, row: Place, other: float, other_row: Place) -> bool:
    return bool(score > other or (score == other and row < other_row))
