"""What became of given strategies: posts after them that use their items, beside the creator's own others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import numpy as np

from features.contract import split_trend_key
from features.events import Feedback
from features.evidence.differences import LEAST_DONE, LEAST_OTHERS, pooled
from features.evidence.lifts import Measure
from features.evidence.outcomes import (
    BASELINE_DAYS,
    FOLLOWED_DAYS,
    Compared,
    Followed,
    KindEffect,
    Plan,
    PlannedPlay,
    baseline,
    compare,
    effects_by_kind,
    first_of_days,
    followed,
)
from features.evidence.own_posts import METRICS, OwnPosts, own_posts
from features.history import micros
from serving.strategies.following.given import Given
from serving.strategies.schemas import FollowingPost, Outcome, OutcomeDifference, PlayOutcome, StillNeeded, Verdict

if TYPE_CHECKING:
    from features.lake import Lake

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
METHOD: Final = (
    "Posts after the strategy that use at least one of its items, against the creator's own posts that use none (the "
    "40 latest of the 90 days before it, and those beside it), all at the same age; difference of mean log(1 + count) "
    "with Welch's interval at 80 % (Biometrika 34, 1947), told as a share. What people chose to film is no "
    "experiment: better days and better ideas are in it, too."
)


def outcome_of(one: Given, posts: OwnPosts | None, as_of: datetime) -> tuple[Outcome, list[Feedback]]:
    """What became of a strategy, and the feedback that this is: one event for each day with a post that followed it.

    Args:
        posts: of its creator; None where none is known.
        as_of: how far the posts are known, UTC.
    """
    plan = plan_of(one)
    found = followed(plan, posts) if posts else []
    others = baseline(plan, posts) if posts else np.zeros(0, bool)
    compared = compare(posts, [f.post for f in found], others, METRICS) if posts else []
    ends_at = one.starts_at + timedelta(days=FOLLOWED_DAYS)
    outcome = Outcome(
        strategy_id=one.strategy_id,
        creator_id=one.creator_id,
        given_at=one.given_at,
        starts_at=one.starts_at,
        ends_at=ends_at,
        as_of=as_of,
        is_open=as_of < ends_at,
        verdict=_verdict(compared),
        needed=_needed(compared, len(found)),
        plays=tuple(_plays(one, found)),
        posts=tuple(_posts(one, found, posts)) if posts else (),
        own_posts=int(others.sum()),
        differences=tuple(_difference(each) for each in compared),
        method=METHOD,
    )
    events = [_event(one, first, posts) for first in first_of_days(found, posts.created).values()] if posts else []
    return outcome, events


def plan_of(one: Given) -> Plan:
    """A given strategy as posts are matched with it."""
    plays = tuple(PlannedPlay(frozenset(play.items), play.window) for play in one.plays)
    return Plan(micros(one.starts_at), plays)


def _verdict(compared: Sequence[Compared]) -> Verdict:
    """Of the first metric."""
    difference = compared[0].difference if compared else None
    if difference is None:
        return "not enough posts yet"
    if difference.lo > 0:
        return "more views than usual"
    return "fewer views than usual" if difference.hi < 0 else "no difference to be told"


def _needed(compared: Sequence[Compared], done: int) -> StillNeeded:
    """What is missing before a difference can be told, where so many posts followed."""
    views = compared[0] if compared else Compared(METRICS[0], None, 0, 0, None)
    counted = 0 if views.age_days is None else views.done
    posts = max(0, LEAST_DONE - counted)
    return StillNeeded(
        posts=posts, own_posts=max(0, LEAST_OTHERS - views.others), awaiting_counts=min(posts, done - counted)
    )


def _plays(one: Given, found: Sequence[Followed]) -> Iterator[PlayOutcome]:
    for place, play in enumerate(one.plays):
        followed_by = sum(each.play == place for each in found)
        yield PlayOutcome(
            play=place + 1,
            title=play.title,
            strategy=play.strategy,
            posts=followed_by,
            is_recognisable=bool(play.items),
        )


def _posts(one: Given, found: Sequence[Followed], posts: OwnPosts) -> Iterator[FollowingPost]:
    for each in found:
        yield FollowingPost(
            id=str(posts.ids[each.post]),
            posted_at=_instant(int(posts.created[each.post])),
            play=each.play + 1,
            strategy=one.plays[each.play].strategy,
            items=each.keys,
            in_window=each.in_window,
            used_before=each.used_before,
        )


def _difference(each: Compared) -> OutcomeDifference:
    told = each.difference
    return OutcomeDifference(
        metric="views" if each.metric == "view_count" else "likes",
        age_days=None if each.age_days is None else round(each.age_days, 3),
        posts=each.done,
        own_posts=each.others,
        difference=_share(told.mean) if told else None,
        lo80=_share(told.lo) if told else None,
        hi80=_share(told.hi) if told else None,
        visible=_share((told.hi - told.lo) / 2) if told else None,
    )


def _share(log_ratio: float) -> float:
    """A log ratio as a share: 0.08 is eight percent more."""
    return round(float(np.expm1(log_ratio)), 4)


def _instant(at: int) -> datetime:
    return _EPOCH + timedelta(microseconds=at)


def _event(one: Given, first: Followed, posts: OwnPosts) -> Feedback:
    """That a strategy was followed on a day: by the best item of the day's first post that did."""
    at = _instant(int(posts.created[first.post]))
    ranks = {item.key: item.rank for item in one.items}
    key = min(first.keys, key=lambda key: (ranks.get(key, len(ranks)), key))
    trend_type, trend_id = split_trend_key(key)
    return Feedback.model_validate(
        {
            "event_id": f"outcome:{one.strategy_id}:{at:%Y-%m-%d}",
            "kind": "feedback",
            "feedback": "outcome",
            "creator_id": one.creator_id,
            "recommendation_id": one.strategy_id,
            "trend_type": trend_type,
            "trend_id": trend_id,
            "rank": ranks.get(key),
            "occurred_at": at,
        }
    )


def read_posts(lake: Lake, strategies: Sequence[Given], until: datetime) -> dict[str, OwnPosts]:
    """The posts, as known by an instant, of whoever was given these strategies."""
    if not strategies:
        return {}
    since = min(one.starts_at for one in strategies) - timedelta(days=BASELINE_DAYS)
    connection = lake.connect()
    connection.execute("SET threads = 1")  # this can wait, and slates beside it cannot
    return own_posts(connection, {one.creator_id for one in strategies}, since, until)


def measured(strategies: Sequence[Given], posts: Mapping[str, OwnPosts]) -> dict[str, Measure]:
    """Id in the library → what plays of this kind were worth to those who followed them, in log views.

    A kind that too few creators followed has no lift, see `features.evidence.differences.pooled`.

    Args:
        posts: creator → theirs, as `read_posts` gives them.
    """
    told: dict[str, list[tuple[Plan, list[str]]]] = {}
    for one in strategies:
        told.setdefault(one.creator_id, []).append((plan_of(one), [play.strategy for play in one.plays]))
    found: dict[str, list[KindEffect]] = {}
    for creator_id, plans in sorted(told.items()):
        if creator_id in posts:
            for effect in effects_by_kind(plans, posts[creator_id], METRICS[0]):
                found.setdefault(effect.kind, []).append(effect)
    return {kind: _measure(kind, each) for kind, each in sorted(found.items())}


def _measure(kind: str, each: Sequence[KindEffect]) -> Measure:
    sizes = sum(one.done for one in each), sum(one.others for one in each), len(each)
    difference = pooled([one.effect for one in each])
    if difference is None:
        return Measure(kind, *sizes)
    return Measure(kind, *sizes, *(round(number, 4) for number in (difference.mean, difference.lo, difference.hi)))
