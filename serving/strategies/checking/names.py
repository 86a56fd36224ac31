"""Which sounds, hashtags and people a text names, and whether the slate knows them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Final

from serving.strategies.checking.passages import CITATION, Passage
from serving.strategies.locales import Reading
from serving.strategies.schemas import Evidence, RankedItem
from serving.strategies.untrusted import Vocabulary, cleaned, is_suspect

Judge = Callable[[bool, str, str], None]
_FREE = """
tiktok tiktoks instagram reels shorts youtube capcut live pov kpi kpis ok utc gmt dm dms fyp tv dj ep lp cta grwm asmr
diy bpm vertex
"""
FREE: Final = frozenset(_FREE.split())
"""Words that anybody may use in any language: the platform's own."""

_TAG = re.compile(r"(?<![\w&])#([^\s#@\[\](){}.,;:!?…“”„\"«»'’/|·]+)")
_HANDLE = re.compile(r"(?<![\w.])@([\w.]+)")
_QUOTED = re.compile(
    r"“([^”\n]{1,200})”|«([^»\n]{1,200})»|„([^“”\n]{1,200})[“”]|(?<![\w])\"([^\"\n]{1,200})\"|(?<![\w])‘([^’\n]{1,200})’(?!\w)"
)
_VIETNAMESE = "ĂĐĨŨƠƯẠẢẤẦẨẪẬẮẰẲẴẶẸẺẼẾỀỂỄỆỈỊỌỎỐỒỔỖỘỚỜỞỠỢỤỦỨỪỬỮỰỲỴỶỸ"
_CAPITAL = rf"[A-ZÀ-ÖØ-Þ{_VIETNAMESE}][\w'’.&-]*"
_NAME = rf"(?:{_CAPITAL})(?:\s+{_CAPITAL})*"
_RUN = re.compile(rf"{_CAPITAL}(?:\s+(?:(?:&|de|da|del|van|von|the|of|y|x)\s+)?{_CAPITAL})*")
_FEAT = re.compile(r"\b(?:feat\.?|featuring|ft\.)\s+([^\s\[\],;.!?]+)", re.IGNORECASE)
_SHORT = re.compile(r"[A-Z&]{2,5}")
_LETTERS = re.compile(r"[^\W\d]")
_LONG_WORD = re.compile(r"[^\W\d_]{4,}")
_WORD = re.compile(r"[^\W\d_][^\W\d_'’]*")
_ITEM_ID = re.compile(r"T\d+")
_FACT_ID = re.compile(r"E\d")
_MARKED = re.compile(r"[#@“«„\"‘]")
_SPELLING = str.maketrans({"’": "'", "“": "", "”": "", "„": "", "«": "", "»": ""})
LEAST_BARE: Final = 4
"""Letters that a title needs to be recognised without quotation marks."""

SENTENCE_WORDS: Final = 4
"""A title of so many words could be a sentence."""


@lru_cache(maxsize=8192)
def plain(name: str) -> str:
    """A name as two spellings of it agree."""
    return " ".join(cleaned(name, 500).casefold().translate(_SPELLING).strip(" .,!?…'\"#@").split())


class Bare:
    """Finds some titles in a text, without regard to case and to how their words are spaced."""

    def __init__(self, titles: Iterable[str]) -> None:
        self._titles = tuple(sorted({_even(title) for title in titles}, key=len, reverse=True))

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where they stand, in order; a longer title hides the shorter ones in it."""
        even, taken = _even(text), [False] * len(text)
        if len(even) != len(text):
            even = text
        found = []
        for title in self._titles:
            at = even.find(title)
            while at >= 0:
                end = at + len(title)
                if not any(taken[at:end]) and not _reaches(even, at - 1) and not _reaches(even, end):
                    taken[at:end] = [True] * len(title)
                    found.append((at, end))
                at = even.find(title, at + 1)
        return sorted(found)


class Words:
    """The words of one language by which people and songs are told."""

    def __init__(self, reading: Reading) -> None:
        self.free = FREE | frozenset(reading.free.split())
        self.beside = re.compile(rf"\b(?i:{reading.beside})\s+(@?{_NAME})")
        self.acts = re.compile(rf"^\W*({_CAPITAL})\s+(?:{reading.acts})\b") if reading.acts else None
        self.song = re.compile(rf"\b(?i:{reading.song})\s+(?:called\s+|named\s+)?({_NAME})")
        self.title = re.compile(rf"(?:{reading.song})\W*$", re.IGNORECASE)
        self.capitals = reading.capitals


class Names:
    """The titles, tags and people of one evidence."""

    def __init__(self, evidence: Evidence, trusted: frozenset[str], words: Words) -> None:
        self._items, self._language = evidence.items, words
        self._titles = {plain(item.title): item for item in reversed(evidence.items)}
        self._tags = {plain(name): i for i in reversed(evidence.items) if i.kind == "hashtag" for name in _spellings(i)}
        authors = {plain(item.author) for item in evidence.items if item.author}
        others = {f.subject.partition(":")[2] for f in evidence.facts if f.subject.startswith("artist:")}
        self._people = authors | {plain(evidence.creator_id)} | {plain(name) for name in others}
        self.untrusted = tuple(t for item in evidence.items for t in (item.title, item.author or "") if t)
        told = {text for f in evidence.facts for text in (f.name.replace("_", " "), f.source)}
        self.free_words = Vocabulary(words.free, trusted, _words(told))
        self._words = Vocabulary(*self.free_words.parts, _words((evidence.creator_id, evidence.region or "")))
        known = (*self.untrusted, *others)
        self._bare = Bare(cleaned(name, 500) for name in known if _letters(name) >= LEAST_BARE)

    def shielded(self, text: str) -> str:
        """The text with no place inside a title or a quotation where a sentence could end."""
        for start, end in self._bare.spans(text):
            text = text[:start] + text[start:end].replace(" ", "\u00a0") + text[end:]
        return _QUOTED.sub(lambda m: m[0].replace(" ", "\u00a0"), text)

    def prose(self, passage: Passage, text: str) -> str:
        """The text without its citations and without the harmless titles, tags and names that it names properly."""
        if _MARKED.search(text):
            for pattern in (_QUOTED, _TAG):
                text = pattern.sub(lambda m: m[0] if self._unknown(m) else " " * len(m[0]), text)
        return CITATION.sub(" ", self._unnamed(passage, text, " "))

    def _unknown(self, match: re.Match[str]) -> bool:
        said = next(group for group in match.groups() if group)
        return is_suspect(said) or not (plain(said) in self._titles or plain(said) in self._tags)

    def _unnamed(self, passage: Passage, text: str, fill: str) -> str:
        """The text with names taken out; a title that reads like a sentence only where its item is cited or played."""
        own = {name for group in CITATION.findall(text) for name in _ITEM_ID.findall(group)}
        own |= set(passage.play.items) if passage.play else set()
        for start, end in self._bare.spans(text):
            said = text[start:end]
            item = self._titles.get(plain(said))
            is_name = len(said.split()) < SENTENCE_WORDS or (item is not None and item.id in own)
            if is_name and not is_suspect(said):
                text = text[:start] + fill * (end - start) + text[end:]
        return text

    def mentioned(self, text: str) -> Iterator[RankedItem]:
        """The items that a text names by a tag or a quoted title."""
        if not _MARKED.search(text):
            return
        for match in _TAG.finditer(text):
            if item := self._tags.get(plain(match[1])):
                yield item
        for match in _QUOTED.finditer(text):
            if item := self._titles.get(plain(next(g for g in match.groups() if g))):
                yield item

    def judge(self, passage: Passage, sentence: str, judge: Judge) -> str:
        """Judge every name of a sentence; the sentence with the names blanked out."""
        text = sentence
        if _MARKED.search(sentence):
            self._judge_places(passage, sentence, judge)
            for pattern, kind in ((_QUOTED, "title"), (_TAG, "hashtag"), (_HANDLE, "person")):
                for match in pattern.finditer(text):
                    said = next(g for g in match.groups() if g)
                    known = self._is_known(kind, said, passage, sentence, match.start())
                    judge(known, match[0], f"no ranked item or known {kind}")
                    text = text[: match.start()] + "·" * len(match[0]) + text[match.end() :]
        text = self._unnamed(passage, text, "·")
        text = CITATION.sub(lambda m: " " * len(m[0]), text)
        return self._judge_people(passage, text, judge)

    def _is_known(self, kind: str, said: str, passage: Passage, sentence: str, place: int) -> bool:
        if kind == "hashtag":
            return plain(said) in self._tags
        if kind == "person":
            return plain(said) in self._people
        if passage.form == "public" and not self._language.title.search(sentence[:place]):
            return True  # a hook may quote speech; names inside it are judged as names
        return plain(said) in self._titles or plain(said) in self._tags or self._words.holds(_words_in(said))

    def _judge_places(self, passage: Passage, sentence: str, judge: Judge) -> None:
        """A name right before a citation must be that item's; a play names only its own items."""
        for match in CITATION.finditer(sentence):
            items = set(_ITEM_ID.findall(match[1]))
            if not items or _FACT_ID.search(match[1]):
                continue
            named = list(self._named_before(sentence[: match.start()]))
            if named:
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
        language = self._language
        for pattern in (language.acts, language.beside, language.song, _FEAT):
            for match in pattern.finditer(text) if pattern else ():
                said = match[1]
                judge(self._knows(said), said, "no known artist or title")
                text = text[: match.start()] + _LETTERS.sub("·", match[0]) + text[match.end() :]
        if passage.form == "public":
            words = _LONG_WORD.findall(text)
            if len(words) > 1 and sum(w[0].isupper() for w in words) > 0.6 * len(words):
                return text
        for match in _RUN.finditer(text):
            said = match[0] if _goes_on(text, match.start()) else " ".join(match[0].split()[1:])
            if not said or _letters(said) < 2 or _SHORT.fullmatch(said):
                continue
            if language.capitals or (" " in said and not any(w in self._words for w in _words_in(said))):
                judge(self._knows(said), said, "no known artist or title")
        return text

    def _knows(self, said: str) -> bool:
        return plain(said) in self._people or self._words.holds(_words_in(said))


def _even(text: str) -> str:
    return text.lower().replace("\u00a0", " ")


def _reaches(text: str, at: int) -> bool:
    """Whether a word goes on at this place."""
    return 0 <= at < len(text) and (text[at].isalnum() or text[at] == "_")


def _goes_on(text: str, place: int) -> bool:
    """Whether a sentence has begun before this place."""
    before = text[:place].rstrip(" \"'“«‘([")
    return bool(before) and before[-1] not in ".!?…:;–—|/\n"


def _spellings(item: RankedItem) -> tuple[str, ...]:
    return item.title, item.key.rpartition(":")[2]


def _letters(text: str) -> int:
    return sum(c.isalpha() for c in text)


def _words(texts: Iterable[str]) -> frozenset[str]:
    return frozenset().union(*map(_words_in, texts))


@lru_cache(maxsize=8192)
def _words_in(text: str) -> frozenset[str]:
    found = _WORD.findall(unicodedata.normalize("NFKC", text))
    return frozenset(form for w in found for form in (w.casefold(), w.casefold().partition("'")[0].partition("’")[0]))
