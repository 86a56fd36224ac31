"""The deterministic writer: evidence and library become a written strategy, the same each time, with no model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from serving.strategies.library import LibraryStrategy
from serving.strategies.locales import ENGLISH, locale_of
from serving.strategies.schemas import Check, Evidence, Play, RankedItem, Strategy
from serving.strategies.writing.material import Material, value
from serving.strategies.writing.phrases import Voice, cite, filled, named
from serving.strategies.writing.plays import METRICS, plays_of
from serving.strategies.writing.schedule import schedule

UNCHECKED: Final = Check(claims=0, faults=())
TOLD_ITEMS: Final = 3
FLAT: Final = 0.01
"""A forecast of less growth than this is told as none."""
LARGE: Final = 1.0
"""From a doubling on, growth is told as what the count is multiplied by."""
Told = tuple[str, set[str]]
"""A text and the ids of the facts that it states."""


@dataclass(frozen=True)
class DeterministicWriter:
    """Writes without a model, always the same for the same evidence.

    Attributes:
        library: the strategies by id.
    """

    library: Mapping[str, LibraryStrategy]

    def write(self, evidence: Evidence, locale: str = ENGLISH) -> Strategy:
        """The strategy for this evidence, not checked yet; English where the language is not one of ours."""
        return write_strategy(evidence, self.library, strategy_id_of(evidence, locale), locale=locale)


def write_strategy(
    evidence: Evidence,
    library: Mapping[str, LibraryStrategy],
    strategy_id: str,
    check: Check = UNCHECKED,
    locale: str = ENGLISH,
) -> Strategy:
    """The plan that the evidence supports.

    Args:
        evidence: with at least one applicable strategy.
        library: where those strategies are described.
        strategy_id: of the answer.
        check: what the grounding check found, where it is known already.
        locale: language wanted; the plan says which one it is in.
    """
    found = locale_of(locale)
    material = Material(evidence, library, Voice(found, evidence.creator_id))
    plays = plays_of(material)
    why_now, why_facts = _why_now(material)
    stop, stop_facts = _stop(material)
    summary, summary_facts = _summary(material, plays)
    used = {name for play in plays for name in play.facts} | why_facts | stop_facts | summary_facts
    return Strategy(
        strategy_id=strategy_id,
        creator_id=evidence.creator_id,
        locale=found.code,
        writer="deterministic",
        check=check,
        as_of=evidence.as_of,
        summary=summary,
        why_now=why_now,
        plays=plays,
        calendar=tuple(schedule(material, plays)),
        risks=_risks(material, plays),
        stop=stop,
        sources=tuple(fact for fact in evidence.facts if fact.id in used),
    )


def strategy_id_of(evidence: Evidence, locale: str = ENGLISH) -> str:
    """An id that the same evidence always gets in the same language."""
    told = evidence.model_dump_json() + ("" if locale_of(locale).code == ENGLISH else locale_of(locale).code)
    return hashlib.sha256(told.encode()).hexdigest()[:20]


def _summary(material: Material, plays: Sequence[Play]) -> Told:
    voice = material.voice
    text = [voice.say("summary_plays", plays=voice.joined([f"«{play.title}»" for play in plays]))]
    if easy := [play for play in plays if play.effort == "low"]:
        text.append(voice.say("summary_first", play=easy[0].title))
    usual, facts = _usual(material)
    return " ".join([*text, usual] if usual else text), facts


def _usual(material: Material) -> Told:
    """What a post of the creator gets, or of others, or how often to post."""
    voice = material.voice
    for what in ("usual", "market"):
        for metric in METRICS:
            found = material.spread("creator", f"{metric}_{what}")
            if found is not None:
                fact, lo, hi = found
                words = {"lo": voice.number(lo), "hi": voice.number(hi), "cite": cite(fact)}
                words |= {"middle": voice.number(value(fact)), "metric": voice.say(f"metric_{metric}")}
                return voice.say(f"summary_{what}", **words), {fact.id}
    plan = material.spread("creator", "posts_plan")
    if plan is None:
        return "", set()
    fact, lo, hi = plan
    return voice.say("summary_rhythm", lo=voice.number(lo), hi=voice.number(hi), cite=cite(fact)), {fact.id}


def _why_now(material: Material) -> Told:
    sentences, used = [], set[str]()
    for place, item in enumerate(material.evidence.items[:TOLD_ITEMS]):
        for told, facts in (_users(material, item, place), _growth(material, item, place)):
            sentences += [told] if told else []
            used |= facts
    told, facts = _artist(material)
    sentences += [told] if told else []
    return " ".join(sentences) or material.voice.say("nothing_now"), used | facts


def _users(material: Material, item: RankedItem, place: int) -> Told:
    """Where the item stands, and how many picked it up in the last week."""
    voice = material.voice
    stage = f"stage_{item.stage}" if f"stage_{item.stage}" in voice.locale.phrases else "stage_unknown"
    lead = voice.vary(stage, place, item=named(item))
    creators, new = material.fact(item.key, "creators_7d"), material.fact(item.key, "adopters_7d")
    if creators is None or value(creators) < 1:
        return f"{lead}.", set()
    if value(creators) == 1:
        return f"{lead}{voice.vary('users_single', place)}.", set()
    words = {"count": voice.number(value(creators)), "cite": cite(creators)}
    if new is None or value(new) < 1:
        return f"{lead}{voice.vary('users_old', place, **words)}.", {creators.id}
    words |= {"new": voice.number(value(new)), "cite_new": cite(new)}
    phrase = "users_all" if value(new) >= value(creators) else "users_some"
    return f"{lead}{voice.vary(phrase, place, **words)}.", {creators.id, new.id}


def _growth(material: Material, item: RankedItem, place: int) -> Told:
    """The forecast of the item's public count, where there is one."""
    found = material.spread(item.key, "growth_7d")
    if found is None:
        return "", set()
    (fact, lo, hi), voice = found, material.voice
    words = {"lo": voice.percent(lo), "hi": voice.percent(hi), "growth": voice.percent(abs(value(fact)))}
    phrase = "growth_up" if value(fact) > 0 else "growth_down"
    if max(abs(lo), abs(hi)) < FLAT:
        phrase = "growth_flat"
    elif value(fact) >= LARGE:
        phrase, words = "growth_times", {"lo": voice.times(lo), "hi": voice.times(hi)}
    return voice.vary(phrase, place, cite=cite(fact), **words), {fact.id}


def _artist(material: Material) -> Told:
    """The nearest artist of the library whose burst has a date."""
    for fact in material.evidence.facts:
        if fact.name == "burst_week" and isinstance(fact.value, date):
            name = fact.subject.removeprefix("artist:")
            phrase = "artist" if material.knows_creator else "artist_any"
            text = material.voice.say(phrase, name=name, date=material.voice.day(fact.value), cite=cite(fact))
            return text, {fact.id}
    return "", set()


def _stop(material: Material) -> tuple[tuple[str, ...], set[str]]:
    told, used, voice = [], set(), material.voice
    for fact in material.evidence.facts:
        phrase = fact.name.replace(":", "_")
        if fact.name.startswith("habit:") and phrase in voice.locale.phrases:
            told.append(voice.say(phrase, share=voice.percent(abs(value(fact))), cite=cite(fact)))
            used.add(fact.id)
    return tuple(told) or (voice.say("nothing_to_stop"),), used


def _risks(material: Material, plays: Sequence[Play]) -> tuple[str, ...]:
    voice, used = material.voice, {name for play in plays for name in play.items}
    risks = [filled(material.strategy(play.strategy).risks[0], {}) for play in plays]
    items = [item for item in material.evidence.items if item.id in used]
    groups = [
        (f"risk_{stage}", [i for i in items if i.stage == stage]) for stage in ("peaking", "declining", "emerging")
    ]
    sounds = [item for item in items if item.kind == "sound"]
    doubtful = [item for item in sounds if item.cleared_for_business is not True]
    if material.evidence.is_business:
        groups.append(("risk_not_known", doubtful))
    else:
        groups.append(("risk_not_cleared", [item for item in doubtful if item.cleared_for_business is False]))
    risks += [voice.say(name, items=voice.joined([named(i) for i in found])) for name, found in groups if found]
    return tuple(dict.fromkeys(risks))
