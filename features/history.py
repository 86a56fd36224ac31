"""What was known of posts, uses and counts as of one instant, as arrays in one canonical order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from features.captions import said_words
from features.contract import COUNTS, trend_key
from features.errors import EmptyLake

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Strings = npt.NDArray[np.object_]

SECOND = 1_000_000
DAY = 86_400 * SECOND
"""Microseconds in a day: instants are int64 microseconds since 1970, UTC."""

UNKNOWN_REGION = -1

KNOWN_FROM: Final = {"created": "create_time", "observed": "greatest(create_time, first_seen_at)"}
"""From when a post of the lake's view is known, by `lake.posts_known`, in SQL."""


def micros(instant: datetime) -> int:
    """An aware instant as microseconds since 1970, UTC."""
    return int(instant.timestamp()) * SECOND + instant.microsecond


@dataclass(frozen=True)
class History:
    """Posts, uses and the latest known counts as of `as_of`; nothing later is in it.

    Posts are sorted by (created, id), uses by (post, trend), creators, regions and trends by name, so that the
    order of rows in the lake cannot show. Counts that nobody had observed by `as_of` are NaN.

    Attributes:
        as_of: the instant, UTC.
        creators: names, shape (c,).
        followers: latest known follower count per creator, shape (c,).
        regions: region codes, shape (r,).
        posts: column name → array of shape (p,): creator, region (index or `UNKNOWN_REGION`), created (µs),
            duration (s), counted (µs, when views were last observed; 0 never), one column per count, and
            `view_count_<w>d_ago` as known w days earlier.
        use_post, use_trend: indices into posts and trends, shape (u,).
        words: keys of what creators say beside trends, see `features.captions`, sorted, shape (w,).
        said_by, said: creator and word of every pair, ascending, shape (s,).
        trends: column name → array of shape (t,): key, type, id, name, author.
        market: public counts per trend, observation by observation: trend, observed (µs), value, position.
    """

    as_of: datetime
    creators: Strings
    followers: Floats
    regions: Strings
    posts: dict[str, Any]
    use_post: Ints
    use_trend: Ints
    words: Strings
    said_by: Ints
    said: Ints
    trends: dict[str, Strings]
    market: dict[str, Any]

    @property
    def now(self) -> int:
        """`as_of` in microseconds."""
        return micros(self.as_of)

    @property
    def use_creator(self) -> Ints:
        """The creator of every use, shape (u,)."""
        return np.asarray(self.posts["creator"][self.use_post])

    @property
    def use_created(self) -> Ints:
        """The instant of every use in µs, shape (u,)."""
        return np.asarray(self.posts["created"][self.use_post])

    def first_uses(self) -> npt.NDArray[np.bool_]:
        """Which uses are adoptions: the creator's first with that trend, shape (u,)."""
        pair = self.use_creator * max(len(self.trends["key"]), 1) + self.use_trend
        first = np.zeros(len(pair), bool)
        first[np.unique(pair, return_index=True)[1]] = True
        return first


def load_history(
    connection: Any,
    as_of: datetime,
    posts_known: Literal["created", "observed"],
    original_titles: tuple[str, ...],
    windows_days: tuple[int, ...] = (1, 3, 7, 28),
) -> History:
    """Read the lake as of an instant.

    Args:
        connection: the lake's DuckDB connection.
        as_of: aware instant; posts created and counts observed later do not exist yet.
        posts_known: whether a post is known from its creation or from when it was first seen.
        original_titles: sounds with these titles are a creator's own audio and are no trends.
        windows_days: how many days back earlier view counts are wanted.

    Raises:
        EmptyLake: no post was known by `as_of`.
    """
    sql = connection.cursor()
    _known_posts(sql, as_of, posts_known, windows_days)
    posts = _fetch(sql, "SELECT * EXCLUDE (hashtag_names, video_description) FROM known ORDER BY create_time, id")
    if not len(posts["id"]):
        raise nothing_known(as_of)
    _known_uses(sql, original_titles)
    trends = _trends(sql)
    creators, creator = np.unique(posts["username"].astype(str), return_inverse=True)
    regions, region = _regions(posts["region_code"])
    columns: dict[str, Any] = {
        "id": posts["id"],
        "creator": creator.astype(np.int64),
        "region": region,
        "created": posts["created"].astype(np.int64),
        "duration": _float(posts["video_duration"]),
        "counted": np.nan_to_num(_float(posts["counted"])).astype(np.int64),
    }
    for name in (*COUNTS, *(f"view_count_{w}d_ago" for w in windows_days)):
        columns[name] = _float(posts[name])
    _forget_impossible_zeros(columns, windows_days)
    use_post, use_trend = _uses(sql, trends["key"])
    words, said_by, said = said_words(sql, creators, original_titles)
    return History(
        as_of=as_of,
        creators=creators.astype(object),
        followers=_followers(sql, as_of, creators),
        regions=regions,
        posts=columns,
        use_post=use_post,
        use_trend=use_trend,
        words=words,
        said_by=said_by,
        said=said,
        trends=trends,
        market=_market(sql, as_of, trends["key"]),
    )


def nothing_known(as_of: datetime) -> EmptyLake:
    """The error of an instant that nothing was known by."""
    return EmptyLake(f"no post was known by {as_of:%Y-%m-%d %H:%M} UTC: ingest data, or choose a later --as-of")


def _fetch(sql: Any, query: str, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
    """One query's columns as numpy arrays, SQL nulls as None or NaN."""
    table = sql.sql(query, params=parameters or {}).to_arrow_table()
    return {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}


def _float(column: npt.NDArray[Any]) -> Floats:
    return np.asarray(column, dtype=np.float64)


def _forget_impossible_zeros(posts: dict[str, Any], windows_days: tuple[int, ...]) -> None:
    """Nobody likes a post that nobody has seen: sources write 0 views where they do not know them."""
    wrong = (posts["view_count"] == 0) & (posts["like_count"] > 0)
    for name in ("view_count", *(f"view_count_{w}d_ago" for w in windows_days)):
        posts[name] = np.where(wrong, np.nan, posts[name])


def _known_posts(sql: Any, as_of: datetime, posts_known: str, windows_days: tuple[int, ...]) -> None:
    latest = ", ".join(f"arg_max({name}, observed_at) AS {name}" for name in COUNTS)
    latest += ", epoch_us(max(observed_at) FILTER (WHERE view_count IS NOT NULL)) AS counted"
    earlier = ", ".join(
        f"arg_max(view_count, observed_at) FILTER (WHERE observed_at <= $ago_{w}) AS view_count_{w}d_ago"
        for w in windows_days
    )
    sql.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE known AS
        SELECT p.id, p.create_time, epoch_us(p.create_time) AS created, p.username, p.region_code, p.video_duration,
               p.music_id, p.music_title, p.music_author, p.hashtag_names, p.video_description, counts.* EXCLUDE (id)
        FROM posts p
        LEFT JOIN (SELECT id, {latest}, {earlier} FROM video_metrics WHERE observed_at <= $now GROUP BY id) counts
          ON counts.id = p.id
        WHERE {KNOWN_FROM[posts_known]} <= $now
        """,
        {"now": as_of, **{f"ago_{w}": as_of - timedelta(days=w) for w in windows_days}},
    )


def _known_uses(sql: Any, original_titles: tuple[str, ...]) -> None:
    sql.execute(
        """
        CREATE OR REPLACE TEMP TABLE used AS
        SELECT DISTINCT id, create_time, 'hashtag' AS trend_type, unnest(hashtag_names) AS trend_id,
               NULL::VARCHAR AS name, NULL::VARCHAR AS author
        FROM known
        UNION ALL
        SELECT id, create_time, 'sound', music_id, music_title, music_author
        FROM known
        WHERE music_id IS NOT NULL AND coalesce(music_title, '') NOT IN (SELECT unnest($titles::VARCHAR[]))
        """,
        {"titles": list(original_titles)},
    )


def _trends(sql: Any) -> dict[str, Strings]:
    columns = _fetch(
        sql,
        """
        SELECT trend_type, trend_id,
               coalesce(arg_max(name, (create_time, id)), trend_id) AS name,
               arg_max(author, (create_time, id)) AS author
        FROM used GROUP BY trend_type, trend_id
        """,
    )
    key = np.array([trend_key(t, i) for t, i in zip(columns["trend_type"], columns["trend_id"], strict=True)], object)
    order = np.argsort(key.astype(str), kind="stable")
    named = {"key": key, "type": columns["trend_type"], "id": columns["trend_id"]}
    named |= {"name": columns["name"], "author": columns["author"]}
    return {name: np.asarray(column, object)[order] for name, column in named.items()}


def _uses(sql: Any, keys: Strings) -> tuple[Ints, Ints]:
    sql.register("trend_order", _indexed(keys))
    columns = _fetch(
        sql,
        """
        WITH numbered AS (SELECT id, row_number() OVER (ORDER BY create_time, id) - 1 AS post FROM known)
        SELECT n.post, t.position AS trend
        FROM used u JOIN numbered n ON n.id = u.id JOIN trend_order t ON t.key = u.trend_type || ':' || u.trend_id
        ORDER BY n.post, t.position
        """,
    )
    return columns["post"].astype(np.int64), columns["trend"].astype(np.int64)


def _indexed(keys: Strings) -> Any:
    import pyarrow as pa

    return pa.table({"key": pa.array(list(keys), pa.string()), "position": np.arange(len(keys))})


def _regions(codes: npt.NDArray[Any]) -> tuple[Strings, Ints]:
    known = np.array([code is not None and code != "" for code in codes], bool)
    region = np.full(len(codes), UNKNOWN_REGION, np.int64)
    names, inverse = np.unique(codes[known].astype(str), return_inverse=True)
    region[known] = inverse
    return names.astype(object), region


def _followers(sql: Any, as_of: datetime, creators: npt.NDArray[Any]) -> Floats:
    columns = _fetch(
        sql,
        "SELECT username, arg_max(follower_count, observed_at) AS followers FROM creator_metrics "
        "WHERE observed_at <= $now GROUP BY username",
        {"now": as_of},
    )
    followers = np.full(len(creators), np.nan)
    names = columns["username"].astype(str)
    at = np.searchsorted(creators, names)
    found = (at < len(creators)) & (creators[np.minimum(at, len(creators) - 1)] == names)
    followers[at[found]] = _float(columns["followers"])[found]
    return followers


def _market(sql: Any, as_of: datetime, keys: Strings) -> dict[str, Any]:
    """Public counts of the trends in `keys`, oldest first; the worldwide row where there are several regions."""
    columns = _fetch(
        sql,
        """
        SELECT t.position AS trend, epoch_us(s.observed_at) AS observed,
               arg_min(s.value, s.region)::DOUBLE AS value, arg_min(s.position, s.region)::DOUBLE AS place
        FROM trend_snapshots s JOIN trend_order t ON t.key = s.trend_type || ':' || s.trend_id
        WHERE s.observed_at <= $now GROUP BY 1, 2 ORDER BY 1, 2
        """,
        {"now": as_of},
    )
    return {
        "trend": columns["trend"].astype(np.int64),
        "observed": columns["observed"].astype(np.int64),
        "value": _float(columns["value"]),
        "place": _float(columns["place"]),
    }
