"""Reader of feed pages as TikTok's app API returns them: one page a line, posts nested in `aweme_list`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from features.sources.batches import BATCH_BYTES, BadRow, RawBatch, dump, json_columns, readable
from features.sources.json_rows import parse_object
from features.sources.kinds import VIDEOS_KIND
from features.sources.lines import LineFile

_COUNTS: Final = {
    "play_count": "view_count",
    "digg_count": "like_count",
    "comment_count": "comment_count",
    "share_count": "share_count",
    "collect_count": "favorites_count",
}


class FeedPages:
    """JSON lines that are feed pages; each post of a page is one row."""

    kind = "feed_pages"
    ignored_columns: tuple[str, ...] = ()

    def __init__(self, path: Path) -> None:
        self._path = path

    def batches(self, batch_rows: int) -> Iterator[RawBatch]:
        """Streams the posts; a page is never split."""
        posts: list[dict[str, Any]] = []
        rows: list[dict[str, Any]] = []
        places: list[int] = []
        bad: list[BadRow] = []
        size = 0
        with LineFile(self._path) as lines:
            for line in lines:
                if not line.strip():
                    continue
                size += len(line)
                page, reason = parse_object(line)
                found = [] if page is None else posts_of(page)
                if found is None:
                    reason = "aweme_list is no list"
                if reason:
                    bad.append(BadRow(lines.line, reason, readable(line.strip())))
                for post in found or []:
                    if isinstance(post, dict):
                        posts.append(post)
                        rows.append(post_row(post, observed_at(page or {})))
                        places.append(lines.line)
                    else:
                        bad.append(BadRow(lines.line, "a post that is no object", dump(post)))
                if len(rows) + len(bad) >= batch_rows or size >= BATCH_BYTES:
                    yield _batch(posts, rows, places, bad, lines.fraction())
                    posts, rows, places, bad, size = [], [], [], [], 0
        yield _batch(posts, rows, places, bad, 1.0)


def _batch(
    posts: list[dict[str, Any]],
    rows: list[dict[str, Any]],
    places: list[int],
    bad: list[BadRow],
    fraction: float,
) -> RawBatch:
    columns, faults = json_columns(rows, VIDEOS_KIND)
    lines = np.array(places, dtype=np.int64)
    return RawBatch(VIDEOS_KIND, columns, lines, faults, tuple(bad), lambda index: dump(posts[index]), fraction)


def is_page(row: dict[str, Any]) -> bool:
    """Whether a JSON object is a feed page."""
    return "aweme_list" in row


def posts_of(page: dict[str, Any]) -> list[Any] | None:
    """The posts of a page; None where the page is none."""
    posts = page.get("aweme_list") if is_page(page) else None
    if posts is None:
        return [] if is_page(page) else None
    return posts if isinstance(posts, list) else None


def observed_at(page: dict[str, Any]) -> Any:
    """When the page was fetched: its own stamp, else the server's clock in it (milliseconds)."""
    extra = page.get("extra")
    return page.get("snapshot_utc") or (extra.get("now") if isinstance(extra, dict) else None)


def post_row(post: dict[str, Any], seen_at: Any) -> dict[str, Any]:
    """One post in the contract's spelling.

    Durations come in milliseconds. Hashtags come from `text_extra`, which outlives a cut description;
    where it is empty they are read from the description.
    """
    author, music = _object(post.get("author")), _object(post.get("music"))
    duration = post.get("duration")
    return {
        "id": post.get("aweme_id"),
        "create_time": post.get("create_time"),
        "observed_at": seen_at,
        "username": author.get("unique_id") or author.get("uid"),
        "region_code": post.get("region"),
        "video_description": post.get("desc"),
        "video_duration": duration // 1000 if type(duration) is int else duration,
        "music_id": music.get("id_str") or music.get("id"),
        "music_title": music.get("title"),
        "music_author": music.get("author"),
        "hashtag_names": _hashtags(post.get("text_extra")),
        **_counts(_object(post.get("statistics"))),
    }


def _counts(statistics: dict[str, Any]) -> dict[str, Any]:
    """The counts of a post. Some pages withhold them: zeros beside zero plays and real comments say
    nothing."""
    counts = {name: statistics.get(theirs) for theirs, name in _COUNTS.items()}
    if counts["view_count"] == 0 and any(counts.values()):
        return {name: count or None for name, count in counts.items()}
    return counts


def _hashtags(extra: Any) -> list[Any] | None:
    if not isinstance(extra, list):
        return None
    return [tag.get("hashtag_name") for tag in extra if isinstance(tag, dict)] or None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
