"""What each way of posting was worth in the lake: mean log-lift of posts that did it, against posts that did not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from features.evidence.posts import BIN_HOURS, Bools, Posts
from features.history import DAY, Floats, Ints
from features.lift import grouped_median

LEAST_POSTS: Final = 30
"""Fewer posts with, or without, say nothing."""
LEAST_CREATORS: Final = 8
"""Fewer creators behind the posts that did it say nothing of others."""
RESAMPLES: Final = 400
SEED: Final = 20
Z80: Final = 1.2815515655446004
"""Half the width of an 80 % interval, in standard errors."""
NICHE_SHARE: Final = 0.01
GENERIC_SHARE: Final = 0.05


@dataclass(frozen=True)
class Measure:
    """A measured difference.

    Attributes:
        name: of the query.
        posts, others: posts with a known lift that did it, and that did not.
        creators: behind the posts that did it.
        lift, lo, hi: difference of mean log-lift and its 80 % interval; None where there is not enough data.
    """

    name: str
    posts: int
    others: int
    creators: int
    lift: float | None = None
    lo: float | None = None
    hi: float | None = None


@dataclass(frozen=True)
class Habit:
    """What one creator does, and what it is worth to them: difference of mean log-lift, 80 % interval, sizes."""

    name: str
    posts: int
    others: int
    lift: float
    lo: float
    hi: float


Split = tuple[Bools, Bools]
"""Posts that did it, and those to compare with; both of shape (p,)."""

Query = Callable[[Posts], Split]


def _against(within: Callable[[Posts], Bools], did: Callable[[Posts], Bools]) -> Query:
    def split(posts: Posts) -> Split:
        base, chosen = within(posts), did(posts)
        return base & chosen, base & ~chosen

    return split


def _all(posts: Posts) -> Bools:
    return np.ones(posts.n, bool)


def _with_sound(posts: Posts) -> Bools:
    return posts.sounds


def _with_tags(posts: Posts) -> Bools:
    return posts.tags > 0


def _tagged(*words: str) -> Query:
    return _against(_all, lambda posts: posts.words(*words))


def _sound_use(rule: Callable[[Posts], Bools]) -> Query:
    return _against(_with_sound, lambda posts: posts.with_use(posts.is_sound & rule(posts)))


def _opened_by_smaller(posts: Posts) -> Bools:
    """A sound that somebody with fewer followers opened."""
    followers = posts.history.followers
    opener = posts.opened_by[posts.history.use_trend]
    smaller = followers[opener] < followers[posts.history.use_creator]
    return np.asarray(smaller & (opener != posts.history.use_creator))


def _by_others(posts: Posts) -> Bools:
    return np.asarray(posts.opened_by[posts.history.use_trend] != posts.history.use_creator)


def _niche(posts: Posts) -> Bools:
    share = posts.reach[posts.history.use_trend] / max(len(posts.history.creators), 1)
    return np.asarray(~posts.is_sound & (share <= NICHE_SHARE) & (posts.reach[posts.history.use_trend] >= 3))


def _generic(posts: Posts) -> Bools:
    share = posts.reach[posts.history.use_trend] / max(len(posts.history.creators), 1)
    return np.asarray(~posts.is_sound & (share > GENERIC_SHARE))


def _best_hours(posts: Posts) -> Split:
    """The part of the day that was best in the earlier half of a creator's posts, judged on the later half."""
    known = np.flatnonzero(~np.isnan(posts.lift))
    creators, bins = len(posts.history.creators), 24 // BIN_HOURS
    creator, size = posts.creator[known], np.bincount(posts.creator[known], minlength=creators)
    order = np.argsort(creator, kind="stable")
    place = np.empty(len(known), np.int64)
    place[order] = np.arange(len(known)) - np.repeat(np.r_[0, np.cumsum(size)[:-1]], size)
    earlier = place < size[creator] / 2
    cell = creator * bins + posts.hour_bin[known]
    count = np.bincount(cell[earlier], minlength=creators * bins).reshape(creators, bins)
    total = np.bincount(cell[earlier], posts.lift[known][earlier], minlength=creators * bins).reshape(creators, bins)
    mean = np.where(count >= 2, total / (count + 2), -np.inf)
    best, has = mean.argmax(axis=1), (count >= 2).sum(axis=1) >= 2
    judged = ~earlier & has[creator]
    inside = posts.hour_bin[known] == best[creator]
    did, others = np.zeros(posts.n, bool), np.zeros(posts.n, bool)
    did[known[judged & inside]], others[known[judged & ~inside]] = True, True
    return did, others


def _usual_hours(posts: Posts) -> Bools:
    bins, creators = 24 // BIN_HOURS, len(posts.history.creators)
    count = np.bincount(posts.creator * bins + posts.hour_bin, minlength=creators * bins).reshape(creators, bins)
    return np.asarray(count.argmax(axis=1)[posts.creator] == posts.hour_bin)


def _weekend(posts: Posts) -> Bools:
    return np.asarray((posts.created // DAY + 3) % 7 >= 5)


def _gap_known(posts: Posts) -> Bools:
    return ~np.isnan(posts.gap_days)


def _duration_known(posts: Posts) -> Bools:
    return np.asarray(posts.history.posts["duration"] > 0)


def _duration(rule: Callable[[Floats], Bools]) -> Query:
    return _against(_duration_known, lambda posts: rule(posts.history.posts["duration"]))


QUERIES: Final[Mapping[str, Query]] = {
    "sound_opened_by_others": _sound_use(lambda p: _by_others(p) & (p.since_first_days <= 7)),
    "sound_opened_by_smaller": _sound_use(_opened_by_smaller),
    "sound_first_days": _sound_use(lambda p: p.since_first_days <= 3),
    "sound_catalogue": _sound_use(lambda p: p.since_first_days > 56),
    "sound_rising": _sound_use(lambda p: p.pace >= 2),
    "sound_series": _sound_use(lambda p: p.places >= 1),
    "sound_versions": _against(
        _with_sound, lambda p: p.titled("sped up", "speed up", "slowed", "reverb", "remix", "nightcore", "mashup")
    ),
    "sound_live": _against(_with_sound, lambda p: p.titled("live", "acoustic", "unplugged", "cover", "session")),
    "own_sound": _against(_all, lambda p: ~p.sounds),
    "tags_niche": _against(_with_tags, lambda p: p.with_use(_niche(p))),
    "tags_generic": _against(_all, lambda p: p.with_use(_generic(p))),
    "tags_many": _against(_with_tags, lambda p: p.tags >= 6),
    "tags_few": _against(_with_tags, lambda p: p.tags <= 3),
    "tags_rising": _against(_with_tags, lambda p: p.with_use(~p.is_sound & (p.pace >= 2))),
    "tag_series": _against(_with_tags, lambda p: p.with_use(~p.is_sound & (p.places >= 2) & ~_generic(p))),
    "tag_duet": _tagged("duet", "dueto", "duo"),
    "tag_stitch": _tagged("stitch"),
    "tag_challenge": _tagged("challenge", "reto", "desafio", "thửthách"),
    "tag_dance": _tagged("dance", "dança", "baile", "nhảy", "choreo"),
    "tag_pov": _tagged("^pov"),
    "tag_lyrics": _tagged("lyric", "letra", "singalong", "karaoke"),
    "tag_story": _tagged("storytime", "behindthe", "^bts$", "makingof", "story"),
    "tag_preview": _tagged("unreleased", "comingsoon", "snippet", "newmusic", "preview"),
    "tag_lesson": _tagged("tutorial", "howto", "learn", "tips", "lesson"),
    "tag_humour": _tagged("comedy", "comedia", "funny", "humor", "meme"),
    "tag_local": _tagged("usa", "latino", "brasil", "india", "viet", "mexico", "espa", "french", "deutsch"),
    "hours_own_best": _best_hours,
    "hours_usual": _against(_all, _usual_hours),
    "days_weekend": _against(_all, _weekend),
    "days_weekday": _against(_all, lambda p: ~_weekend(p)),
    "pace_within_two_days": _against(_gap_known, lambda p: p.gap_days <= 2),
    "pace_after_a_rest": _against(_gap_known, lambda p: p.gap_days >= 7),
    "pace_same_day": _against(_gap_known, lambda p: p.gap_days <= 0.5),
    "length_short": _duration(lambda seconds: seconds <= 12),
    "length_long": _duration(lambda seconds: seconds >= 30),
}
"""Name → which posts did it, and which to compare with."""

HABITS: Final = (
    "own_sound",
    "tags_generic",
    "tags_many",
    "sound_series",
    "sound_versions",
    "sound_catalogue",
    "days_weekend",
    "pace_same_day",
    "pace_after_a_rest",
    "length_short",
    "length_long",
)
"""The queries that are also asked of every creator alone."""
LEAST_OWN_POSTS: Final = 6


def measure(posts: Posts, names: Iterable[str] | None = None) -> dict[str, Measure]:
    """Every query's difference in mean log-lift; creators are resampled whole, for posts of one are no strangers.

    Args:
        posts: of the history.
        names: of the queries; all of them where not given.
    """
    draws = np.random.default_rng(SEED).poisson(1.0, (RESAMPLES, len(posts.history.creators))).astype(np.float64)
    return {name: _measured(name, *QUERIES[name](posts), posts, draws) for name in names or QUERIES}


def _measured(name: str, did: Bools, others: Bools, posts: Posts, draws: Floats) -> Measure:
    known = ~np.isnan(posts.lift)
    sides, creators = [], len(posts.history.creators)
    for chosen in (did & known, others & known):
        who = posts.creator[chosen]
        sides.append((np.bincount(who, minlength=creators), np.bincount(who, posts.lift[chosen], minlength=creators)))
    sizes = [int(count.sum()) for count, _ in sides]
    behind = int((sides[0][0] > 0).sum())
    if min(sizes) < LEAST_POSTS or behind < LEAST_CREATORS:
        return Measure(name, sizes[0], sizes[1], behind)
    (count, total), (count_others, total_others) = sides
    lift = total.sum() / count.sum() - total_others.sum() / count_others.sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        drawn = (draws @ total) / (draws @ count) - (draws @ total_others) / (draws @ count_others)
    lo, hi = np.nanquantile(drawn, [0.1, 0.9])
    return Measure(name, sizes[0], sizes[1], behind, round(float(lift), 4), round(float(lo), 4), round(float(hi), 4))


def habits(posts: Posts) -> dict[str, list[Habit]]:
    """Creator → what their own posts say of their habits, where the 80 % interval leaves out no difference."""
    found: dict[str, list[Habit]] = {}
    for name in HABITS:
        did, others = QUERIES[name](posts)
        (n, mean, error), (n_others, mean_others, error_others) = (_means(posts, side) for side in (did, others))
        lift, width = mean - mean_others, Z80 * np.sqrt(error + error_others)
        enough = (n >= LEAST_OWN_POSTS) & (n_others >= LEAST_OWN_POSTS)
        for row in np.flatnonzero(enough & (np.abs(lift) > width)):
            numbers = (lift[row], lift[row] - width[row], lift[row] + width[row])
            habit = Habit(name, int(n[row]), int(n_others[row]), *(round(float(x), 4) for x in numbers))
            found.setdefault(str(posts.history.creators[row]), []).append(habit)
    return {creator: sorted(kept, key=lambda habit: habit.lift) for creator, kept in found.items()}


def _means(posts: Posts, side: Bools) -> tuple[Ints, Floats, Floats]:
    """Per creator: posts with a known lift, their mean, and the square of its standard error."""
    chosen, creators = side & ~np.isnan(posts.lift), len(posts.history.creators)
    who, lift = posts.creator[chosen], posts.lift[chosen]
    n = np.bincount(who, minlength=creators)
    mean = np.bincount(who, lift, minlength=creators) / np.maximum(n, 1)
    squares = np.bincount(who, (lift - mean[who]) ** 2, minlength=creators)
    return n, mean, squares / np.maximum(n - 1, 1) / np.maximum(n, 1)


def baselines(posts: Posts, trailing: Bools) -> dict[str, tuple[int, float, float, float]]:
    """Creator → posts, and the 10th, 50th and 90th percentile of the views of their trailing posts."""
    views = posts.history.posts["view_count"]
    chosen = trailing & ~np.isnan(views)
    who, seen = posts.creator[chosen], views[chosen]
    order = np.lexsort((seen, who))
    size = np.bincount(who, minlength=len(posts.history.creators))
    middle = grouped_median(who, seen, len(size))
    ends = np.cumsum(size)
    found = {}
    for row in np.flatnonzero(size >= 5):
        own = seen[order][ends[row] - size[row] : ends[row]]
        lo, hi = np.quantile(own, [0.1, 0.9])
        found[str(posts.history.creators[row])] = (
            int(size[row]),
            round(float(lo)),
            round(float(middle[row])),
            round(float(hi)),
        )
    return {name: (n, float(lo), float(mid), float(hi)) for name, (n, lo, mid, hi) in found.items()}
