"""Grounded strategies in every language that is shipped, and the same with one false number, name or date in them."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache, lru_cache
from typing import Final

from serving.strategies.locales import load_locale, pairs
from serving.strategies.schemas import Evidence, RankedItem, Strategy
from serving.strategies.writing.phrases import Voice
from tests import grounded
from tests.grounded import Kind, Teller

HELD_NAMES: Final = (
    "Taylor Swift", "Karol G", "Sơn Tùng", "Rihanna", "Shakira", "Maluma", "Ed Sheeran", "Adele", "Raisa Andriana",
    "Luísa Sonza", "Camila Cabello", "Sam Smith", "Lana Rhoades", "Mỹ Tâm", "Stromae",
)  # fmt: skip
HELD_TITLES: Final = ("Bad Habits", "Lạc Trôi", "Gasolina", "Ai Se Eu Te Pego", "Papaoutai", "Someone Like You")
HELD_TAGS: Final = ("#fakechallenge", "#nhachay2020", "#desafiofalso", "#danceoff77", "#neuetrends")


@dataclass(frozen=True)
class Sentences:
    """What a language's plan says; `{name}`s are told, `[…]`s cited."""

    why: str
    summary: str
    step: str
    span: str
    times: str
    about: str


TONGUES: Final = {
    "en": Sentences(
        why="{title} [T1] by {author} was used in {uses} posts within 7 days [{e_uses}]. It was first seen on {day} "
        "[{e_since}]. {tag} [T3] grew {growth} [{e_growth}], with an interval of {span} [{e_growth}]. It runs at "
        "{ratio} its usual rate [{e_ratio}], and {word} creators used it [{e_makers}].",
        summary="You have {mine} followers [{e_mine}], and your posts get {usual} views [{e_usual}], measured on "
        "{sample} posts [{e_usual}]. Start with {title} [T1].",
        step="Look at the {uses} posts under {tag} [{t_tag}] of the last 7 days [{e_uses}].",
        span="between {lo} and {hi}", times="times", about="about",
    ),
    "es": Sentences(
        why="{title} [T1] de {author} se usó en {uses} videos en 7 días [{e_uses}]. Apareció el {day} [{e_since}]. "
        "{tag} [T3] creció un {growth} [{e_growth}], con un intervalo de {span} [{e_growth}]. Va a {ratio} su ritmo "
        "normal [{e_ratio}], y {word} creadores lo usaron [{e_makers}].",
        summary="Tienes {mine} seguidores [{e_mine}], y tus videos tienen {usual} visualizaciones [{e_usual}], medido "
        "en {sample} videos [{e_usual}]. Empieza con {title} [T1].",
        step="Mira los {uses} videos con {tag} [{t_tag}] de 7 días [{e_uses}].",
        span="entre {lo} y {hi}", times="veces", about="unos",
    ),
    "vi": Sentences(
        why="{title} [T1] của {author} đã được dùng trong {uses} video trong 7 ngày [{e_uses}]. Âm thanh này xuất hiện "
        "lần đầu vào {day} [{e_since}]. {tag} [T3] đã tăng {growth} [{e_growth}], khoảng tin cậy {span} [{e_growth}]. "
        "Nhịp hiện nay gấp {ratio} thường lệ [{e_ratio}], và có {word} người sáng tạo đã dùng [{e_makers}].",
        summary="Bạn có {mine} người theo dõi [{e_mine}], và video của bạn được {usual} lượt xem [{e_usual}], đo trên "
        "{sample} video [{e_usual}]. Hãy bắt đầu với {title} [T1].",
        step="Hãy xem {uses} video có {tag} [{t_tag}] trong 7 ngày [{e_uses}].",
        span="từ {lo} đến {hi}", times="lần", about="khoảng",
    ),
    "pt-BR": Sentences(
        why="{title} [T1] de {author} foi usado em {uses} vídeos em 7 dias [{e_uses}]. Apareceu em {day} [{e_since}]. "
        "{tag} [T3] cresceu {growth} [{e_growth}], com intervalo de {span} [{e_growth}]. Anda a {ratio} o ritmo de "
        "sempre [{e_ratio}], e {word} criadores usaram [{e_makers}].",
        summary="Você tem {mine} seguidores [{e_mine}], e seus vídeos têm {usual} visualizações [{e_usual}], medido em "
        "{sample} vídeos [{e_usual}]. Comece com {title} [T1].",
        step="Veja os {uses} vídeos com {tag} [{t_tag}] de 7 dias [{e_uses}].",
        span="entre {lo} e {hi}", times="vezes", about="cerca de",
    ),
    "id": Sentences(
        why="{title} [T1] oleh {author} dipakai dalam {uses} video selama 7 hari [{e_uses}]. Suara ini muncul "
        "pada {day} [{e_since}]. {tag} [T3] naik {growth} [{e_growth}], dengan rentang {span} [{e_growth}]. Lajunya "
        "{ratio} dari biasanya [{e_ratio}], dan {word} kreator memakainya [{e_makers}].",
        summary="Kamu punya {mine} pengikut [{e_mine}], dan videomu mendapat {usual} tayangan [{e_usual}], diukur pada "
        "{sample} video [{e_usual}]. Mulai dengan {title} [T1].",
        step="Lihat {uses} video dengan {tag} [{t_tag}] selama 7 hari [{e_uses}].",
        span="antara {lo} dan {hi}", times="kali", about="sekitar",
    ),
    "de": Sentences(
        why="{title} [T1] von {author} wurde in {uses} Videos in 7 Tagen verwendet [{e_uses}]. Zuerst gesehen am {day} "
        "[{e_since}]. {tag} [T3] ist um {growth} gewachsen [{e_growth}], mit einem Intervall {span} [{e_growth}]. Es "
        "läuft mit {ratio} der üblichen Rate [{e_ratio}], und {word} Creator haben es verwendet [{e_makers}].",
        summary="Du hast {mine} Follower [{e_mine}], und deine Videos bekommen {usual} Aufrufe [{e_usual}], gemessen "
        "an {sample} Videos [{e_usual}]. Beginne mit {title} [T1].",
        step="Sieh dir die {uses} Videos mit {tag} [{t_tag}] aus 7 Tagen an [{e_uses}].",
        span="zwischen {lo} und {hi}", times="mal", about="etwa",
    ),
    "fr": Sentences(
        why="{title} [T1] de {author} a été utilisé dans {uses} vidéos en 7 jours [{e_uses}]. Il est apparu le {day} "
        "[{e_since}]. {tag} [T3] a augmenté de {growth} [{e_growth}], avec un intervalle {span} [{e_growth}]. Il "
        "tourne à {ratio} son rythme normal [{e_ratio}], et {word} créateurs l'ont utilisé [{e_makers}].",
        summary="Tu as {mine} abonnés [{e_mine}], et tes vidéos font {usual} vues [{e_usual}], mesuré sur {sample} "
        "vidéos [{e_usual}]. Commence par {title} [T1].",
        step="Regarde les {uses} vidéos avec {tag} [{t_tag}] sur 7 jours [{e_uses}].",
        span="entre {lo} et {hi}", times="fois", about="environ",
    ),
}  # fmt: skip


@cache
def numerals(code: str) -> tuple[dict[int, str], Voice]:
    """The words for small numbers of a language, and its voice."""
    locale = load_locale(code)
    words = pairs(locale.reading.number_words)
    return {int(value): word for word, value in reversed(words.items()) if value < 13}, Voice(locale, "")


@dataclass
class Polyglot(Teller):
    """Tells in one language what is true, but for one place; what is false there is made in another way than
    `Teller` makes it: digits change places or are lost, signs of the decimal move, names are others."""

    code: str = "en"

    @property
    def voice(self) -> Voice:
        return numerals(self.code)[1]

    def count(self, value: float) -> str:
        about = TONGUES[self.code].about
        style = self.rng.choice(("full", "full", "about"))

        def shown(told: float) -> str:
            return (
                f"{about} {self.voice.number(round(told, -1))}" if style == "about" else self.voice.number(round(told))
            )

        return self.say("number", shown(value), shown(self._off(value)))

    def percent(self, share: float) -> str:
        return self.say("number", self.voice.percent(share), self.voice.percent(self._off(share * 1000) / 1000))

    def ratio(self, value: float) -> str:
        style = self.rng.choice(("×", f" {TONGUES[self.code].times}"))
        true, false = (
            f"{told:.1f}".replace(".", self.voice.locale.decimal) for told in (value, self._off(value * 10) / 10)
        )
        return self.say("number", true + style, false + style)

    def word(self, value: int) -> str:
        words = numerals(self.code)[0]
        false = self.rng.choice([n for n in words if n != value and n > 1])
        return self.say("number", words.get(value, str(value)), words[false])

    def span(self, low: float, high: float) -> str:
        off = self.rng.choice(((self._off(low * 1000) / 1000, high), (low, self._off(high * 1000) / 1000)))
        sides = [{"lo": self.voice.percent(lo), "hi": self.voice.percent(hi)} for lo, hi in ((low, high), off)]
        true, false = (TONGUES[self.code].span.format(**side) for side in sides)
        return self.say("number", true, false)

    def day(self, when: date) -> str:
        false = when + timedelta(days=self.rng.choice((-1, 1)) * self.rng.choice((1, 7, 30, 31, 365)))
        return self.say("date", self.voice.day(when), self.voice.day(false))

    def title(self, item: RankedItem) -> str:
        return self.say("name", f"“{item.title}”", f"“{self.rng.choice(HELD_TITLES)}”")

    def author(self, name: str) -> str:
        return self.say("name", name, self.rng.choice(HELD_NAMES))

    def tag(self, item: RankedItem) -> str:
        return self.say("name", f"#{item.title}", self.rng.choice(HELD_TAGS))

    def _off(self, value: float) -> float:
        digits = list(f"{abs(value):.0f}")
        place = self.rng.randrange(len(digits))
        digits[place] = str((int(digits[place]) + self.rng.randint(1, 8)) % 10)
        wrong = [value * 10, value / 10, value * self.rng.uniform(1.12, 1.2), float("".join(digits))]
        usable = [v for v in wrong if abs(v - value) > max(0.06 * abs(value), 2.0)]
        return self.rng.choice(usable)


@lru_cache(maxsize=4)
def _base(found: str, code: str) -> Strategy:
    return grounded.strategy(Evidence.model_validate_json(found), Teller(random.Random(0)), code)


def strategy(found: Evidence, teller: Polyglot) -> Strategy:
    """A strategy in the teller's language with one play, which the evidence proves but for what the teller plants."""
    said, fact = TONGUES[teller.code], {(f.subject, f.name): f for f in found.facts}
    base = _base(found.model_dump_json(), teller.code)
    a, b = found.items[0], found.items[2]
    facts = {"uses": fact[a.key, "uses_7d"], "since": fact[a.key, "first_seen"], "growth": fact[b.key, "growth_7d"]}
    facts |= {"ratio": fact[b.key, "rate_ratio"], "makers": fact[b.key, "creators_7d"]}
    facts |= {"mine": fact["creator", "follower_count"], "usual": fact["creator", "views_post"]}
    cites = {f"e_{name}": f.id for name, f in facts.items()}
    value = {name: f.value for name, f in facts.items()}
    growth = facts["growth"]
    assert growth.lo and growth.hi and a.author
    why = said.why.format(
        title=teller.title(a), author=teller.author(a.author), uses=teller.count(value["uses"]),  # type: ignore[arg-type]
        day=teller.day(value["since"]), tag=teller.tag(b), growth=teller.percent(value["growth"]),  # type: ignore[arg-type]
        span=teller.span(growth.lo, growth.hi), ratio=teller.ratio(value["ratio"]),  # type: ignore[arg-type]
        word=teller.word(int(value["makers"])), **cites,  # type: ignore[arg-type]
    )  # fmt: skip
    sample = facts["usual"].sample or 0
    summary = said.summary.format(
        mine=teller.count(value["mine"]), usual=teller.count(value["usual"]), title=teller.title(a),  # type: ignore[arg-type]
        sample=teller.say("number", str(sample), str(sample + 13)), **cites,
    )  # fmt: skip
    play, shown = base.plays[0], fact[b.key, "uses_7d"]
    told = said.step.format(uses=teller.count(shown.value), tag=teller.tag(b), t_tag=b.id, e_uses=shown.id)  # type: ignore[arg-type]
    hour = fact["creator", "best_hour"]
    window = f"{teller.hours(int(hour.value))} [{hour.id}]"  # type: ignore[arg-type]
    play = play.model_copy(update={"steps": (*play.steps[:2], told), "window": window})
    calendar = tuple(day.model_copy(update={"what": "", "play": 1}) for day in base.calendar)
    changes = {"summary": summary, "why_now": why, "plays": (play,), "calendar": calendar}
    return base.model_copy(update=changes)


def planted(code: str, seed: int) -> tuple[Evidence, Strategy, Kind, str]:
    """A strategy in a language with one false number, name or date, and what was planted."""
    rng, found = random.Random(seed), grounded.evidence(seed)
    for _ in range(50):
        kind: Kind = rng.choice(("number", "name", "date"))
        place = rng.randint(0, {"number": 9, "name": 4, "date": 1}[kind])
        teller = Polyglot(random.Random(rng.random()), kind=kind, place=place, code=code)
        told = strategy(found, teller)
        if teller.planted:
            return found, told, kind, teller.planted
    raise AssertionError("nothing could be planted")
