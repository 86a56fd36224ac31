"""The course of a simulated world: what draws creators to trends, and who posts what on each day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from features.sources.simulated_population import (
    CLUSTERS,
    PAST_DAYS,
    Cast,
    Floats,
    Ints,
)

TASTE_PULL: Final = 6.5
"""A trend of one's very own taste pulls exp(this) times as hard as one of a foreign taste."""
SOCIAL_PULL: Final = 1.5
"""How much harder a trend pulls once everybody like you has used it lately."""
SOCIAL_HALF: Final = 0.2
SOCIAL_MEMORY: Final = 0.88
HOME_PULL, AWAY_PULL = 2.0, 0.5
SOUND_HABIT: Final = 0.13
"""Share of named sounds taken from the creator's own recent uses; a hashtag's is `Creators.tag_habit`."""
TAG_RARE, SOUND_RARE = 0.55, 0.45
"""Share of the other slots filled with something no one else uses."""
NOVEL_DAYS: Final = 60.0
"""Beyond this age, openness to the new makes no difference."""
HISTORY: Final = 64
ORIGINAL: Final = -1


@dataclass(frozen=True)
class Posts:
    """One row per post in time order; `tags` of post i are `tags[tag_start[i]:tag_start[i + 1]]`.

    Tag codes below `hashtags` and sound codes below the number of sounds are trends, higher ones are rare;
    sound code ORIGINAL is the creator's own audio. `created` is in whole seconds since the start.
    """

    creator: Ints
    created: Ints
    sound: Ints
    tags: Ints
    tag_start: Ints

    def __len__(self) -> int:
        return len(self.creator)


class Law:
    """What draws creators to trends: taste, region, virality, life cycle, exposure, openness; multiplied."""

    def __init__(self, cast: Cast) -> None:
        self.cast = cast
        creators, trends = cast.creators, cast.trends
        unit = [taste / np.linalg.norm(taste, axis=1, keepdims=True) for taste in (creators.taste, trends.taste)]
        home = np.where(creators.region[:, None] == trends.home, HOME_PULL, AWAY_PULL)
        home[:, trends.home < 0] = 1.0
        self.pull = np.exp(TASTE_PULL * (unit[0] @ unit[1].T)) * home * trends.virality
        self.generic = trends.virality[: trends.generics] / trends.virality[: trends.generics].sum()
        self.kinds = (slice(trends.generics, trends.hashtags), slice(trends.hashtags, len(trends)))

    def live(self, kind: slice, day: int) -> Ints:
        """The trends of a kind that are born by a day."""
        return np.asarray(np.flatnonzero(self.cast.intensity[PAST_DAYS + day, kind] > 0) + kind.start)

    def appeal(self, rows: Ints, columns: Ints, exposure: Floats) -> Floats:
        """The part of the pull that the passing of a day does not change, shape (rows, columns)."""
        half = SOCIAL_HALF * self.cast.spec.creators / CLUSTERS
        near = self.cast.creators.taste[rows] @ exposure[:, columns]
        near += half
        social = np.divide(-SOCIAL_PULL * half, near, out=near)
        social += 1.0 + SOCIAL_PULL
        social *= self.pull[np.ix_(rows, columns)]
        return np.asarray(social)

    def shares(self, appeal: Floats, rows: Ints, columns: Ints, day: int) -> Floats:
        """The probability of each column when a creator picks one on that day; rows sum to 1."""
        age = day - self.cast.trends.born_day[columns]
        young = np.flatnonzero(age < NOVEL_DAYS)
        shares = appeal * (self.cast.intensity[PAST_DAYS + day, columns] + 1e-12)
        openness = self.cast.creators.openness[rows]
        shares[:, young] *= np.exp(np.outer(openness, np.exp(-np.maximum(age[young], 0.0) / 10.0)))
        shares /= shares.sum(axis=1, keepdims=True)
        return np.asarray(shares)

    def posts_per_day(self, day: int) -> Floats:
        """Expected posts of every creator on one day."""
        weekday = (self.cast.spec.start.weekday() + day) % 7
        return np.asarray(self.cast.creators.posts_per_day * self.cast.creators.weekday[:, weekday])

    def expected_uses(self, rows: Ints, days: range, exposure: Floats) -> Floats:
        """Expected uses not out of habit over the days, shape (rows, trends); exposure stays as it is."""
        uses = np.zeros((len(rows), len(self.cast.trends)))
        people, generics = self.cast.creators, self.cast.trends.generics
        fresh = people.tags_per_post[rows] * (1 - people.tag_habit[rows])
        generic = people.generic_share[rows]
        tags = fresh * (1 - generic) * (1 - TAG_RARE)
        sounds = people.sound_share[rows] * (1 - SOUND_HABIT) * (1 - SOUND_RARE)
        posts = {day: self.posts_per_day(day)[rows] for day in days}
        uses[:, :generics] = np.outer(sum(posts.values()) * fresh * generic, self.generic)
        for kind, per_post in zip(self.kinds, (tags, sounds), strict=True):
            columns = self.live(kind, days[-1])
            appeal = self.appeal(rows, columns, exposure)
            for day in days:
                shares = self.shares(appeal, rows, columns, day)
                shares *= (posts[day] * per_post)[:, None]
                uses[:, columns] += shares
        return uses


class _Memory:
    """The last HISTORY codes that each creator used, from which habit repeats."""

    def __init__(self, creators: int) -> None:
        self.codes = np.zeros((creators, HISTORY), dtype=np.int64)
        self.count = np.zeros(creators, dtype=np.int64)

    def recall(self, creator: Ints, luck: Floats) -> Ints:
        """One of each creator's remembered uses."""
        kept = np.minimum(self.count[creator], HISTORY)
        return np.asarray(self.codes[creator, (luck * kept).astype(np.int64)])

    def keep(self, creator: Ints, codes: Ints) -> None:
        """Remember the uses, which are grouped by creator."""
        if len(creator) == 0:
            return
        first = np.r_[True, creator[1:] != creator[:-1]]
        start = np.flatnonzero(first)
        within = np.arange(len(creator)) - np.repeat(start, np.diff(np.r_[start, len(creator)]))
        self.codes[creator, (self.count[creator] + within) % HISTORY] = codes
        np.add.at(self.count, creator, 1)


class Life:
    """The daily course of the world: who posts, what they use, and what the others see of it."""

    def __init__(self, law: Law) -> None:
        cast = law.cast
        spec, trends = cast.spec, cast.trends
        self.law, self.spec, self.creators, self.trends = law, spec, cast.creators, trends
        self.rng = spec.stream(4)
        self.tag_memory, self.sound_memory = _Memory(spec.creators), _Memory(spec.creators)
        self.next_tag, self.next_sound = trends.hashtags, len(trends) - trends.hashtags
        self.activity = np.ones(spec.creators)
        self.exposure = np.zeros((spec.days, CLUSTERS, len(trends)), dtype=np.float32)

    def run(self) -> Posts:
        """Every day in turn; returns all posts in time order."""
        seen, days = np.zeros((CLUSTERS, len(self.trends))), []
        for day in range(self.spec.days):
            self.exposure[day] = seen
            posts = self._day(day, self.exposure[day].astype(np.float64))
            days.append(posts)
            seen = seen * SOCIAL_MEMORY
            spread = np.zeros((len(self.trends), CLUSTERS))
            for creator, trend in self._trend_uses(posts):
                np.add.at(spread, trend, self.creators.taste[creator])
            seen += spread.T
        return _joined(days)

    def _day(self, day: int, exposure: Floats) -> Posts:
        rng = self.rng
        if day % 7 == 0:
            self.activity = rng.gamma(1.2, 1 / 1.2, self.spec.creators)
        count = rng.poisson(self.law.posts_per_day(day) * self.activity)
        creator = np.repeat(np.arange(self.spec.creators), count)
        created = day * 86_400 + self._seconds(creator)
        tag_count = np.minimum(rng.poisson(self.creators.tags_per_post[creator]), 20)
        post = np.repeat(np.arange(len(creator)), tag_count)
        post, tags = _distinct(post, self._tags(creator[post], day, exposure))
        sound = self._sounds(creator, day, exposure)
        self.tag_memory.keep(creator[post], tags)
        named = sound != ORIGINAL
        self.sound_memory.keep(creator[named], sound[named])
        return _in_time_order(Posts(creator, created, sound, tags, _starts(post, len(creator))))

    def _seconds(self, creator: Ints) -> Ints:
        """The second of the day of each post: near the creator's hour, or at any hour."""
        hour = self.creators.hour[creator] + self.rng.normal(0.0, 3.0, len(creator))
        hour = np.where(self.rng.random(len(creator)) < 0.2, self.rng.uniform(0, 24, len(creator)), hour)
        return np.asarray((hour % 24 * 3600).astype(np.int64) % 86_400)

    def _tags(self, creator: Ints, day: int, exposure: Floats) -> Ints:
        rng, n = self.rng, len(creator)
        luck, pick = rng.random((3, n)), rng.random(n)
        habit = (luck[0] < self.creators.tag_habit[creator]) & (self.tag_memory.count[creator] > 0)
        generic = ~habit & (luck[1] < self.creators.generic_share[creator])
        rare = ~habit & ~generic & (luck[2] < TAG_RARE)
        trend = ~(habit | generic | rare)
        codes = np.zeros(n, dtype=np.int64)
        codes[habit] = self.tag_memory.recall(creator[habit], pick[habit])
        codes[generic] = np.searchsorted(np.cumsum(self.law.generic)[:-1], pick[generic], side="right")
        codes[rare] = self.next_tag + np.arange(rare.sum())
        self.next_tag += int(rare.sum())
        codes[trend] = self._pick(0, creator[trend], pick[trend], day, exposure)
        return codes

    def _sounds(self, creator: Ints, day: int, exposure: Floats) -> Ints:
        rng, n = self.rng, len(creator)
        luck, pick = rng.random((3, n)), rng.random(n)
        named = luck[0] < self.creators.sound_share[creator]
        habit = named & (luck[1] < SOUND_HABIT) & (self.sound_memory.count[creator] > 0)
        rare = named & ~habit & (luck[2] < SOUND_RARE)
        trend = named & ~habit & ~rare
        codes = np.full(n, ORIGINAL, dtype=np.int64)
        codes[habit] = self.sound_memory.recall(creator[habit], pick[habit])
        codes[rare] = self.next_sound + np.arange(rare.sum())
        self.next_sound += int(rare.sum())
        codes[trend] = self._pick(1, creator[trend], pick[trend], day, exposure) - self.trends.hashtags
        return codes

    def _pick(self, kind: int, creator: Ints, luck: Floats, day: int, exposure: Floats) -> Ints:
        """A trend of the kind for each draw, by the law."""
        rows, row = np.unique(creator, return_inverse=True)
        columns = self.law.live(self.law.kinds[kind], day)
        shares = self.law.shares(self.law.appeal(rows, columns, exposure), rows, columns, day)
        return np.asarray(columns[_choose(shares, row, luck)])

    def _trend_uses(self, posts: Posts) -> list[tuple[Ints, Ints]]:
        """(creator, trend) of the day's uses that others can follow: hashtags, then sounds."""
        by_tag = np.repeat(posts.creator, np.diff(posts.tag_start))
        tag, sounds = posts.tags < self.trends.hashtags, len(self.trends) - self.trends.hashtags
        sound = (posts.sound >= 0) & (posts.sound < sounds)
        shifted = posts.sound[sound] + self.trends.hashtags
        return [(by_tag[tag], posts.tags[tag]), (posts.creator[sound], shifted)]


def _choose(shares: Floats, row: Ints, luck: Floats) -> Ints:
    """One column per draw, by the shares of its row: one search over all rows' cumulative shares."""
    cumulative = np.cumsum(shares, axis=1)
    cumulative[:, -1] = 1.0
    ladder = (cumulative + np.arange(len(shares))[:, None]).ravel()
    found = np.searchsorted(ladder, row + luck, side="right") - row * shares.shape[1]
    return np.asarray(np.clip(found, 0, shares.shape[1] - 1))


def _distinct(post: Ints, tags: Ints) -> tuple[Ints, Ints]:
    """A post names a tag once, in the order of first mention."""
    _, first = np.unique(np.stack([post, tags]), axis=1, return_index=True)
    kept = np.sort(first)
    return post[kept], tags[kept]


def _starts(post: Ints, count: int) -> Ints:
    return np.asarray(np.r_[0, np.cumsum(np.bincount(post, minlength=count))].astype(np.int64))


def _in_time_order(posts: Posts) -> Posts:
    order = np.lexsort((posts.creator, posts.created))
    sizes = np.diff(posts.tag_start)
    tags = [posts.tags[posts.tag_start[i] : posts.tag_start[i + 1]] for i in order]
    start = np.r_[0, np.cumsum(sizes[order])]
    flat = np.concatenate(tags) if tags else posts.tags
    return Posts(posts.creator[order], posts.created[order], posts.sound[order], flat, start)


def _joined(days: list[Posts]) -> Posts:
    creator, created, sound, tags = (
        np.concatenate([getattr(day, name) for day in days]) for name in ("creator", "created", "sound", "tags")
    )
    sizes = np.concatenate([np.diff(day.tag_start) for day in days])
    return Posts(creator, created, sound, tags, np.r_[0, np.cumsum(sizes)])
