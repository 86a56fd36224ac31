"""Proves every claim of a written strategy against its evidence, and names those it cannot prove."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Final

from serving.strategies.checking.passages import CITATION, Passage, TrustedTexts, passages
from serving.strategies.checking.reader import CALENDAR_DAYS, Reader, local_day
from serving.strategies.locales import locale_of
from serving.strategies.schemas import Check, Evidence, Fact, Play, RankedItem, Strategy, Target

MOST_CHARACTERS: Final = 1500
TOLERANCE: Final = 0.02


def check(strategy: Strategy, evidence: Evidence, known_texts: Mapping[str, str]) -> Check:
    """What of a strategy the evidence proves.

    Allowed without a fact of their own, because they follow from the strategy itself: dates of the calendar within 14
    days of `as_of`, the end of a posting window within 4 hours of a proven start, numbers of plays, steps, posts and
    ranked items, the 14 days of the plan, windows and levels in the names of cited facts (`uses_7d` → 7 days), and the
    creator's UTC offset. Hours of day are taken as the facts tell them: in the creator's own time.

    Args:
        known_texts: trusted texts of the library by any name; `{placeholders}` in them stand for what is checked. The
            library's texts in the strategy's own language are trusted beside them.
    """
    reader = Reader(strategy, evidence, TrustedTexts.of(known_texts, locale_of(strategy.locale)))
    told = tuple(passages(strategy))
    faults = [*_structure(strategy, evidence), *_sources(strategy, evidence, told)]
    claims = len(strategy.sources) + sum(1 + len(play.hashtags) for play in strategy.plays)
    for passage in told:
        if len(passage.text) > MOST_CHARACTERS:
            faults.append(f"{passage.name}: longer than {MOST_CHARACTERS} characters")
            continue
        found = reader.read(passage)
        faults += [f"{passage.name}: {fault}" for fault in found.faults]
        claims += found.claims
    return Check(claims=claims, faults=tuple(dict.fromkeys(faults)))


def _structure(strategy: Strategy, evidence: Evidence) -> Iterator[str]:
    if strategy.creator_id != evidence.creator_id:
        yield f"creator_id: «{strategy.creator_id}»: the evidence is of another creator"
    if strategy.as_of != evidence.as_of:
        yield f"as_of: «{strategy.as_of}»: the evidence is of another time"
    yield from (f"{name}: says nothing" for name in ("summary", "why_now") if not getattr(strategy, name).strip())
    items = {item.id: item for item in evidence.items}
    facts = {fact.id: fact for fact in evidence.facts}
    for number, play in enumerate(strategy.plays, start=1):
        for fault in _play(play, items, facts, evidence):
            yield f"plays[{number}]: {fault}"
    yield from _calendar(strategy, evidence)


def _play(play: Play, items: Mapping[str, RankedItem], facts: Mapping[str, Fact], evidence: Evidence) -> Iterator[str]:
    if play.strategy not in evidence.strategies:
        yield f"«{play.strategy}»: no applicable strategy"
    yield from (f"{name}: says nothing" for name in ("title", "hook", "window") if not getattr(play, name).strip())
    if not any(step.strip() for step in play.steps):
        yield "steps: say nothing"
    yield from (f"«{name}»: no such item" for name in play.items if name not in items)
    yield from (f"«{name}»: no such fact" for name in play.facts if name not in facts)
    used = [(play.sound, "sound")] if play.sound else []
    for name, kind in [*used, *((tag, "hashtag") for tag in play.hashtags)]:
        item = items.get(name or "")
        if item is None or item.kind != kind:
            yield f"«{name}»: no ranked {kind}"
        elif name not in play.items:
            yield f"«{name}»: used, but not in the items of the play"
    if evidence.is_business:
        for name in play.items:
            if name in items and items[name].kind == "sound" and items[name].cleared_for_business is False:
                yield f"«{name}»: not cleared for business accounts"
    if play.target:
        yield from _target(play, play.target, facts)


def _target(play: Play, target: Target, facts: Mapping[str, Fact]) -> Iterator[str]:
    fact = facts.get(target.fact)
    if fact is None or target.fact not in play.facts:
        yield f"target: «{target.fact}»: no fact of the play"
    elif target.lo > target.hi or not _follows(target, fact, [facts[name] for name in play.facts if name in facts]):
        yield f"target: «{target.lo:g} to {target.hi:g} {target.unit}»: does not follow from {target.fact}"


def _follows(target: Target, fact: Fact, others: list[Fact]) -> bool:
    """The range is the fact's interval, or a base of the play moved by it."""
    if fact.lo is None or fact.hi is None:
        return False
    if target.unit == fact.unit and _near(target.lo, fact.lo) and _near(target.hi, fact.hi):
        return True
    more = {"share": 1.0, "ratio": 0.0}.get(fact.unit)
    bases = [f.value for f in others if f.unit == target.unit and isinstance(f.value, float)]
    return more is not None and any(
        _near(target.lo, base * (more + fact.lo)) and _near(target.hi, base * (more + fact.hi)) for base in bases
    )


def _near(told: float, value: float) -> bool:
    return abs(told - value) <= TOLERANCE * abs(value) + (0.51 if abs(value) >= 10 else 0.005)


def _calendar(strategy: Strategy, evidence: Evidence) -> Iterator[str]:
    start = local_day(evidence)
    for day in strategy.calendar:
        if not start <= day.day <= start + timedelta(days=CALENDAR_DAYS):
            yield f"calendar[{day.day}]: not within {CALENDAR_DAYS} days of {start}"
        if day.play is not None and not 1 <= day.play <= len(strategy.plays):
            yield f"calendar[{day.day}]: «play {day.play}»: there is no such play"
    if any(later.day < earlier.day for earlier, later in pairwise(strategy.calendar)):
        yield "calendar: its days are not in order"


def _sources(strategy: Strategy, evidence: Evidence, texts: Sequence[Passage]) -> Iterator[str]:
    """Sources are the evidence's own facts, and every fact that the texts cite is among them."""
    facts = {fact.id: fact for fact in evidence.facts}
    yield from (f"sources: «{f.id}»: not as in the evidence" for f in strategy.sources if facts.get(f.id) != f)
    told = {fact.id for fact in strategy.sources}
    cited = {n.strip() for p in texts for group in CITATION.findall(p.text) for n in group.split(",")}
    missing = {name for name in cited if name in facts} | {name for play in strategy.plays for name in play.facts}
    yield from (f"sources: «{name}»: cited, but not told" for name in sorted(missing & set(facts) - told))
