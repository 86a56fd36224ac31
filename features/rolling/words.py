"""What the creators of a rolling history say beside trends, post by post."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
import pyarrow as pa

from features.captions import CAPTION, LEAST_CREATORS, ORIGINAL, most_creators, spoken_words
from features.history import Ints, Strings

_NAMED: Final = re.compile(r"[#@][^\t\n\f\r ]+")
_WORD: Final = re.compile(r"[^\W\d_]{2,}")
_KNOWN: Final = pa.schema(
    [(name, pa.string()) for name in ("username", "video_description", "music_id", "music_title")]
)


class Spoken:
    """Every word of every creator, and how many creators say it.

    Args:
        original_titles: sounds with these titles are a creator's own audio.
    """

    def __init__(self, original_titles: Iterable[str]) -> None:
        self._titles = tuple(original_titles)
        self._of: dict[str, set[str]] = {}
        self._sayers: Counter[str] = Counter()
        self._sql: Any = None

    def say(self, creators: Iterable[str], words: Iterable[str]) -> None:
        """Take in pairs of a creator and a word."""
        for creator, word in zip(creators, words, strict=True):
            theirs = self._of.setdefault(creator, set())
            if word not in theirs:
                theirs.add(word)
                self._sayers[word] += 1

    def hear(self, posts: Sequence[dict[str, str | None]]) -> None:
        """Take in posts: username, video_description, music_id, music_title; by the rules of the batch."""
        foreign = []
        for post in posts:
            words = _words_of(post, self._titles)
            if words is None:
                foreign.append(post)
            else:
                self.say([post["username"] or ""] * len(words), words)
        if foreign:
            self.say(*self._asked(foreign))

    def _asked(self, posts: Sequence[dict[str, str | None]]) -> tuple[Strings, Strings]:
        """What the batch's own query finds."""
        import duckdb

        if self._sql is None:
            self._sql = duckdb.connect()
        self._sql.register("known", pa.Table.from_pylist(list(posts), _KNOWN))
        return spoken_words(self._sql, self._titles)

    def of(self, creators: Sequence[str], everybody: int) -> tuple[Strings, Ints, Ints]:
        """As `features.captions.said_words`, of some creators among `everybody` that there are."""
        most = most_creators(everybody)
        said = [
            sorted(word for word in self._of.get(name, ()) if LEAST_CREATORS <= self._sayers[word] <= most)
            for name in creators
        ]
        words = sorted({word for theirs in said for word in theirs})
        place = {word: i for i, word in enumerate(words)}
        by = np.repeat(np.arange(len(said)), [len(theirs) for theirs in said])
        numbers = np.array([place[word] for theirs in said for word in theirs], np.int64)
        return np.array([*words, None], object)[:-1], by, numbers


def _words_of(post: dict[str, str | None], original_titles: tuple[str, ...]) -> list[str] | None:
    """The words of a caption in Latin letters; None for one in which Unicode versions might tell letters apart."""
    found = []
    if text := post["video_description"]:
        if not all(map(_is_plain, text)):
            return None
        lower = "".join(map(str.lower, text))
        found = [CAPTION + word for word in _WORD.findall(_NAMED.sub(" ", lower))]
    if post["music_id"] is not None and (post["music_title"] or "") in original_titles:
        found.append(ORIGINAL + post["music_id"])
    return found


@lru_cache(maxsize=10_000)
def _is_plain(character: str) -> bool:
    """A Latin letter, or surely none."""
    if character.isascii() or "À" <= character <= "ɏ" or "Ạ" <= character <= "ỹ":
        return len(character.lower()) == 1
    return unicodedata.category(character) in ("So", "Sm", "Sc", "Sk", "Po", "Pd", "Ps", "Pe", "Pi", "Pf", "Cf", "Zs")
