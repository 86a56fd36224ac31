"""From a slate, a creator and the published libraries to everything that a written strategy may say."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final

import numpy as np

from features.evidence.lifts import Habit
from models.creator import Creator
from serving.strategies.published import Baseline, PublishedLibrary
from serving.strategies.ranking import Near, RankedStrategy
from serving.strategies.schemas import Evidence, Fact, RankedItem, StrategyRequest, Unit
from serving.strategies.untrusted import cleaned, is_suspect
from serving.strategies.writing.clocks import offset_of

LONGEST_TITLE: Final = 120
WINDOW_HOURS: Final = 3
LEAST_CREATORS: Final = 20
"""With fewer creators of known counts nothing is said of what is typical."""
LEAST_POSTS_PLANNED: Final = 4
LEAST_WINDOW_SHARE: Final = 0.15
"""A second posting window holds at least this share of the creator's posts."""
LEAST_POSTS_FOR_WINDOWS: Final = 5
MOST_GROWTH: Final = 1.0
"""A forecast of more than a doubling moves nobody's target any further."""
FORECAST_DAYS: Final = "7"
MOST_ITEMS: Final = 12
LEAST_OF_KIND: Final = 5
MOST_STRATEGIES: Final = 8
MOST_ARTISTS: Final = 2
MOST_HABITS: Final = 4
CREATOR: Final = "creator"
_BROAD: Final = re.compile(
    r"f+y+p|fy(?:$|[^a-z])|for+y?o+u|foru|foryo?ur?p|v[ia]+ral|trend|xyz|abcxyz|xy?bca|para?ti$|explor|pourtoi|perte$|nerp?erte"
    r"|f[uü]rdich|keşfet|kesfet|tiktok|tik_?tok|xh+(?:$|tik)|xu?h[uư][oơớ]?ng|th[iị]nhh[aà]nh|follow|likes?$|share$|love$|fun$"
    r"|video$|capcut$|douyin|рек(?:$|омендац)|вреки|хочуврек|おすすめ|추천|热门|推荐|اكسبلور|\d+$|.$"
)
"""Tags by which people hope to be shown, not to be found."""
_HANDLE: Final = re.compile(r"[\w.]{2,40}")
_NAME: Final = re.compile(r"[A-Z][a-z'’]{1,20}(?: [A-Z][a-z'’]{1,20}){0,3}")
_READ_OTHERWISE: Final = re.compile(
    r"\b(?:midnight|noon|half|double|triple|twice|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|dozen"
    r"|hundred|thousand|million|january|february|march|april|may|june|july|august|september|october|november|december"
    r"|\w*days?|weeks?|hours?)\b",
    re.IGNORECASE,
)
"""Words of a name that a reader, or the check, could take for a time or a number."""
_SENSITIVE: Final = re.compile(r"^rip$|restinpeace|death|suicid|murder|^war$|trump|biden|election|^vote|covid|corona")

METRIC_NAMES: Final = {"view_count": "views", "like_count": "likes", "comment_count": "comments"}
_ITEM_FACTS: Final[tuple[tuple[str, str, Unit, str], ...]] = (
    ("uses_7d", "uses_7d", "count", "posts of the lake with it, 7 days"),
    ("creators_7d", "creators_7d", "count", "creators of the lake who used it, 7 days"),
    ("adopters_7d", "adopters_7d", "count", "creators of the lake who used it for the first time, 7 days"),
    ("burst", "burst", "sigma", "latest smoothed daily uses above their 28-day mean"),
)


def clean_title(text: str) -> str:
    """Untrusted text as one line of at most 120 characters, without control or format characters; never empty."""
    return cleaned(text, LONGEST_TITLE) or "untitled"


def items_of(slate: Mapping[str, Any], cleared: Mapping[str, bool], is_business: bool) -> tuple[RankedItem, ...]:
    """The slate's items, cited as T1, T2 …; without what a source says a business account may not use."""
    found: list[RankedItem] = []
    told = [item for item in slate["items"] if not is_unfit(item)]
    for item in _mixed(told or slate["items"]):
        known = cleared.get(item["id"]) if item["kind"] == "sound" else True
        if is_business and known is False:
            continue
        found.append(
            RankedItem(
                id=f"T{len(found) + 1}",
                kind=item["kind"],
                key=f"{item['kind']}:{item['id']}",
                title=clean_title(item["title"]),
                author=clean_title(item["author"]) if item["author"] else None,
                rank=item["rank"],
                stage=item["stage"],
                cleared_for_business=known,
            )
        )
    return tuple(found)


def is_unfit(item: Mapping[str, Any]) -> bool:
    """Whether a hashtag is no base of a plan: a spelling of what everybody uses, or somebody's grief or election."""
    tag = item["id"].casefold()
    return item["kind"] == "hashtag" and bool(_BROAD.match(tag) or _SENSITIVE.search(tag))


def _mixed(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The best rows, with at least `LEAST_OF_KIND` of each kind where there are so many; in their order."""
    few = {r["rank"] for kind in ("sound", "hashtag") for r in [r for r in rows if r["kind"] == kind][:LEAST_OF_KIND]}
    more = [r["rank"] for r in rows if r["rank"] not in few][: max(0, MOST_ITEMS - len(few))]
    return [r for r in rows if r["rank"] in few or r["rank"] in more]


def gather(
    slate: Mapping[str, Any],
    items: Sequence[RankedItem],
    creator: Creator,
    published: PublishedLibrary,
    strategies: Sequence[RankedStrategy],
    artists: Sequence[Near],
    request: StrategyRequest,
) -> Evidence:
    """All facts of one strategy, rounded as they may be told: counts to three digits, shares to a tenth of a percent.

    Args:
        slate: as `schemas.Slate`, in the form that JSON has.
        items: of that slate, see `items_of`.
        creator: whose slate it is.
        published: the libraries.
        strategies: applicable, best first.
        artists: nearest first.
        request: what was asked.
    """
    as_of, region = slate["as_of"], request.region or creator.region
    offset = request.utc_offset_hours
    offset = offset_of(region, as_of) if offset is None else offset
    book = _Book(as_of)
    _tell_creator(book, creator, published)
    _tell_windows(book, creator, offset)
    for habit in weak_habits(published.habits.get(creator.creator_id, ())):
        _tell_lift(book, CREATOR, f"habit:{habit.name}", habit.posts, (habit.lift, habit.lo, habit.hi), published.as_of)
    rows = {f"{row['kind']}:{row['id']}": row for row in slate["items"]}
    for item in items:
        _tell_item(book, item, rows[item.key])
    for ranked in strategies[:MOST_STRATEGIES]:
        measure = ranked.measure
        if measure is not None and measure.lift is not None and measure.lo is not None and measure.hi is not None:
            subject, numbers = f"strategy:{ranked.strategy.id}", (measure.lift, measure.lo, measure.hi)
            _tell_lift(book, subject, "lift", measure.posts, numbers, published.as_of)
            lo, middle, hi = (math.expm1(numbers[at]) for at in (1, 0, 2))
            _tell_target(book, subject, middle, (lo, hi), "strategy's measured lift, 80 % interval")
    for near in [near for near in artists if is_namable(near)][:MOST_ARTISTS]:
        _tell_artist(book, near, published.as_of)
    return Evidence(
        creator_id=creator.creator_id,
        region=region or None,
        as_of=as_of,
        utc_offset_hours=offset,
        is_business=request.is_business,
        items=tuple(items),
        facts=tuple(book.facts),
        strategies=tuple(ranked.strategy.id for ranked in strategies[:MOST_STRATEGIES]),
    )


class _Book:
    """Facts in the order they are written down, numbered from E1."""

    def __init__(self, as_of: datetime) -> None:
        self.as_of = as_of
        self.facts: list[Fact] = []

    def tell(
        self, subject: str, name: str, value: float | date, unit: Unit, source: str,
        interval: tuple[float, float] | None = None, sample: int | None = None, as_of: datetime | None = None,
    ) -> None:  # fmt: skip
        """Write a fact down."""
        lo, hi = interval or (None, None)
        self.facts.append(
            Fact(
                id=f"E{len(self.facts) + 1}",
                subject=subject,
                name=name,
                value=value,
                unit=unit,
                sample=sample,
                lo=lo,
                hi=hi,
                as_of=as_of or self.as_of,
                source=source,
            )
        )


def three_digits(value: float) -> float:
    """Rounded to three significant digits; whole from a hundred on."""
    if value == 0 or not math.isfinite(value):
        return 0.0
    return float(round(value, 2 - math.floor(math.log10(abs(value)))))


def _share(value: float) -> float:
    return round(value, 3) + 0.0  # and never -0.0


def _tell_creator(book: _Book, creator: Creator, published: PublishedLibrary) -> None:
    baseline = published.baselines.get(creator.creator_id)
    if baseline is not None:
        told = f"{METRIC_NAMES[baseline.metric]} of the creator's trailing posts: median, 10th and 90th percentile"
        _tell_usual(book, f"{baseline.metric}_usual", baseline, told, published.as_of)
    elif (others := typical(published)) is not None:
        told = (
            f"{METRIC_NAMES[others.metric]} of a post, by creator: median, 10th and 90th percentile over the creators"
        )
        _tell_usual(book, f"{others.metric}_market", others, told, published.as_of)
    counts = (("followers", math.expm1(creator.column("followers"))), ("posts_28d", creator.column("posts_28d")))
    for name, value in counts:
        if not math.isnan(value) and value >= 1:
            book.tell(CREATOR, name, three_digits(value), "count", f"the creator's {name.replace('_', ' ')}")
    engagement = creator.column("median_engagement")
    if not math.isnan(engagement):
        source = "likes, comments and shares per view, median of the trailing posts"
        book.tell(CREATOR, "median_engagement", _share(engagement), "share", source)
    rest = creator.column("days_since_post")
    if not math.isnan(rest) and rest >= 3:
        book.tell(CREATOR, "days_since_post", float(round(rest)), "days", "time since the creator's latest post")
    if baseline is None and not published.baselines:
        _tell_rhythm(book, creator)


def _tell_usual(book: _Book, name: str, usual: Baseline, source: str, as_of: datetime) -> None:
    interval = three_digits(usual.lo), three_digits(usual.hi)
    book.tell(CREATOR, name, three_digits(usual.middle), "count", source, interval, usual.posts, as_of)


def typical(published: PublishedLibrary) -> Baseline | None:
    """What creators of the market typically get: percentiles over their medians; None where too few are known."""
    metrics = Counter(one.metric for one in published.baselines.values())
    if not metrics or max(metrics.values()) < LEAST_CREATORS:
        return None
    metric = max(metrics, key=lambda name: metrics[name])
    known = [one for one in published.baselines.values() if one.metric == metric]
    lo, middle, hi = np.quantile([one.middle for one in known], [0.1, 0.5, 0.9]).tolist()
    return Baseline(sum(one.posts for one in known), lo, middle, hi, metric)


def _tell_rhythm(book: _Book, creator: Creator) -> None:
    """Where nobody's counts are known: as many posts as in the last two weeks, up to twice as many."""
    posts = creator.column("posts_28d")
    usual = max(LEAST_POSTS_PLANNED, round(posts / 2)) if not math.isnan(posts) else LEAST_POSTS_PLANNED
    source = (
        "posts in 14 days: half of those of the latest 28 days, at least one for each play, up to half as many again"
    )
    book.tell(CREATOR, "posts_plan", float(usual), "count", source, (float(usual), float(math.ceil(1.5 * usual))))


def posting_windows(creator: Creator) -> list[tuple[int, float]]:
    """Up to two windows of `WINDOW_HOURS` in which the creator posts most: (start hour UTC, share of the posts)."""
    if not creator.known or not creator.column("posts_known") >= LEAST_POSTS_FOR_WINDOWS:
        return []
    profile = creator.hour_profile
    shares = np.sum([np.roll(profile, -step) for step in range(WINDOW_HOURS)], axis=0)
    first = int(np.argmax(shares))
    found = [(first, float(shares[first]))]
    apart = np.abs((np.arange(24) - first + 12) % 24 - 12) >= WINDOW_HOURS
    second = int(np.argmax(np.where(apart, shares, -1.0)))
    if shares[second] >= LEAST_WINDOW_SHARE:
        found.append((second, float(shares[second])))
    return found


def _tell_windows(book: _Book, creator: Creator, offset: float) -> None:
    for number, (start, share) in enumerate(posting_windows(creator), 1):
        source = "hours of the creator's own posts, in the creator's time"
        posts = int(creator.column("posts_known"))
        book.tell(CREATOR, f"window_{number}_start", (start + offset) % 24, "hour of day", source, sample=posts)
        book.tell(CREATOR, f"window_{number}_end", (start + WINDOW_HOURS + offset) % 24, "hour of day", source)
        told = "share of the creator's posts in that window"
        book.tell(CREATOR, f"window_{number}_share", _share(share), "share", told, sample=posts)


def weak_habits(habits: Iterable[Habit]) -> list[Habit]:
    """The habits that cost a creator views, with an interval that leaves out none, worst first."""
    return [habit for habit in habits if habit.hi < 0][:MOST_HABITS]


def _tell_lift(
    book: _Book, subject: str, name: str, posts: int, lift: tuple[float, float, float], as_of: datetime
) -> None:
    value, lo, hi = (_share(math.expm1(part)) for part in lift)
    source = "views above the creators' own baseline: posts that did it against posts that did not, 80 % interval"
    book.tell(subject, name, value, "share", source, (lo, hi), posts, as_of)


def _tell_item(book: _Book, item: RankedItem, row: Mapping[str, Any]) -> None:
    known = {entry["name"]: entry["value"] for entry in row["evidence"]}
    for name, told, unit, source in _ITEM_FACTS:
        value = known.get(name)
        if value is not None and (unit != "sigma" or value >= 1):
            book.tell(item.key, told, three_digits(value) if unit == "count" else round(value, 1), unit, source)
    growth = (row["forecast"] or {}).get(FORECAST_DAYS)
    if growth is None:
        return
    interval = _share(growth["lo80"]), _share(growth["hi80"])
    source = "forecast of the public count 7 days ahead, 80 % interval"
    book.tell(item.key, "growth_7d", _share(growth["growth"]), "share", source, interval)
    source = "forecast of the public count, 80 % interval"
    _tell_target(book, item.key, growth["growth"], (growth["lo80"], growth["hi80"]), source)


def _tell_target(book: _Book, subject: str, moved: float, between: tuple[float, float], source: str) -> None:
    """The creator's usual post, moved by a forecast or by what a strategy was worth."""
    usual = next((fact for fact in book.facts if fact.name.endswith("_usual")), None)
    if usual is None or usual.hi is None or not isinstance(usual.value, float):
        return
    lo, middle, hi = (min(share, MOST_GROWTH) for share in (between[0], moved, between[1]))
    told = f"the creator's median and 90th percentile, moved by the {source}"
    interval = three_digits(usual.value * (1 + lo)), three_digits(usual.hi * (1 + hi))
    name = usual.name.replace("_usual", "_target")
    book.tell(subject, name, three_digits(usual.value * (1 + middle)), "count", told, interval)


def is_namable(near: Near) -> bool:
    """Whether a plan may name them: a creator by their handle, or an artist whose name can be read as nothing else."""
    kind, name = near.artist.kind, near.artist.name
    if kind == "sound" or is_suspect(name) or _READ_OTHERWISE.search(name):
        return False
    return bool((_HANDLE if kind == "creator" else _NAME).fullmatch(name))


def _tell_artist(book: _Book, near: Near, as_of: datetime) -> None:
    artist = near.artist
    subject = f"artist:{artist.name}"
    source = "library of viral artists: the week of the burst"
    book.tell(subject, "burst_week", artist.starts_at.date(), "date", source, as_of=as_of)
    book.tell(subject, "burst", round(artist.burst, 1), "sigma", source, as_of=as_of)
    if artist.before.posts:
        told = "posts a day in the two weeks before"
        value = round(artist.before.posts_per_day, 1)
        if value:
            book.tell(subject, "posts_per_day_before", value, "ratio", told, sample=artist.before.posts, as_of=as_of)
