"""Grounded strategies of many shapes, and the same with one false number, name or date planted in them."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from serving.strategies.schemas import Check, Day, Evidence, Fact, Play, RankedItem, Strategy, Target

Kind = Literal["number", "name", "date"]
AS_OF = datetime(2020, 7, 20, 6, tzinfo=UTC)
SOUNDS = (
    ("Savage Love", "Jason Derulo"), ("7 rings", "Ariana Grande"), ("Blinding Lights", "The Weeknd"),
    ("Рассвет", "Мария"), ("夜に駆ける", "YOASOBI"), ("original sound", "emma.k"), ("Laxed (Siren Beat)", "Jawsh 685"),
    ("Say So - remix", "Doja Cat"), ("24K Magic", "Bruno Mars"), ("Death Bed", "Powfu"),
)  # fmt: skip
TAGS = ("duetthis", "indiepop", "studiotok", "newmusicfriday", "gitarre", "músicanueva", "pov2020", "songwriter")
FALSE_NAMES = (
    "Rosalía", "Drake", "Dua Lipa", "Bad Bunny", "Billie Eilish", "Harry Styles", "Lizzo", "Kanye West", "BTS Army",
    "Mabel", "Stormzy", "Anitta", "Zara Larsson", "Khalid", "Selena Gomez", "Post Malone",
)  # fmt: skip
FALSE_TITLES = ("Levitating", "Old Town Road", "Despacito", "Toosie Slide", "Watermelon Sugar", "Roses (Imanbek Remix)")
KNOWN = {
    "step.1": "Film one simple, repeatable scene to the strongest line of {sound}.",
    "step.2": "Post the same line in another place two days later, and keep the version that is saved more.",
    "step.3": "Answer 3 comments with a clip, and pin the best of them under {tag}.",
    "risk.1": "Seeded videos that look paid lose comments fast; label partnerships and let people change the idea.",
    "stop.1": "Stop posting without a hook in the first 2 seconds.",
    "name": "Duet chain",
    "format": "Open duet with one half of the screen left for the other voice",
}
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


@dataclass
class Teller:
    """Tells what is true, but for the one place where something false is planted."""

    rng: random.Random
    kind: Kind | None = None
    place: int = -1
    told: dict[str, int] = field(default_factory=dict)
    planted: str | None = None

    def say(self, kind: Kind, true: str, false: str) -> str:
        number = self.told[kind] = self.told.get(kind, -1) + 1
        if kind == self.kind and number == self.place and true != false:
            self.planted = f"{true} → {false}"
            return false
        return true

    def count(self, value: float) -> str:
        style = self.rng.choice(("plain", "grouped", "short", "about"))
        return self.say("number", shown(value, style), shown(self._off(value), style))

    def percent(self, share: float) -> str:
        style = self.rng.choice(("{:.0f} %", "{:.1f}%", "{:.0f} percent", "{:.1f} %"))
        return self.say("number", style.format(share * 100), style.format(self._off(share * 100)))

    def ratio(self, value: float) -> str:
        style = self.rng.choice(("{:.1f}×", "{:.1f} times", "{:.2f}x"))
        return self.say("number", style.format(value), style.format(self._off(value)))

    def word(self, value: int) -> str:
        false = self.rng.choice([n for n in range(2, 13) if n != value])
        return self.say("number", WORDS[value], WORDS[false])

    def span(self, low: float, high: float) -> str:
        style = self.rng.choice(("{:.0f}–{:.0f} %", "{:.0f} to {:.0f} %", "{:.1f}% to {:.1f}%"))
        off = self.rng.choice(((self._off(low * 100), high * 100), (low * 100, self._off(high * 100))))
        return self.say("number", style.format(low * 100, high * 100), style.format(*off))

    def day(self, when: date) -> str:
        style = self.rng.choice(("{0:%Y-%m-%d}", "{0.day} {0:%B} {0.year}", "{0:%B} {0.day}", "{0.day} {0:%b}"))
        false = when + timedelta(days=self.rng.choice((-1, 1)) * self.rng.randint(1, 120))
        return self.say("date", style.format(when), style.format(false))

    def hours(self, start: int) -> str:
        end, other = start + self.rng.randint(1, 3), (start + self.rng.randint(1, 23)) % 24
        return self.say("date", f"{start:02}:00–{end:02}:00", f"{other:02}:00–{(other + 2) % 24:02}:00")

    def title(self, item: RankedItem) -> str:
        return self.say("name", f"“{item.title}”", f"“{self.rng.choice(FALSE_TITLES)}”")

    def author(self, name: str) -> str:
        return self.say("name", name, self.rng.choice(FALSE_NAMES))

    def tag(self, item: RankedItem) -> str:
        return self.say("name", f"#{item.title}", self.rng.choice(("#viralhack", "#corecore", "#dancechallenge99")))

    def _off(self, value: float) -> float:
        return value * self.rng.choice((self.rng.uniform(0.2, 0.8), self.rng.uniform(1.25, 4.0)))


def shown(value: float, style: str) -> str:
    if style == "short" and value >= 1000:
        return f"{value / 1000:.1f}k"
    if style == "about" and value >= 100:
        return f"about {round(value, -1):,.0f}"
    return f"{value:.0f}" if style == "plain" else f"{value:,.0f}"


def facts_of(rng: random.Random, items: tuple[RankedItem, ...]) -> tuple[Fact, ...]:
    made: list[Fact] = []

    def tell(subject: str, name: str, value: float | date, unit: str, **more: object) -> None:
        made.append(
            Fact.model_validate(
                {"id": f"E{len(made) + 1}", "subject": subject, "name": name, "value": value, "unit": unit}
                | {"as_of": AS_OF, "source": "posts of the lake", **more}
            )
        )

    low = rng.uniform(0.02, 0.15)
    views = rng.randint(900, 90_000)
    tell("creator", "follower_count", float(rng.randint(2_000, 900_000)), "count")
    tell("creator", "views_post", float(views), "count", lo=views * 0.4, hi=views * 2.5, sample=rng.randint(11, 90))
    tell("creator", "best_hour", float(rng.randint(9, 20)), "hour of day")
    tell("creator", "best_weekday", float(rng.randint(0, 6)), "weekday")
    for item in items:
        tell(item.key, "uses_7d", float(rng.randint(13, 50_000)), "count")
        tell(item.key, "creators_7d", float(rng.randint(3, 12)), "count")
        tell(item.key, "growth_7d", low * 2.5, "share", lo=low, hi=low * 4)
        tell(item.key, "first_seen", date(2020, 5, 1) + timedelta(days=rng.randint(0, 60)), "date")
        tell(item.key, "rate_ratio", rng.uniform(1.3, 6.0), "ratio")
    return tuple(made)


def evidence(seed: int = 0) -> Evidence:
    rng = random.Random(seed)
    chosen = rng.sample(SOUNDS, 2)
    rows = [("sound", title, author) for title, author in chosen]
    rows += [("hashtag", tag, None) for tag in rng.sample(TAGS, 2)]
    items = tuple(
        RankedItem(
            id=f"T{n}", kind=kind, key=f"{kind}:{title if kind == 'hashtag' else 7000 + n}", title=title,
            author=author, rank=n, stage="rising", cleared_for_business=True if kind == "sound" else None,
        )
        for n, (kind, title, author) in enumerate(rows, start=1)
    )  # fmt: skip
    return Evidence(
        creator_id=f"creator_{seed:04}", region="US", as_of=AS_OF, utc_offset_hours=rng.choice((-5.0, 0.0, 2.0)),
        is_business=False, items=items, facts=facts_of(rng, items), strategies=("duet-chain", "stitch-hook"),
    )  # fmt: skip


def strategy(found: Evidence, teller: Teller, locale: str = "en", writer: str = "deterministic") -> Strategy:
    """A strategy that the evidence proves, but for what the teller plants."""
    fact = {(f.subject, f.name): f for f in found.facts}
    plays = tuple(_play(found, fact, teller, n) for n in (0, 1, 0))
    a, b = found.items[0], found.items[2]
    uses, since = fact[a.key, "uses_7d"], fact[a.key, "first_seen"]
    growth, ratio, makers = fact[b.key, "growth_7d"], fact[b.key, "rate_ratio"], fact[b.key, "creators_7d"]
    mine, usual = fact["creator", "follower_count"], fact["creator", "views_post"]
    assert growth.lo and growth.hi and isinstance(since.value, date) and usual.sample
    why = (
        f"{teller.title(a)} [T1] by {teller.author(a.author or '')} was used in {teller.count(uses.value)} posts "  # type: ignore[arg-type]
        f"within 7 days [{uses.id}]. It was first seen on {teller.day(since.value)} [{since.id}]. "
        f"{teller.tag(b)} [T3] grew {teller.percent(growth.value)} [{growth.id}], with an 80 % interval of "  # type: ignore[arg-type]
        f"{teller.span(growth.lo, growth.hi)} [{growth.id}]. It runs at {teller.ratio(ratio.value)} its usual rate "  # type: ignore[arg-type]
        f"[{ratio.id}], and {teller.word(int(makers.value))} creators used it [{makers.id}]."  # type: ignore[arg-type]
    )
    sample = teller.say("number", str(usual.sample), str(usual.sample + 17))
    summary = (
        f"You have {teller.count(mine.value)} followers [{mine.id}], and your posts get {teller.count(usual.value)} "  # type: ignore[arg-type]
        f"views [{usual.id}], measured on {sample} posts [{usual.id}]. "
        f"Start with play 1 and {teller.title(a)} [T1]."
    )
    first = AS_OF.date() + timedelta(days=1)
    steps = [(0, "Prepare and film «Duet chain».", 1), (3, f"Post play 2 on {first + timedelta(days=3):%A}.", 2)]
    shift = 300 if teller.say("date", "", "x") else 0
    days = tuple(Day(day=first + timedelta(days=n + shift), what=what, play=play) for n, what, play in steps)
    cited = {f.id for f in found.facts} & set(_ids(summary + why)) | {n for p in plays for n in p.facts}
    return Strategy(
        strategy_id=found.creator_id, creator_id=found.creator_id, locale=locale, writer=writer,  # type: ignore[arg-type]
        check=Check(claims=0, faults=()), as_of=found.as_of, summary=summary, why_now=why, plays=plays, calendar=days,
        risks=(KNOWN["risk.1"],), stop=(KNOWN["stop.1"],), sources=tuple(f for f in found.facts if f.id in cited),
    )  # fmt: skip


def _play(found: Evidence, fact: dict[tuple[str, str], Fact], teller: Teller, place: int) -> Play:
    sound, tag = found.items[place], found.items[2 + place]
    hour, views, uses = fact["creator", "best_hour"], fact["creator", "views_post"], fact[tag.key, "uses_7d"]
    assert views.lo and views.hi and isinstance(hour.value, float) and isinstance(uses.value, float)
    off = teller.say("number", "1", f"{teller.rng.uniform(1.3, 3)}")
    steps = (
        KNOWN["step.1"].replace("{sound}", f"{teller.title(sound)} [{sound.id}]"),
        KNOWN["step.2"],
        KNOWN["step.3"].replace("{tag}", f"{teller.tag(tag)} [{tag.id}]"),
        f"Look at the {teller.count(uses.value)} posts under {teller.tag(tag)} [{tag.id}] of the last 7 days "
        f"[{uses.id}].",
    )
    return Play(
        title="Duet chain", strategy="duet-chain", hook="I left your half empty", format=KNOWN["format"],
        sound=sound.id, hashtags=(tag.id,), caption=f"Finish it with me. {teller.tag(tag)}",
        window=f"{teller.hours(int(hour.value))} your time [{hour.id}]", steps=steps,
        target=Target(
            kpi="views of the post", lo=views.lo * float(off), hi=views.hi * float(off), unit="count", fact=views.id
        ),
        effort="low", items=(sound.id, tag.id), facts=(hour.id, views.id, uses.id),
    )  # fmt: skip


def _ids(text: str) -> list[str]:
    return [part.partition("]")[0] for part in text.split("[")[1:]]
