"""From applicable strategies to the plays of a plan: which ones, with which items, when, and what they should reach."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from serving.strategies.library import NO_EVIDENCE, LibraryStrategy
from serving.strategies.schemas import Play, RankedItem, Target
from serving.strategies.writing.material import Material, value
from serving.strategies.writing.phrases import called, cite, clock, filled, named, offset

PLAYS: Final = 4
LEAST_PLAYS: Final = 3
MOST_TAGS: Final = 2
KIN: Final[Mapping[str, str]] = {
    "sound_opened_by_others": "early sound",
    "sound_opened_by_smaller": "early sound",
    "sound_first_days": "early sound",
    "sound_rising": "early sound",
    "sound_series": "series",
    "tag_series": "series",
    "hours_own_best": "hours",
    "hours_usual": "hours",
    "days_weekend": "rhythm",
    "days_weekday": "rhythm",
    "pace_within_two_days": "rhythm",
    "pace_after_a_rest": "rhythm",
    "pace_same_day": "rhythm",
    "length_short": "length",
    "length_long": "length",
    "tags_niche": "choice of tags",
    "tags_generic": "choice of tags",
    "tags_many": "choice of tags",
    "tags_few": "choice of tags",
    "tags_rising": "choice of tags",
    "tag_challenge": "movement",
    "tag_dance": "movement",
    "tag_duet": "answer",
    "tag_stitch": "answer",
}
"""Evidence query → what plays of it have in common; a plan holds one of a kin, so that no idea is told twice."""

PREFERRED_STAGES: Final[Mapping[str, tuple[str, ...]]] = {
    "catalogue-revival": ("evergreen",),
    "rising-sound-ride": ("rising", "emerging"),
    "rising-tag-ride": ("rising", "emerging"),
    "first-mover": ("emerging",),
}
PREFERRED_TITLES: Final[Mapping[str, re.Pattern[str]]] = {
    "sped-up-release": re.compile(r"sped|speed|slowed|reverb|remix|nightcore|mashup|version", re.I),
    "live-to-clip": re.compile(r"\blive\b|acoustic|unplugged|session", re.I),
}
LEAST_PROVEN: Final = 0.0005
"""An interval that ends nearer to 0 is told as one that ends there."""

METRICS: Final = ("view_count", "like_count", "comment_count")
"""What a post is judged by, the first that is known."""


def plays_of(material: Material) -> tuple[Play, ...]:
    """The plays of a plan, best first."""
    taken: dict[str, int] = {}
    return tuple(_play(material, strategy, place, taken) for place, strategy in enumerate(_chosen(material)))


def _chosen(material: Material) -> list[LibraryStrategy]:
    """The best applicable strategies, one of a kin."""
    kin: set[str] = set()
    chosen: list[LibraryStrategy] = []
    left: list[LibraryStrategy] = []
    for name in material.evidence.strategies:
        strategy = material.strategy(name)
        own = strategy.id if strategy.evidence == NO_EVIDENCE else KIN.get(strategy.evidence, strategy.evidence)
        (left if own in kin else chosen).append(strategy)
        kin.add(own)
    return (chosen + left)[:PLAYS] if len(chosen) < LEAST_PLAYS else chosen[:PLAYS]


def _take(material: Material, kind: str, strategy: LibraryStrategy, taken: dict[str, int]) -> RankedItem | None:
    """The least used item of a kind: of the stage and title that the strategy wants, then by rank."""
    stages, titles = PREFERRED_STAGES.get(strategy.id, ()), PREFERRED_TITLES.get(strategy.id)
    items = [item for item in material.evidence.items if item.kind == kind]

    def order(item: RankedItem) -> tuple[bool, int, bool, int]:
        is_titled = titles is None or kind != "sound" or titles.search(item.title) is not None
        return bool(stages) and item.stage not in stages, taken.get(item.id, 0), not is_titled, item.rank

    best = min(items, key=order, default=None)
    if best is not None:
        taken[best.id] = taken.get(best.id, 0) + 1
    return best


def _tags(material: Material, strategy: LibraryStrategy, taken: dict[str, int]) -> list[RankedItem]:
    """Up to `MOST_TAGS` different hashtags for a play."""
    if "hashtag" not in strategy.uses:
        return []
    found = [_take(material, "hashtag", strategy, taken) for _ in range(MOST_TAGS)]
    return list({tag.id: tag for tag in found if tag is not None}.values())


def _play(material: Material, strategy: LibraryStrategy, place: int, taken: dict[str, int]) -> Play:
    voice = material.voice
    sound = _take(material, "sound", strategy, taken) if "sound" in strategy.uses else None
    tags = _tags(material, strategy, taken)
    items = [*([sound] if sound else []), *tags]
    own = {"sound": voice.say("own_song"), "tag": voice.say("own_tag")}
    words = {**own, **({"sound": named(sound)} if sound else {}), **({"tag": named(tags[0])} if tags else {})}
    seen = {"sound": called(sound) if sound else own["sound"], "tag": " ".join(map(called, tags))}
    target, target_facts = _target(material, strategy, items)
    window, window_facts = _window(material, place)
    worth, worth_facts = _worth(material, strategy, place)
    return Play(
        title=strategy.name,
        strategy=strategy.id,
        hook=filled(voice.pick(strategy.hooks, strategy.id, "hook"), seen),
        format=strategy.format,
        sound=sound.id if sound else None,
        hashtags=tuple(tag.id for tag in tags),
        caption=filled(voice.pick(strategy.captions, strategy.id, "caption"), seen).strip(),
        window=window,
        steps=(*(filled(step, words) for step in strategy.steps), worth),
        target=target,
        effort=strategy.effort,
        items=tuple(item.id for item in items),
        facts=tuple(dict.fromkeys((*worth_facts, *window_facts, *target_facts))),
    )


def _target(
    material: Material, strategy: LibraryStrategy, items: Sequence[RankedItem]
) -> tuple[Target | None, tuple[str, ...]]:
    """What the post should reach, by what is known best: an item's forecast, the strategy's lift, the creator's own
    usual posts, what others get, or else how often to post."""
    subjects = [*(item.key for item in items), f"strategy:{strategy.id}", "creator"]
    names = [f"{metric}_{what}" for metric in METRICS for what in ("target", "usual", "market")]
    wanted = [(subject, name) for subject in subjects for name in names] + [("creator", "posts_plan")]
    found = next((spread for subject, name in wanted if (spread := material.spread(subject, name))), None)
    if found is None:
        return None, ()
    fact, lo, hi = found
    voice = material.voice
    kpi = voice.say("kpi_posts" if fact.name == "posts_plan" else f"kpi_{fact.name.rpartition('_')[0]}")
    if len(strategy.kpis) > 1:
        kpi = voice.say("kpi_watch", kpi=kpi, other=strategy.kpis[1])
    return Target(kpi=kpi, lo=lo, hi=hi, unit=fact.unit, fact=fact.id), (fact.id,)


def _window(material: Material, place: int) -> tuple[str, tuple[str, ...]]:
    """When to post: the creator's windows in turn."""
    voice, windows = material.voice, [n for n in (1, 2) if material.fact("creator", f"window_{n}_start") is not None]
    if not windows:
        return voice.vary("no_window", place), ()
    chosen = windows[place % len(windows)]
    start, end, share = (material.fact("creator", f"window_{chosen}_{part}") for part in ("start", "end", "share"))
    assert start is not None and end is not None and share is not None
    away = material.evidence.utc_offset_hours
    zone = f"{voice.say('zone_own')} ({offset(away)})" if away else voice.say("zone_utc")
    told = {"zone": zone, "share": voice.percent(value(share))}
    told |= {"start": clock(value(start)), "end": clock(value(end)), "cite": cite(start, end)}
    text = voice.vary("window", place // len(windows), cite_share=cite(share), **told)
    return text, (start.id, end.id, share.id)


def _worth(material: Material, strategy: LibraryStrategy, place: int) -> tuple[str, tuple[str, ...]]:
    """What the strategy was worth on the lake, or that nobody knows."""
    voice, found = material.voice, material.spread(f"strategy:{strategy.id}", "lift")
    if found is None:
        return voice.vary("untested", place), ()
    fact, lo, hi = found
    words = {"share": voice.percent(abs(value(fact))), "lo": voice.percent(lo), "hi": voice.percent(hi)}
    words |= {"posts": voice.number(fact.sample or 0), "cite": cite(fact)}
    is_proven = lo >= LEAST_PROVEN or hi <= -LEAST_PROVEN
    known, way = "measured" if is_proven else "unproven", "up" if value(fact) >= 0 else "down"
    return voice.vary(f"{known}_{way}", place, **words), (fact.id,)
