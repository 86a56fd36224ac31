"""What strangers wrote: cleaned, capped, and recognised where it is no title but a message to a machine."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

from serving.strategies.schemas import Evidence, RankedItem

TITLE_CHARACTERS: Final = 120
ECHO_WORDS: Final = 4
"""A draft that repeats so many words of a title in a row, without naming it, obeys it or quotes it."""

_TLDS = (
    "com|net|org|io|ly|me|gg|co|tv|app|xyz|ru|cn|de|fr|es|br|uk|info|biz|site|online|shop|link|dev|ai|to|cc|top|club"
)
LINK: Final = re.compile(
    rf"(?:h(?:tt|xx)ps?\s*:|ftp:|data:|javascript:|mailto:|www\s*\.)\S*|\b[\w-]+(?:\.[\w-]+)*\.(?:{_TLDS})\b(?:/\S*)?"
    rf"|\b\w+\s*(?:\[|\()?\s*dot\s*(?:\]|\))?\s*(?:{_TLDS})\b|\]\s*\(|[\w.+-]+@[\w-]+\.\w+|\S+://\S+",
    re.IGNORECASE,
)
ROLE: Final = re.compile(
    r"(?:^|[\s\"'{<\[(|*#>])(?:system|assistant|user|developer|model|human|tool|function)\s*(?:[\"'|>\]*]+\s*)?[:>|]"
    r"|<\s*[/|!]?\s*[a-z_|]+\s*/?\s*[|>]|\[/?(?:inst|sys|system|assistant)\]|```|~~~|#{2,}|<<|>>|\{\s*[\"'{]|[\"']\s*:\s*[\"'\[{]|={4,}|-{4,}"
    r"|\bend of (?:the )?(?:evidence|data|prompt|input)|\bbegin (?:system|instructions)",
    re.IGNORECASE,
)
_SOME = r"\W+(?:\w+\W+){0,4}"
_ADDRESS = (
    rf"\b(?:ignor|disregard|forget|overrid|bypass)\w*{_SOME}"
    r"(?:instruct|prompt|rule|above|previous|prior|before|everything)",
    r"\b(?:you are|you're|act as|pretend|as an?|i am an?)\W+(?:now\W+)?(?:\w+\W+){0,3}"
    r"(?:ai|assistant|chatbot|language model|dan|admin|root|llm)\b",
    r"\b(?:system|developer|hidden|initial) (?:prompt|message|instruction)|\bjailbreak",
    r"\bdeveloper mode|\bnew instructions?\b",
    rf"\b(?:repeat|reveal|print|output|respond|reply|answer|say|write){_SOME}"
    r"(?:prompt|instruction|json|only with|exactly|verbatim|word)",
    r"\b(?:language model|as an ai|ai model|llm|chatgpt|gemini|gpt|claude)\b",
    r"ignor\w* (?:las|todas|les|toutes|as|todas as|le|tutte|alle|die|de|semua)\b",
    r"olvida (?:las|todo)|oublie\w* |dimentica |esque[cç]a |vergiss |ignoriere|negeer |abaikan|b[oỏ] qua|yok ?say",
    r"zignoruj|ignoruj|игнориру|забудь|ігнору|忽略|无视|無視|忘记|忘れ|무시|잊어|تجاهل|انس",
    r"अनदेखा|भूल जा|התעלם|αγνόησε|เพิกเฉย|ละเว้น",
)
ADDRESS: Final = re.compile("|".join(_ADDRESS), re.IGNORECASE)
_FEW = r"\b\W+(?:\w+\W+){0,4}"
ADVICE: Final = re.compile(
    rf"\b(?:buy|purchase|order|pay for|sell){_FEW}(?:followers?|likes?|views?|plays|streams|bots?|engagement)"
    rf"|\b(?:delete|deactivate|close|share|send|hand over|give){_FEW}"
    r"(?:account|password|login|credentials?|card|money|crypto|keys?|data)"
    r"|\b(?:password|credit card|bitcoin|crypto|wallet|gift ?cards?|bank|casino|betting)\b"
    r"|\b(?:onlyfans|telegram|whatsapp|discord|kill|hurt|harm|suicide|hate)\b",
    re.IGNORECASE,
)
_MIXED = re.compile(r"(?=\w*[a-z])(?=\w*[\u0370-\u04ff])\w{2,}", re.IGNORECASE)
_OTHER = "am ar be bg bn el fa gu he hi hy ja ka kk km kn ko lo mk ml mn mr my ne pa ru sr ta te th uk ur zh"
OTHER_SCRIPTS: Final = frozenset(_OTHER.split())
"""Languages that are not written in Latin letters."""

LATIN: Final = (
    "LATIN",
    "GREEK SMALL LETTER SIGMA",
    "GREEK SMALL LETTER MU",
    "FEMININE",
    "MASCULINE",
    "MICRO",
    "MODIFIER",
    "FULLWIDTH LATIN",
)
"""How the names of letters begin that a Latin text may hold: its own, ordinals, units and modifiers."""

_WORD = re.compile(r"[^\W\d_]{2,}")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@lru_cache(maxsize=4096)
def cleaned(text: str, most: int = TITLE_CHARACTERS) -> str:
    """One line without control, format or private characters, in compatibility form, of at most `most` characters."""
    kept = "".join(" " if _breaks(c) else c for c in unicodedata.normalize("NFKC", text) if not _is_hidden(c))
    return " ".join(kept.split())[:most].rstrip()


def hidden_characters(text: str) -> bool:
    """Whether a text carries characters that nobody sees, or letters of two alphabets in one word."""
    if text.isascii():
        return _CONTROL.search(text) is not None
    return any(map(_is_hidden, text)) or _MIXED.search(text) is not None


def foreign_words(text: str) -> str:
    """The first run of letters of a text that are not Latin; empty where there is none."""
    if text.isascii():
        return ""
    letters = (c if c.isalpha() and not _is_latin(c) else " " for c in text)
    return next(iter("".join(letters).split()), "")


def offences(text: str) -> tuple[tuple[str, str], ...]:
    """(what was said, why it must not be) for links, role markers and words to a machine; nothing for plain prose."""
    return _offences(text if text.isascii() else unicodedata.normalize("NFKC", text))


@lru_cache(maxsize=8192)
def _offences(plain: str) -> tuple[tuple[str, str], ...]:
    found = []
    for pattern, why in ((LINK, "a link"), (ROLE, "a role marker or code"), (ADDRESS, "speaks to a machine")):
        found += [(said[0].strip(), why) for said in pattern.finditer(plain)]
    return tuple(found)


@lru_cache(maxsize=4096)
def is_suspect(text: str) -> bool:
    """Whether a title or name is no title: a link, code, words to a machine, or harmful advice."""
    return hidden_characters(text) or bool(offences(text)) or ADVICE.search(text) is not None


def withheld(evidence: Evidence) -> Evidence:
    """The evidence with suspect titles and names replaced by plain ones; everything else as it was."""
    return evidence.model_copy(update={"items": tuple(_shown(item) for item in evidence.items)})


class Vocabulary:
    """Words that may be used, in several sets that are asked one after the other rather than joined for each text."""

    def __init__(self, *parts: frozenset[str]) -> None:
        self.parts = parts

    def __contains__(self, word: str) -> bool:
        return any(word in part for part in self.parts)

    def holds(self, words: Iterable[str]) -> bool:
        """Whether all of these words are in it."""
        return all(word in self for word in words)


class Echoes:
    """Finds phrases of untrusted texts that a text repeats.

    Args:
        untrusted: titles and names.
        trusted: words that may be used freely, in lower case.
    """

    def __init__(self, untrusted: Iterable[str], trusted: Vocabulary) -> None:
        self._runs: set[tuple[str, ...]] = set()
        self._words: set[str] = set()
        for other in untrusted:
            words = _words(other)
            runs = (words[i : i + ECHO_WORDS] for i in range(len(words) - ECHO_WORDS + 1))
            self._runs |= {run for run in runs if not trusted.holds(run)}
            if is_suspect(other):
                self._words |= {w for w in words if len(w) >= ECHO_WORDS and w not in trusted}

    def of(self, text: str) -> Iterator[str]:
        """The phrases of a text that has the titles which it names taken out."""
        if not self._runs and not self._words:
            return
        said = [w.casefold() for w in _WORD.findall(text)]
        runs = {tuple(said[i : i + ECHO_WORDS]) for i in range(len(said) - ECHO_WORDS + 1)}
        yield from sorted(" ".join(run) for run in runs & self._runs)
        yield from sorted(self._words.intersection(said))


@lru_cache(maxsize=4096)
def _words(text: str) -> tuple[str, ...]:
    return tuple(word.casefold() for word in _WORD.findall(cleaned(text, 10_000)))


def _shown(item: RankedItem) -> RankedItem:
    title = f"{item.kind} {item.id}" if is_suspect(item.title) or not cleaned(item.title) else cleaned(item.title)
    author = None if item.author is None or is_suspect(item.author) else cleaned(item.author)
    return item.model_copy(update={"title": title, "author": author})


def _breaks(character: str) -> bool:
    return character.isspace()


@lru_cache(maxsize=4096)
def _is_hidden(character: str) -> bool:
    if character in "\n\t\r ":
        return False
    return unicodedata.category(character) in {"Cc", "Cf", "Co", "Cn", "Cs"} and character != "\u200d"


@lru_cache(maxsize=4096)
def _is_latin(character: str) -> bool:
    return unicodedata.name(character, "LATIN").startswith(LATIN)
