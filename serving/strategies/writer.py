"""The deterministic writer: evidence and library become a written strategy, the same each time, with no model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from serving.strategies import phrases
from serving.strategies.library import LibraryStrategy
from serving.strategies.phrases import cite, clock, named, number, percent, pick
from serving.strategies.schemas import Check, Day, Evidence, Fact, Play, RankedItem, Strategy, Target

PLAYS: Final = 4
LEAST_PLAYS: Final = 3
CALENDAR_DAYS: Final = 14
MOST_TAGS: Final = 2
MOST_OF_FAMILY: Final = 1
"""Plays of one family of evidence (hours, pace, length …) in a plan; ways of using sounds and tags count alone."""
UNCHECKED: Final = Check(claims=0, faults=())
PREFERRED_STAGES: Final[Mapping[str, tuple[str, ...]]] = {
    "catalogue-revival": ("evergreen",),
    "rising-sound-ride": ("rising", "emerging"),
    "rising-tag-ride": ("rising", "emerging"),
    "first-mover": ("emerging",),
}
OWN_SONG: Final = "one of your own songs"
OWN_TAG: Final = "your niche's own hashtag"


@dataclass(frozen=True)
class DeterministicWriter:
    """Writes without a model, always the same for the same evidence.

    Attributes:
        library: the strategies by id.
    """

    library: Mapping[str, LibraryStrategy]

    def write(self, evidence: Evidence) -> Strategy:
        """The strategy for this evidence, not checked yet."""
        return write_strategy(evidence, self.library, strategy_id_of(evidence))


@dataclass(frozen=True)
class _Material:
    """The evidence, indexed."""

    evidence: Evidence
    library: Mapping[str, LibraryStrategy]

    def fact(self, subject: str, name: str) -> Fact | None:
        """One fact, None where it is not known."""
        return next((f for f in self.evidence.facts if f.subject == subject and f.name == name), None)

    @property
    def seed(self) -> str:
        """What variation follows from."""
        return self.evidence.creator_id


def write_strategy(
    evidence: Evidence, library: Mapping[str, LibraryStrategy], strategy_id: str, check: Check = UNCHECKED
) -> Strategy:
    """The plan that the evidence supports; English, whatever the locale asked for, and it says so.

    Args:
        evidence: with at least one applicable strategy.
        library: where those strategies are described.
        strategy_id: of the answer.
        check: what the grounding check found, where it is known already.
    """
    material = _Material(evidence, library)
    plays = _plays(material)
    used = _cited(plays)
    why_now, why_facts = _why_now(material)
    stop, stop_facts = _stop(material)
    summary, summary_facts = _summary(material, plays)
    used |= why_facts | stop_facts | summary_facts
    return Strategy(
        strategy_id=strategy_id,
        creator_id=evidence.creator_id,
        locale="en",
        writer="deterministic",
        check=check,
        as_of=evidence.as_of,
        summary=summary,
        why_now=why_now,
        plays=plays,
        calendar=tuple(_calendar(material, plays)),
        risks=_risks(material, plays),
        stop=stop,
        sources=tuple(fact for fact in evidence.facts if fact.id in used),
    )


def strategy_id_of(evidence: Evidence) -> str:
    """An id that the same evidence always gets."""
    return hashlib.sha256(evidence.model_dump_json().encode()).hexdigest()[:20]


def _chosen(material: _Material) -> list[LibraryStrategy]:
    """The best applicable strategies, few of one family, so that the plan is not one idea told four times."""
    families: dict[str, int] = {}
    chosen, left = [], []
    for name in material.evidence.strategies:
        strategy = material.library[name]
        family = strategy.evidence.partition("_")[0]
        family = strategy.evidence if family in ("sound", "tag", "tags") else family
        if families.get(family, 0) < MOST_OF_FAMILY or strategy.evidence == "none":
            families[family] = families.get(family, 0) + 1
            chosen.append(strategy)
        else:
            left.append(strategy)
    return (chosen + left)[:PLAYS] if len(chosen) < LEAST_PLAYS else chosen[:PLAYS]


def _plays(material: _Material) -> tuple[Play, ...]:
    taken: dict[str, int] = {}
    return tuple(_play(material, s, place, taken) for place, s in enumerate(_chosen(material)))


def _take(material: _Material, kind: str, strategy: LibraryStrategy, taken: dict[str, int]) -> RankedItem | None:
    """The least used item of a kind: of the stage that the strategy wants, then by rank."""
    wanted = PREFERRED_STAGES.get(strategy.id, ())
    items = [i for i in material.evidence.items if i.kind == kind]
    if not items:
        return None
    best = min(items, key=lambda i: (bool(wanted) and i.stage not in wanted, taken.get(i.id, 0), i.rank))
    taken[best.id] = taken.get(best.id, 0) + 1
    return best


def _tags(material: _Material, strategy: LibraryStrategy, taken: dict[str, int]) -> list[RankedItem]:
    """Up to `MOST_TAGS` different hashtags for a play."""
    if "hashtag" not in strategy.uses:
        return []
    found = [_take(material, "hashtag", strategy, taken) for _ in range(MOST_TAGS)]
    return list({tag.id: tag for tag in found if tag is not None}.values())


def _play(material: _Material, strategy: LibraryStrategy, place: int, taken: dict[str, int]) -> Play:
    sound = _take(material, "sound", strategy, taken) if "sound" in strategy.uses else None
    tags = _tags(material, strategy, taken)
    words = {
        "sound": named(sound) if sound else OWN_SONG,
        "tag": named(tags[0]) if tags else OWN_TAG,
        "creator": "you",
    }
    bare = {"sound": f"“{sound.title}”" if sound else OWN_SONG, "creator": "you"}
    bare["tag"] = " ".join(f"#{tag.title.lstrip('#')}" for tag in tags)
    target = _target(material, [*([sound] if sound else []), *tags])
    window, window_facts = _window(material, place)
    measured, lift_facts = _measured(material, strategy)
    steps = (*(_filled(step, words) for step in strategy.steps), measured)
    item_ids = tuple(item.id for item in (*([sound] if sound else []), *tags))
    facts = [*lift_facts, *window_facts, *([target.fact] if target else [])]
    return Play(
        title=strategy.name,
        strategy=strategy.id,
        hook=_filled(pick(strategy.hooks, material.seed, strategy.id, "hook"), words),
        format=strategy.format,
        sound=sound.id if sound else None,
        hashtags=tuple(tag.id for tag in tags),
        caption=_filled(pick(strategy.captions, material.seed, strategy.id, "caption"), bare).strip(),
        window=window,
        steps=steps,
        target=target,
        effort=strategy.effort,
        items=item_ids,
        facts=tuple(dict.fromkeys(facts)),
    )


def _filled(template: str, words: Mapping[str, str]) -> str:
    """A template with its placeholders replaced; what replaces them is never read as a template."""
    text = template
    marks = {f"{{{name}}}": value for name, value in words.items()}
    parts: list[str] = [text]
    for mark, value in marks.items():
        parts = [piece for part in parts for piece in _split(part, mark, value)]
    filled = "".join(part.removeprefix("\0") for part in parts)
    return filled[:1].upper() + filled[1:]


def _split(part: str, mark: str, value: str) -> list[str]:
    """A part around a mark; what was put in is marked by a NUL, and left alone from then on."""
    if part.startswith("\0") or mark not in part:
        return [part]
    pieces = part.split(mark)
    found = [pieces[0]]
    for piece in pieces[1:]:
        found += [f"\0{value}", piece]
    return found


def _target(material: _Material, items: Sequence[RankedItem]) -> Target | None:
    """Views: by the forecast of an item of the play where there is one, else the creator's own usual range."""
    facts = [material.fact(item.key, "views_target") for item in items]
    facts += [material.fact("creator", "views_post")]
    facts += [material.fact(item.key, "growth_7d") for item in items]
    fact = next((f for f in facts if f is not None and f.lo is not None and f.hi is not None), None)
    if fact is None or fact.lo is None or fact.hi is None:
        return None
    kpi = "growth of the trend's public count in a week" if fact.name == "growth_7d" else "views of the post"
    return Target(kpi=kpi, lo=fact.lo, hi=fact.hi, unit=fact.unit, fact=fact.id)


def _window(material: _Material, place: int) -> tuple[str, list[str]]:
    """When to post: the creator's windows in turn."""
    windows = [n for n in (1, 2) if material.fact("creator", f"window_{n}_start") is not None]
    if not windows:
        return phrases.NO_WINDOW, []
    chosen = windows[place % len(windows)]
    start, end, share = (material.fact("creator", f"window_{chosen}_{part}") for part in ("start", "end", "share"))
    assert start is not None and end is not None and share is not None
    zone = "your time" if material.evidence.utc_offset_hours else "UTC"
    told = f"{clock(_value(start))} to {clock(_value(end))} {zone} {cite(start, end)}"
    text = f"{told}, when you post {percent(_value(share))} of your videos {cite(share)}"
    return text, [start.id, end.id, share.id]


def _measured(material: _Material, strategy: LibraryStrategy) -> tuple[str, list[str]]:
    fact = material.fact(f"strategy:{strategy.id}", "lift")
    if fact is None or fact.lo is None or fact.hi is None:
        return phrases.NO_DATA, []
    value = _value(fact)
    more = "more" if value >= 0 else "fewer"
    over = f" over {number(fact.sample)} posts" if fact.sample else ""
    text = (
        f"What it was worth so far: {percent(abs(value))} {more} views than posts without it, "
        f"between {percent(fact.lo)} and {percent(fact.hi)}{over} {cite(fact)}."
    )
    return text, [fact.id]


def _summary(material: _Material, plays: Sequence[Play]) -> tuple[str, set[str]]:
    titles = phrases.joined([f"«{play.title}»" for play in plays])
    openings = (
        f"The plan for the days ahead: {titles}.",
        f"A few clear ideas, one after the other: {titles}.",
        f"What to film next: {titles}.",
    )
    text, used = [pick(openings, material.seed, "summary")], set()
    best = next((play for play in plays if play.effort == "low"), plays[0])
    text.append(f"Start with «{best.title}»: it costs the least and tells you soonest.")
    views = material.fact("creator", "views_post")
    if views is not None and views.lo is not None and views.hi is not None:
        between = f"{number(views.lo)} and {number(views.hi)}"
        text.append(
            f"Your recent posts get {number(_value(views))} views in the middle, and mostly between {between} "
            f"{cite(views)}; a play has worked when it beats that middle."
        )
        used.add(views.id)
    else:
        text.append("Nothing is known of your own views yet, so compare each play with your usual posts yourself.")
    return " ".join(text), used


def _why_now(material: _Material) -> tuple[str, set[str]]:
    sentences, used = [], set()
    for item in material.evidence.items[:3]:
        words = phrases.STAGE_WORDS.get(item.stage, ("{item} is on your list",))
        sentence = _filled(pick(words, material.seed, item.key), {"item": named(item)})
        told, facts = _item_numbers(material, item)
        sentences.append(f"{sentence}{told}.")
        used |= facts
    for subject in dict.fromkeys(f.subject for f in material.evidence.facts if f.subject.startswith("artist:")):
        week, burst = material.fact(subject, "burst_week"), material.fact(subject, "burst")
        if week is not None and burst is not None and isinstance(week.value, date):
            name = subject.removeprefix("artist:")
            sentences.append(
                f"Near to you in the artists library is {name}, whose week of {phrases.day(week.value)} {cite(week)} "
                f"lay {number(_value(burst))} standard deviations above what came before {cite(burst)}."
            )
            used |= {week.id, burst.id}
            break
    return " ".join(sentences) or "Nothing on the market fits you better today than keeping your own rhythm.", used


def _item_numbers(material: _Material, item: RankedItem) -> tuple[str, set[str]]:
    parts, used = [], set()
    creators = material.fact(item.key, "creators_7d")
    new = material.fact(item.key, "adopters_7d")
    if creators is not None and _value(creators) >= 1:
        count = number(_value(creators))
        parts.append(f": {count} {'creator' if count == '1' else 'creators'} used it in the last week {cite(creators)}")
        used.add(creators.id)
        if new is not None and _value(new) >= 1:
            parts.append(f", {number(_value(new))} of them for the first time {cite(new)}")
            used.add(new.id)
    growth = material.fact(item.key, "growth_7d")
    if growth is not None and growth.lo is not None and growth.hi is not None:
        between = f"{percent(growth.lo)} and {percent(growth.hi)}"
        verb = "grow" if _value(growth) >= 0 else "fall"
        parts.append(f"; its public count should {verb} by {percent(abs(_value(growth)))} within the week ahead, ")
        parts.append(f"between {between} {cite(growth)}")
        used.add(growth.id)
    return "".join(parts), used


def _stop(material: _Material) -> tuple[tuple[str, ...], set[str]]:
    told, used = [], set()
    for fact in material.evidence.facts:
        sentence = phrases.STOP.get(fact.name.removeprefix("habit:"))
        if fact.name.startswith("habit:") and sentence is not None:
            told.append(sentence.format(share=percent(abs(_value(fact))), cite=cite(fact)))
            used.add(fact.id)
    return tuple(told) or (phrases.NOTHING_TO_STOP,), used


def _risks(material: _Material, plays: Sequence[Play]) -> tuple[str, ...]:
    used = {name for play in plays for name in play.items}
    risks = [_filled(material.library[play.strategy].risks[0], {}) for play in plays]
    for item in material.evidence.items:
        if item.id not in used:
            continue
        if item.stage in phrases.STAGE_RISKS:
            risks.append(_filled(phrases.STAGE_RISKS[item.stage], {"item": named(item)}))
        if item.kind == "sound" and item.cleared_for_business is not True and material.evidence.is_business:
            risks.append(
                f"No source says whether {named(item)} is cleared for business accounts: "
                "look it up in the Commercial Music Library before you use it."
            )
        elif item.kind == "sound" and item.cleared_for_business is False:
            risks.append(f"{named(item)} is not cleared for business accounts: keep it out of advertisements.")
    return tuple(dict.fromkeys(risks))


def _calendar(material: _Material, plays: Sequence[Play]) -> Iterator[Day]:
    """Film the day before, post, then read the comments; what is left is for usual posts and a review at each end."""
    as_of, offset = material.evidence.as_of, timedelta(hours=material.evidence.utc_offset_hours)
    first = min(as_of.date(), (as_of + offset).date()) + timedelta(days=1)
    what: dict[int, tuple[str, int | None]] = {}
    step = (CALENDAR_DAYS - 2) // len(plays)
    for number_, play in enumerate(plays, 1):
        at = 1 + (number_ - 1) * step
        what[at - 1] = (f"Prepare and film «{play.title}».", number_)
        what[at] = (f"Post «{play.title}» in its window, and answer comments for the first hour.", number_)
        what.setdefault(
            at + 1, (f"Note the first day's views of «{play.title}», and answer its best comment.", number_)
        )
    what[CALENDAR_DAYS - 2] = ("Repeat the play that did best, with one thing changed.", None)
    what[CALENDAR_DAYS - 1] = ("Compare every play with its target, and ask for a new plan.", None)
    for at in range(CALENDAR_DAYS):
        text, of_play = what.get(at, ("A usual post of yours, or rest.", None))
        yield Day(day=first + timedelta(days=at), what=text, play=of_play)


def _cited(plays: Sequence[Play]) -> set[str]:
    return {name for play in plays for name in play.facts}


def _value(fact: Fact) -> float:
    assert not isinstance(fact.value, date)
    return fact.value
