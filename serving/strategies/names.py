"""Which sounds, hashtags and people a text names, and whether the slate knows them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from serving.strategies.passages import CITATION, Passage
from serving.strategies.schemas import Evidence, RankedItem
from serving.strategies.untrusted import cleaned, is_suspect

Judge = Callable[[bool, str, str], None]
_FREE = """
i i'm i'll i've i'd tiktok tiktoks instagram reels shorts youtube capcut live pov kpi kpis ok utc gmt dm dms
fyp tv dj ep lp cta grwm asmr diy bpm english spanish portuguese french german vertex commercial music library
monday tuesday wednesday thursday friday saturday sunday mon tue tues wed thu thurs fri sat sun january
february march april may june july august september october november december jan feb mar apr jun jul aug sep
sept oct nov dec day play step sound hashtag tag trend the a an and or your you this that it he she they we no
yes part post film use open keep show tell start end each every before after when why how what who nothing
everything nobody somebody people fans viewers these those there song artist creator creators video videos
"""
FREE: Final = frozenset(_FREE.split())
"""Words that anybody may use: the platform's own, the calendar's, and the plainest of all."""

_TAG = re.compile(r"(?<![\w&])#([\w]+)")
_HANDLE = re.compile(r"(?<![\w.])@([\w.]+)")
_QUOTED = re.compile(
    r"“([^”\n]{1,200})”|«([^»\n]{1,200})»|„([^“”\n]{1,200})[“”]|(?<![\w])\"([^\"\n]{1,200})\"|(?<![\w])‘([^’\n]{1,200})’(?!\w)"
)
_CAPITAL = r"[A-ZÀ-ÖØ-Þ][\w'’.&-]*"
_RUN = re.compile(rf"{_CAPITAL}(?:\s+(?:(?:&|de|da|del|van|von|the|of|y|x)\s+)?{_CAPITAL})*")
_BESIDE = re.compile(
    rf"\b(by|with|feat\.?|featuring|ft\.?|from|like|prod\.?|versus|vs\.?)\s+(@?(?:{_CAPITAL})(?:\s+{_CAPITAL})*)"
)
_FEAT = re.compile(r"\b(?:feat\.?|featuring|ft\.)\s+([^\s\[\],;.!?]+)", re.IGNORECASE)
_ACTS = re.compile(
    rf"^\W*({_CAPITAL})\s+(?:did|used|posted|made|released|dropped|danced|sang|sings|says|said|started|won|went|got)\b"
)
_SONG = re.compile(
    rf"\b(?:sound|song|track|tune|audio|remix|hit|single)\s+(?:called\s+|named\s+)?({_CAPITAL}(?:\s+{_CAPITAL})*)"
)
LEAST_BARE: Final = 4
"""Letters that a title needs to be recognised without quotation marks."""

SENTENCE_WORDS: Final = 4
"""A title of so many words could be a sentence."""


def plain(name: str) -> str:
    """A name as two spellings of it agree."""
    return " ".join(cleaned(name, 500).casefold().replace("’", "'").strip(" .,!?…'\"#@").split())


class Names:
    """The titles, tags and people of one evidence."""

    def __init__(self, evidence: Evidence, trusted: frozenset[str]) -> None:
        self._items = evidence.items
        self._titles = {plain(item.title): item for item in reversed(evidence.items)}
        self._tags = {plain(name): i for i in reversed(evidence.items) if i.kind == "hashtag" for name in _spellings(i)}
        authors = {plain(item.author) for item in evidence.items if item.author}
        others = {f.subject.partition(":")[2] for f in evidence.facts if f.subject.startswith("artist:")}
        self._people = authors | {plain(evidence.creator_id)} | {plain(name) for name in others}
        self.untrusted = tuple(t for item in evidence.items for t in (item.title, item.author or "") if t)
        told = [f.name.replace("_", " ") for f in evidence.facts] + [f.source for f in evidence.facts]
        self._words = FREE | trusted | _words((evidence.creator_id, evidence.region or "", *told))
        self.free_words = FREE | trusted | _words(told)
        named = {cleaned(t, 500) for t in self.untrusted if _letters(t) >= LEAST_BARE}
        bare = sorted(named, key=len, reverse=True)
        self._bare = re.compile("|".join(rf"(?<!\w){_spaced(t)}(?!\w)" for t in bare) or r"(?!)", re.IGNORECASE)

    def shielded(self, text: str) -> str:
        """The text with no place inside a title or a quotation where a sentence could end."""
        for pattern in (self._bare, _QUOTED):
            text = pattern.sub(lambda m: m[0].replace(" ", "\u00a0"), text)
        return text

    def prose(self, passage: Passage, text: str) -> str:
        """The text without its citations and without the harmless titles, tags and names that it names properly."""
        for pattern in (_QUOTED, _TAG):
            text = pattern.sub(lambda m: m[0] if self._unknown(m) else " " * len(m[0]), text)
        return CITATION.sub(" ", self._unnamed(passage, text, " "))

    def _unknown(self, match: re.Match[str]) -> bool:
        said = next(group for group in match.groups() if group)
        return is_suspect(said) or not (plain(said) in self._titles or plain(said) in self._tags)

    def _unnamed(self, passage: Passage, text: str, fill: str) -> str:
        """The text with names taken out; a title that reads like a sentence only where its item is cited or played."""
        own = {name for group in CITATION.findall(text) for name in re.findall(r"T\d+", group)}
        own |= set(passage.play.items) if passage.play else set()

        def named(match: re.Match[str]) -> str:
            item = self._titles.get(plain(match[0]))
            is_name = len(match[0].split()) < SENTENCE_WORDS or (item is not None and item.id in own)
            return fill * len(match[0]) if is_name and not is_suspect(match[0]) else match[0]

        return self._bare.sub(named, text)

    def mentioned(self, text: str) -> Iterator[RankedItem]:
        """The items that a text names by a tag or a quoted title."""
        for match in _TAG.finditer(text):
            if item := self._tags.get(plain(match[1])):
                yield item
        for match in _QUOTED.finditer(text):
            if item := self._titles.get(plain(next(g for g in match.groups() if g))):
                yield item

    def judge(self, passage: Passage, sentence: str, cited: Sequence[RankedItem], judge: Judge) -> str:
        """Judge every name of a sentence; the sentence with the names blanked out."""
        self._judge_places(passage, sentence, judge)
        text = sentence
        for pattern, kind in ((_QUOTED, "title"), (_TAG, "hashtag"), (_HANDLE, "person")):
            for match in pattern.finditer(text):
                said = next(g for g in match.groups() if g)
                judge(
                    self._is_known(kind, said, passage, sentence, match.start()),
                    match[0],
                    f"no ranked item or known {kind}",
                )
                text = text[: match.start()] + "·" * len(match[0]) + text[match.end() :]
        text = self._unnamed(passage, text, "·")
        text = CITATION.sub(lambda m: " " * len(m[0]), text)
        return self._judge_people(passage, text, judge)

    def _is_known(self, kind: str, said: str, passage: Passage, sentence: str, place: int) -> bool:
        if kind == "hashtag":
            return plain(said) in self._tags
        if kind == "person":
            return plain(said) in self._people
        is_title = re.search(r"(sound|song|track|title|tune|remix|audio)\W*$", sentence[:place], re.IGNORECASE)
        if passage.form == "public" and not is_title:
            return True  # a hook may quote speech; names inside it are judged as names
        return plain(said) in self._titles or plain(said) in self._tags or _words([said]) <= self._words

    def _judge_places(self, passage: Passage, sentence: str, judge: Judge) -> None:
        """A name right before a citation must be that item's; a play names only its own items."""
        for match in CITATION.finditer(sentence):
            named = list(self._named_before(sentence[: match.start()]))
            items = set(re.findall(r"T\d+", match[1]))
            if named and items and not re.findall(r"E\d+", match[1]):
                judge(named[-1].id in items or self._same(named[-1], items), match[0], f"is not {named[-1].title}")
        if passage.play is not None:
            for item in self.mentioned(sentence):
                own = item.id in passage.play.items or self._same(item, set(passage.play.items))
                judge(own, item.title, "is not in the items of its play")

    def _same(self, item: RankedItem, ids: set[str]) -> bool:
        return any(plain(other.title) == plain(item.title) for other in self._items if other.id in ids)

    def _named_before(self, text: str) -> Iterator[RankedItem]:
        near = text.rstrip()
        for pattern, table in ((_TAG, self._tags), (_QUOTED, self._titles)):
            for match in pattern.finditer(near):
                item = table.get(plain(next(g for g in match.groups() if g)))
                if item and match.end() == len(near):
                    yield item

    def _judge_people(self, passage: Passage, text: str, judge: Judge) -> str:
        for pattern in (_ACTS, _BESIDE, _SONG, _FEAT):
            for match in pattern.finditer(text):
                said = match[match.re.groups]
                judge(self._knows(said), said, "no known artist or title")
                text = text[: match.start()] + re.sub(r"[^\W\d]", "·", match[0]) + text[match.end() :]
        words = re.findall(r"[^\W\d_]{4,}", text)
        if not words or (
            sum(w[0].isupper() for w in words) > 0.6 * len(words) and len(words) > 1 and passage.form == "public"
        ):
            return text
        for match in _RUN.finditer(text):
            said = match[0] if _goes_on(text, match.start()) else " ".join(match[0].split()[1:])
            if said and _letters(said) > 1 and not re.fullmatch(r"[A-Z&]{2,5}", said):
                judge(self._knows(said), said, "no known artist or title")
        return text

    def _knows(self, said: str) -> bool:
        return plain(said) in self._people or _words([said]) <= self._words


def _spaced(title: str) -> str:
    return r"\s".join(re.escape(word) for word in title.split())


def _goes_on(text: str, place: int) -> bool:
    """Whether a sentence has begun before this place."""
    before = text[:place].rstrip(" \"'“«‘([")
    return bool(before) and before[-1] not in ".!?…:;–—|/\n"


def _spellings(item: RankedItem) -> tuple[str, ...]:
    return item.title, item.key.rpartition(":")[2]


def _letters(text: str) -> int:
    return sum(c.isalpha() for c in text)


def _words(texts: Sequence[str]) -> frozenset[str]:
    found = (w for text in texts for w in re.findall(r"[^\W\d_][^\W\d_'’]*", unicodedata.normalize("NFKC", text)))
    return frozenset(form for w in found for form in (w.casefold(), w.casefold().partition("'")[0].partition("’")[0]))
