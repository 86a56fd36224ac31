"""Creators' own posts with everything that was ever counted of them, as arrays, read from the lake by name."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

import numpy as np

from features.contract import trend_key
from features.history import Floats, Ints, Strings

METRICS: Final = ("view_count", "like_count")
"""What posts are compared by."""


@dataclass(frozen=True)
class OwnPosts:
    """Posts of one creator, oldest first, and every count of them that was known.

    Attributes:
        ids: shape (p,).
        created: when each was made, µs since 1970 UTC, shape (p,).
        keys: hashtags and sound of each as trend keys, length p.
        post: of each observation, its post, ascending, shape (o,).
        observed: when it was made, µs, ascending within a post, shape (o,).
        counts: metric → its count at each observation, NaN where unknown, shape (o,).
    """

    ids: Strings
    created: Ints
    keys: tuple[frozenset[str], ...]
    post: Ints
    observed: Ints
    counts: dict[str, Floats]

    def __len__(self) -> int:
        return len(self.ids)


def own_posts(connection: Any, creators: Collection[str], since: datetime, until: datetime) -> dict[str, OwnPosts]:
    """Creator → their posts made between two instants, with counts observed by the second; creators without are absent.

    Args:
        connection: the lake's DuckDB connection.
        since, until: aware instants.
    """
    sql = connection.cursor()
    sql.execute(
        """
        CREATE OR REPLACE TEMP TABLE own AS
        SELECT id, username, create_time, music_id, hashtag_names,
               row_number() OVER (PARTITION BY username ORDER BY create_time, id) - 1 AS place
        FROM videos WHERE create_time BETWEEN $since AND $until AND username IN (SELECT unnest($names::VARCHAR[]))
        """,
        {"names": list(creators), "since": since, "until": until},
    )
    posts = _columns(
        sql,
        "SELECT username, id, epoch_us(create_time) AS created, music_id, hashtag_names FROM own ORDER BY 1, place",
    )
    told = ", ".join(f"{name}::DOUBLE AS {name}" for name in METRICS)
    counts = _columns(
        sql,
        f"""
        SELECT username, place, epoch_us(observed_at) AS observed, {told}
        FROM video_metrics JOIN own USING (id) WHERE observed_at BETWEEN $since AND $until ORDER BY 1, 2, 3
        """,
        {"since": since, "until": until},
    )
    wrong = (counts["view_count"] == 0) & (counts["like_count"] > 0)  # some sources write 0 where they do not know
    counts["view_count"] = np.where(wrong, np.nan, counts["view_count"])
    looks = dict(_by_creator(counts))
    return {name: _made(part, looks.get(name)) for name, part in _by_creator(posts)}


def _columns(sql: Any, query: str, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
    """Columns as arrays; numbers that are missing are NaN."""
    table = sql.sql(query, params=parameters or {}).to_arrow_table()
    return {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}


def _by_creator(columns: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows that are sorted by `username`, cut where it changes."""
    names = columns["username"]
    cuts = [0, *(np.flatnonzero(names[1:] != names[:-1]) + 1), len(names)] if len(names) else [0]
    for start, end in pairwise(cuts):
        yield str(names[start]), {name: column[start:end] for name, column in columns.items()}


def _made(posts: dict[str, Any], looks: dict[str, Any] | None) -> OwnPosts:
    none: dict[str, Any] = {name: np.zeros(0) for name in ("place", "observed", *METRICS)}
    seen = looks or none
    return OwnPosts(
        ids=posts["id"],
        created=posts["created"].astype(np.int64),
        keys=tuple(_keys(*row) for row in zip(posts["music_id"], posts["hashtag_names"], strict=True)),
        post=seen["place"].astype(np.int64),
        observed=seen["observed"].astype(np.int64),
        counts={name: np.asarray(seen[name], np.float64) for name in METRICS},
    )


def _keys(music_id: str | None, tags: Any) -> frozenset[str]:
    found = {trend_key("hashtag", tag) for tag in (tags if tags is not None else ())}
    return frozenset(found | ({trend_key("sound", music_id)} if music_id else set()))
