"""Artists and creators who burst, found in the lake: when, how strongly, and what was done in the days before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from features.history import DAY, SECOND, UNKNOWN_REGION, Floats, History, Ints
from features.taste import TASTE_DIMENSIONS, directions

Bools = npt.NDArray[np.bool_]
Kind = Literal["artist", "sound", "creator"]

WEEK_DAYS: Final = 7
BEFORE_DAYS: Final = 14
"""How long before a burst began is looked at."""
LEAST_BURST: Final = 3.0
"""In standard deviations; a week below has not burst."""
LEAST_USERS: Final = 4
"""A sound that fewer creators used in its best week has not burst."""
LEAST_POSTS: Final = 5
"""A creator who posted less often in a week is not judged by it."""
MOST_ENTRIES: Final = 300
TOP_TAGS: Final = 8


@dataclass(frozen=True)
class Before:
    """What was done in the `BEFORE_DAYS` before a burst.

    Attributes:
        posts, creators: how many posts, by how many creators.
        posts_per_day: their cadence.
        tags_per_post: hashtags of a post.
        sound_reuse: share of the posts whose sound the same creator had used before.
        own_sound: share of the posts without a named sound.
        median_seconds: length of a post, None where unknown.
        median_followers: of the creators, None where unknown.
        hours_utc: the three hours of day (UTC) with most posts.
        tags: the hashtags used most.
    """

    posts: int
    creators: int
    posts_per_day: float
    tags_per_post: float
    sound_reuse: float
    own_sound: float
    median_seconds: float | None
    median_followers: float | None
    hours_utc: tuple[int, ...]
    tags: tuple[str, ...]


@dataclass(frozen=True)
class Viral:
    """One burst of one artist, sound or creator.

    Attributes:
        artist_id: `artist:<name>`, `sound:<id>` or `creator:<username>`.
        name: to show; untrusted text.
        measured_by: uses, followers or lift.
        region: where most of it happened, empty where unknown.
        tags: hashtags of its posts in the burst.
        starts_at, ends_at: the week of the burst, UTC.
        burst: how far that week lies above what came before it, in standard deviations.
        value, before_value: of what was measured, in that week and in the week before.
        creators: who took part in that week.
        before: what was done before.
        size: median log(1 + followers) of who took part, None where unknown.
        taste: unit vector, see `features.taste.directions`.
        sounds: ids of its sounds.
    """

    artist_id: str
    kind: Kind
    name: str
    measured_by: Literal["uses", "followers", "lift"]
    region: str
    tags: tuple[str, ...]
    starts_at: datetime
    ends_at: datetime
    burst: float
    value: float
    before_value: float
    creators: int
    before: Before
    size: float | None
    taste: tuple[float, ...]
    sounds: tuple[str, ...] = field(default=())


def viral_artists(
    history: History, lift: Floats, followers: dict[str, list[tuple[int, float]]] | None = None
) -> list[Viral]:
    """The strongest bursts, one for each artist, sound or creator, strongest first.

    Args:
        history: what was known.
        lift: of every post, see `features.lift.post_lifts`, shape (p,).
        followers: username → (observed in µs, followers), oldest first, where they were observed again and again.
    """
    if not len(history.posts["created"]):
        return []
    view = _View(history)
    found = [*_sound_bursts(view), *_lift_bursts(view, lift), *_follower_bursts(view, followers or {})]
    best: dict[str, Viral] = {}
    for one in sorted(found, key=lambda v: (-v.burst, v.artist_id)):
        best.setdefault(one.artist_id, one)
    return list(best.values())[:MOST_ENTRIES]


def follower_series(connection: Any, as_of: datetime) -> dict[str, list[tuple[int, float]]]:
    """Username → (observed in µs, followers), oldest first, of creators who were observed at least four times."""
    rows = connection.cursor().execute(
        "SELECT username, epoch_us(observed_at), follower_count::DOUBLE FROM creator_metrics "
        "WHERE observed_at <= $now AND follower_count IS NOT NULL ORDER BY 1, 2",
        {"now": as_of},
    )
    found: dict[str, list[tuple[int, float]]] = {}
    for username, at, count in rows.fetchall():
        found.setdefault(username, []).append((int(at), float(count)))
    return {name: series for name, series in found.items() if len(series) >= 4}


class _View:
    """A history by weeks that end with its instant: week 0 is the oldest."""

    def __init__(self, history: History) -> None:
        self.history = history
        created = history.posts["created"]
        age = (history.now - created) // (WEEK_DAYS * DAY)
        self.weeks = int(age.max()) + 1
        self.week: Ints = np.asarray(self.weeks - 1 - age)
        self.creator: Ints = history.posts["creator"]
        types = history.trends["type"][history.use_trend]
        self.sound_uses = np.flatnonzero(types == "sound")
        self.tag_uses = np.flatnonzero(types == "hashtag")
        self.tags_of = _grouped(history.use_post[self.tag_uses], history.use_trend[self.tag_uses])
        self.named = np.zeros(len(created), bool)
        self.named[history.use_post[self.sound_uses]] = True
        places = _places(history.use_creator[self.sound_uses], history.use_trend[self.sound_uses])
        self.reused = np.zeros(len(created), bool)
        self.reused[history.use_post[self.sound_uses][places > 0]] = True

    def starts(self, week: int) -> int:
        """When a week began, in µs."""
        return self.history.now - (self.weeks - week) * WEEK_DAYS * DAY

    def told(self, posts: Ints) -> tuple[str, tuple[str, ...], tuple[float, ...], float | None]:
        """Region, hashtags, taste and size of some posts."""
        regions = Counter(int(r) for r in self.history.posts["region"][posts] if r != UNKNOWN_REGION)
        region = str(self.history.regions[min(regions, key=lambda r: (-regions[r], r))]) if regions else ""
        uses = Counter(trend for post in posts.tolist() for trend in self.tags_of.get(post, ()))
        top = sorted(uses, key=lambda t: (-uses[t], t))[:40]
        keys = [str(self.history.trends["key"][t]) for t in top]
        taste = np.array([uses[t] for t in top], float) @ directions(keys) if keys else np.zeros(TASTE_DIMENSIONS)
        taste = np.round(taste / max(float(np.linalg.norm(taste)), 1e-12), 4)
        tags = tuple(str(self.history.trends["id"][t]) for t in top[:TOP_TAGS])
        size = np.log1p(self.history.followers[np.unique(self.creator[posts])])
        return region, tags, tuple(taste.tolist()), _median(size)

    def before(self, posts: Ints) -> Before:
        """What some posts have in common."""
        history, n = self.history, max(len(posts), 1)
        hours = np.bincount(history.posts["created"][posts] // (3600 * SECOND) % 24, minlength=24)
        uses = Counter(trend for post in posts.tolist() for trend in self.tags_of.get(post, ()))
        who = np.unique(self.creator[posts])
        seconds = history.posts["duration"][posts]
        return Before(
            posts=len(posts),
            creators=len(who),
            posts_per_day=round(len(posts) / BEFORE_DAYS, 3),
            tags_per_post=round(sum(uses.values()) / n, 2),
            sound_reuse=round(float(self.reused[posts].sum()) / n, 3),
            own_sound=round(float((~self.named[posts]).sum()) / n, 3),
            median_seconds=_median(seconds[seconds > 0]),
            median_followers=_median(history.followers[who]),
            hours_utc=tuple(int(h) for h in np.argsort(-hours, kind="stable")[:3] if hours[h]),
            tags=tuple(str(history.trends["id"][t]) for t in sorted(uses, key=lambda t: (-uses[t], t))[:TOP_TAGS]),
        )

    def entry(
        self, artist_id: str, name: str, by: Any, week: int, posts: Ints, own: Ints,
        numbers: tuple[float, float, float], sounds: tuple[str, ...] = (),
    ) -> Viral:  # fmt: skip
        """One burst from its posts of the week, all posts of its own, and (burst, value, value of the week before)."""
        start = self.starts(week)
        created = self.history.posts["created"][own]
        earlier = own[(created < start) & (created >= start - BEFORE_DAYS * DAY)]
        region, tags, taste, size = self.told(posts if len(posts) else earlier)
        starts_at = datetime.fromtimestamp(start / SECOND, UTC)
        return Viral(
            artist_id=artist_id,
            kind=artist_id.partition(":")[0],  # type: ignore[arg-type]
            name=name,
            measured_by=by,
            region=region,
            tags=tags,
            starts_at=starts_at,
            ends_at=starts_at + timedelta(days=WEEK_DAYS),
            burst=round(float(numbers[0]), 2),
            value=round(float(numbers[1]), 3),
            before_value=round(float(numbers[2]), 3),
            creators=len(np.unique(self.creator[posts])),
            before=self.before(earlier),
            size=size,
            taste=taste,
            sounds=sounds,
        )


def _sound_bursts(view: _View) -> Iterator[Viral]:
    """Sounds, joined by their author where one is named, whose weekly creators burst."""
    history = view.history
    names, authors = history.trends["name"], history.trends["author"]
    used = np.unique(history.use_trend[view.sound_uses])
    groups: dict[str, list[int]] = {}
    for trend in used.tolist():
        author = authors[trend]
        key = f"artist:{author.strip()}" if author and author.strip() else str(history.trends["key"][trend])
        groups.setdefault(key, []).append(trend)
    own_uses = _grouped(history.use_trend[view.sound_uses], view.sound_uses)
    for key, trends in groups.items():
        uses = np.sort(np.concatenate([own_uses[trend] for trend in trends]))
        posts = np.unique(history.use_post[uses])
        pairs = np.unique(np.column_stack([view.week[posts], view.creator[posts]]), axis=0)
        weekly = np.bincount(pairs[:, 0], minlength=view.weeks).astype(float)
        found = _strongest(weekly)
        if found is None or weekly[found[0]] < LEAST_USERS:
            continue
        week, burst, earlier = found
        name = key.removeprefix("artist:") if key.startswith("artist:") else str(names[trends[0]])
        ids = tuple(str(history.trends["id"][t]) for t in trends[:10])
        here = posts[view.week[posts] == week]
        yield view.entry(key, name, "uses", week, here, posts, (burst, weekly[week], earlier), ids)


def _strongest(weekly: Floats) -> tuple[int, float, float] | None:
    """The week that lies furthest above all weeks before it: (week, σ, value of the week before); two must precede.

    A Poisson floor of half a use keeps weeks without uses from exploding.
    """
    weeks = np.arange(1, len(weekly) + 1)
    if len(weekly) < 3:
        return None
    sums, squares = np.cumsum(weekly), np.cumsum(weekly**2)
    mean = (sums / weeks)[:-1]
    variance = np.maximum((squares / weeks)[:-1] - mean**2, 0)
    sigma = (weekly[1:] - mean) / np.sqrt(variance + np.maximum(mean, 0.5))
    sigma[0] = -np.inf
    at = int(sigma.argmax())
    return (at + 1, float(sigma[at]), float(weekly[at])) if sigma[at] >= LEAST_BURST else None


def _lift_bursts(view: _View, lift: Floats) -> Iterator[Viral]:
    """Creators whose posts of one week lie far above their own baseline."""
    known = np.flatnonzero(~np.isnan(lift))
    if not len(known):
        return
    spread = float(np.std(lift[known])) or 1.0
    cell = view.creator[known] * view.weeks + view.week[known]
    count = np.bincount(cell, minlength=len(view.history.creators) * view.weeks)
    total = np.bincount(cell, lift[known], minlength=len(count))
    mean = total / np.maximum(count, 1)
    score = np.where(count >= LEAST_POSTS, mean * np.sqrt(count) / spread, -np.inf)
    score = score.reshape(-1, view.weeks)
    for creator in np.flatnonzero(score.max(axis=1, initial=-np.inf) >= LEAST_BURST):
        week = int(score[creator].argmax())
        at = creator * view.weeks + week
        earlier = float(mean[at - 1]) if week and count[at - 1] else 0.0
        yield _creator(view, int(creator), "lift", week, (float(score[creator, week]), float(mean[at]), earlier))


def _follower_bursts(view: _View, followers: dict[str, list[tuple[int, float]]]) -> Iterator[Viral]:
    """Creators whose weekly growth in followers lies far above that of everybody's."""
    ends = np.array([view.starts(week + 1) for week in range(view.weeks)])
    names = {str(name): row for row, name in enumerate(view.history.creators)}
    growth: dict[int, Floats] = {}
    for name, series in followers.items():
        if name in names:
            at = np.searchsorted([t for t, _ in series], ends, side="right") - 1
            level = np.where(at >= 0, np.log1p([series[max(i, 0)][1] for i in at]), np.nan)
            growth[names[name]] = np.diff(level, prepend=np.nan)
    every = np.concatenate(list(growth.values())) if growth else np.zeros(0)
    every = every[~np.isnan(every)]
    if len(every) < 2 * LEAST_POSTS or not every.std():
        return
    middle, spread = float(np.median(every)), float(every.std())
    for row, own in growth.items():
        if np.isnan(own).all():
            continue
        week = int(np.nanargmax(own))
        score = (float(own[week]) - middle) / spread
        if score >= LEAST_BURST:
            earlier = float(own[week - 1]) if week and not np.isnan(own[week - 1]) else 0.0
            yield _creator(view, row, "followers", week, (score, float(own[week]), earlier))


def _creator(view: _View, row: int, by: str, week: int, numbers: tuple[float, float, float]) -> Viral:
    own = np.flatnonzero(view.creator == row)
    name = str(view.history.creators[row])
    return view.entry(f"creator:{name}", name, by, week, own[view.week[own] == week], own, numbers)


def _grouped(group: Ints, values: Ints) -> dict[int, Ints]:
    """Group → its values, in their order."""
    order = np.argsort(group, kind="stable")
    keys, starts = np.unique(group[order], return_index=True)
    return dict(zip(keys.tolist(), np.split(values[order], starts[1:]), strict=True)) if len(keys) else {}


def _places(creator: Ints, trend: Ints) -> Ints:
    """How often each creator had used each trend before, shape (u,)."""
    seen: Counter[tuple[int, int]] = Counter()
    places = np.empty(len(creator), np.int64)
    for at, pair in enumerate(zip(creator.tolist(), trend.tolist(), strict=True)):
        places[at] = seen[pair]
        seen[pair] += 1
    return places


def _median(values: Floats) -> float | None:
    known = values[~np.isnan(values)]
    return round(float(np.median(known)), 3) if len(known) else None
