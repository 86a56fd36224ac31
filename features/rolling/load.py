"""What a rolling history begins with: all that a lake holds, split into what is known by now and what comes later."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from features.captions import spoken_words
from features.contract import COUNTS
from features.errors import EmptyLake
from features.history import History, Strings, load_history
from features.rolling.keys import KnownKeys

if TYPE_CHECKING:
    from configs import Settings


@dataclass(frozen=True)
class Base:
    """The content of a lake as of an instant.

    Attributes:
        history: what is known; None where no post is.
        titles, authors: of each known post's sound, None where unknown.
        spoken: creator and word of every pair, see `features.captions`.
        observed: the observations of known posts so far, in the order of time: `id`, `instant` (µs), the counts.
        followers: latest known per creator: when (µs) and how many.
        market: public counts so far per `key` and `observed` (µs), with the regions that they come from.
        later: rows by table that are not known yet, or speak of posts that are not.
        keys: of every row, by table.
    """

    history: History | None
    titles: Strings
    authors: Strings
    spoken: tuple[Strings, Strings]
    observed: dict[str, Any]
    followers: dict[str, tuple[int, float]]
    market: dict[str, Any]
    later: dict[str, list[dict[str, Any]]]
    keys: dict[str, KnownKeys]


def read(connection: Any, now: datetime, settings: Settings) -> Base:
    """Read a lake through its DuckDB connection."""
    sql, known = connection.cursor(), settings.lake.posts_known
    try:
        history: History | None = load_history(
            connection, now, known, settings.trends.pool.original_titles, settings.trends.windows_days
        )
    except EmptyLake:
        history = None
    is_known = "create_time <= $now" + (" AND first_seen_at <= $now" if known == "observed" else "")
    sql.execute(
        "CREATE OR REPLACE TEMP TABLE known AS SELECT id, create_time, username, video_description, music_id, "
        f"music_title, music_author FROM posts WHERE {is_known}",
        {"now": now},
    )
    sounds = _columns(sql, "SELECT music_title, music_author FROM known ORDER BY create_time, id")
    later = {
        "videos": _rows(sql, "SELECT * EXCLUDE (first_seen_at) FROM posts ANTI JOIN known USING (id)"),
        "video_metrics": _rows(
            sql,
            "SELECT * FROM video_metrics WHERE observed_at > $now OR id NOT IN (SELECT id FROM known)",
            now=now,
        ),
        "creator_metrics": _rows(sql, "SELECT * FROM creator_metrics WHERE observed_at > $now", now=now),
        "trend_snapshots": _rows(sql, "SELECT * FROM trend_snapshots WHERE observed_at > $now", now=now),
    }
    return Base(
        history=history,
        titles=sounds["music_title"].astype(object),
        authors=sounds["music_author"].astype(object),
        spoken=spoken_words(sql, settings.trends.pool.original_titles),
        observed=_observed(sql, now),
        followers=_followers(sql, now),
        market=_market(sql, now),
        later=later,
        keys=_keys(sql, now),
    )


def _observed(sql: Any, now: datetime) -> dict[str, Any]:
    counts = ", ".join(f"{name}::DOUBLE AS {name}" for name in COUNTS)
    found = _columns(
        sql,
        f"SELECT m.id, epoch_us(observed_at) AS instant, {counts} FROM video_metrics m SEMI JOIN known USING (id) "
        "WHERE observed_at <= $now ORDER BY instant, m.id",
        now=now,
    )
    return found | {name: np.asarray(found[name], float) for name in COUNTS}


def _followers(sql: Any, now: datetime) -> dict[str, tuple[int, float]]:
    found = _columns(
        sql,
        "SELECT username, epoch_us(max(observed_at)) AS instant, arg_max(follower_count, observed_at) AS followers "
        "FROM creator_metrics WHERE observed_at <= $now AND follower_count IS NOT NULL GROUP BY username",
        now=now,
    )
    rows = zip(found["username"].tolist(), found["instant"].tolist(), found["followers"].tolist(), strict=True)
    return {name: (at, float(followers)) for name, at, followers in rows}


def _market(sql: Any, now: datetime) -> dict[str, Any]:
    found = _columns(
        sql,
        """
        SELECT trend_type || ':' || trend_id AS key, epoch_us(observed_at) AS observed,
               arg_min(value, region)::DOUBLE AS value, min(region) FILTER (value IS NOT NULL) AS value_region,
               arg_min(position, region)::DOUBLE AS place, min(region) FILTER (position IS NOT NULL) AS place_region
        FROM trend_snapshots WHERE observed_at <= $now AND trend_type <> 'creator' GROUP BY 1, 2 ORDER BY 1, 2
        """,
        now=now,
    )
    return found | {name: np.asarray(found[name], float) for name in ("value", "place")}


def _keys(sql: Any, now: datetime) -> dict[str, KnownKeys]:
    """Keys of the rows so far; those of later rows are remembered when these rows are taken in."""
    names = {
        "video_metrics": "id",
        "creator_metrics": "username",
        "trend_snapshots": "trend_type || ':' || trend_id || chr(10) || region",
    }
    keys = {}
    for table, name in names.items():
        so_far = "observed_at <= $now" + (" AND id IN (SELECT id FROM known)" if table == "video_metrics" else "")
        found = _columns(
            sql, f"SELECT {name} AS name, epoch_us(observed_at) AS instant FROM {table} WHERE {so_far}", now=now
        )
        keys[table] = KnownKeys(found["name"].tolist(), found["instant"].astype(np.int64))
    return keys


def _columns(sql: Any, query: str, **parameters: Any) -> dict[str, Any]:
    table = sql.sql(query, params=parameters).to_arrow_table()
    return {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}


def _rows(sql: Any, query: str, **parameters: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = sql.sql(query, params=parameters).to_arrow_table().to_pylist()
    return rows
