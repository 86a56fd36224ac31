"""What creators say beside the trends they use: the words of their captions, and each other's original sounds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Strings = npt.NDArray[np.object_]

CAPTION: Final = "caption:"
ORIGINAL: Final = "original:"
LEAST_CREATORS: Final = 2
"""A word that one creator alone says connects nobody."""
MOST_SHARE: Final = 0.2
"""A word that more of the creators say tells nobody apart."""


def said_words(sql: Any, creators: npt.NDArray[Any], original_titles: tuple[str, ...]) -> tuple[Strings, Ints, Ints]:
    """Who said which word by the instant of the temporary table `known`, of the words that connect creators.

    Args:
        sql: a DuckDB cursor with the table `known` of posts.
        creators: names, sorted, shape (c,).
        original_titles: sounds with these titles are a creator's own audio.

    Returns:
        Keys of the words, sorted, shape (w,); creator and word of every pair, ascending, shapes (s,).
    """
    names, said = _pairs(
        sql,
        "SELECT username, word FROM pairs QUALIFY count(*) OVER (PARTITION BY word) BETWEEN $least AND $most",
        titles=list(original_titles),
        least=LEAST_CREATORS,
        most=most_creators(len(creators)),
    )
    words, word = np.unique(said.astype(str), return_inverse=True)
    creator = np.searchsorted(creators, names.astype(str))
    order = np.lexsort((word, creator))
    return words.astype(object), creator[order].astype(np.int64), word[order].astype(np.int64)


def spoken_words(sql: Any, original_titles: Iterable[str]) -> tuple[Strings, Strings]:
    """Creator and key of every word in the temporary table `known`, each pair once, whoever else says it.

    Words are runs of at least two letters in lower case, without hashtags and mentions. A creator's own audio that
    others use is a word, too: it is no trend, but says who listens to whom.
    """
    return _pairs(sql, "SELECT username, word FROM pairs", titles=list(original_titles))


def most_creators(creators: int) -> float:
    """How many of so many creators may say a word that tells some of them apart."""
    return max(MOST_SHARE * creators, LEAST_CREATORS)


def _pairs(sql: Any, query: str, **parameters: Any) -> tuple[Strings, Strings]:
    table = sql.sql(
        f"""
        WITH texts AS (
            SELECT username, regexp_replace(lower(video_description), '[#@]\\S+', ' ', 'g') AS text
            FROM known WHERE video_description IS NOT NULL
        ), pairs AS (
            SELECT DISTINCT username, '{CAPTION}' || unnest(regexp_extract_all(text, '\\p{{L}}{{2,}}')) AS word
            FROM texts
            UNION ALL
            SELECT DISTINCT username, '{ORIGINAL}' || music_id FROM known
            WHERE music_id IS NOT NULL AND coalesce(music_title, '') IN (SELECT unnest($titles::VARCHAR[]))
        )
        {query}
        """,
        params=parameters,
    ).to_arrow_table()
    names, words = (table[name].to_numpy(zero_copy_only=False) for name in ("username", "word"))
    return names.astype(object), words.astype(object)
