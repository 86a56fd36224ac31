"""Reader of TikTok's account export, `user_data_tiktok.json`: the creator's own posts with their likes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from features.sources.batches import BadRow, RawBatch, dump, json_columns
from features.sources.kinds import VIDEOS_KIND

_ID: Final = re.compile(r"(?:/(?:video|photo|v)/|(?:item|video|aweme|share_item)_id=)(\d{6,})")
_SECTIONS: Final = frozenset(("post", "posts", "video", "videos", "profile"))
_UNKNOWN: Final = frozenset(("", "n/a", "none", "null", "-"))


class AccountExport:
    """One export, read whole: it is a single JSON document.

    The export does not say when it was made, so that its likes are as of the file's own time of writing.
    """

    kind = "account_export"
    ignored_columns: tuple[str, ...] = ()

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document

    def batches(self, batch_rows: int) -> Iterator[RawBatch]:
        """The posts; `lines` number them in the order of the export."""
        profile = profile_of(self._document)
        posts = posts_of(self._document)
        for first in range(0, max(len(posts), 1), batch_rows):
            numbered = list(enumerate(posts[first : first + batch_rows], first + 1))
            good = [(line, post) for line, post in numbered if isinstance(post, dict)]
            bad = [BadRow(n, "a post that is no object", dump(p)) for n, p in numbered if not isinstance(p, dict)]
            yield _batch(good, bad, profile, (first + len(numbered)) / max(len(posts), 1))


def _batch(
    posts: list[tuple[int, dict[str, Any]]], bad: list[BadRow], profile: dict[str, Any], fraction: float
) -> RawBatch:
    rows = [profile | post_row(post) for _, post in posts]
    columns, faults = json_columns(rows, VIDEOS_KIND)
    lines = np.array([line for line, _ in posts], dtype=np.int64)
    return RawBatch(VIDEOS_KIND, columns, lines, faults, tuple(bad), lambda index: dump(posts[index][1]), fraction)


def is_export(document: dict[str, Any]) -> bool:
    """Whether a JSON object is an account export."""
    sections = {_plain(name): held for name, held in document.items()}
    found = _SECTIONS & sections.keys()
    return bool(found) and all(isinstance(sections[name], dict | list | None) for name in found)


def posts_of(document: dict[str, Any]) -> list[Any]:
    """The creator's own posts; empties appear as null, [] and {}."""
    section = _get(_get(document, "post", "posts", "video", "videos"), "posts", "videos", "post", "video")
    listed = _get(section, "videolist", "postlist")
    return listed if isinstance(listed, list) else []


def profile_of(document: dict[str, Any]) -> dict[str, Any]:
    """The creator's username and, where it is told, the likes they have received."""
    facts = _flat(_get(document, "profile"))
    likes = str(facts.get("likesreceived", ""))
    name = facts.get("username") or facts.get("uniqueid")
    return {"username": name, "likes_count": int(likes) if likes.isdecimal() and len(likes) < 18 else None}


def post_row(post: dict[str, Any]) -> dict[str, Any]:
    """One post of the list in the contract's spelling; its id stands in its link."""
    facts = {_plain(name): value for name, value in post.items()}
    link = facts.get("link") or facts.get("url")
    found = _ID.search(link) if isinstance(link, str) else None
    return {
        "id": facts.get("id") or (found[1] if found else None),
        "create_time": _known(facts.get("date")),
        "video_description": _known(facts.get("title") or facts.get("description")),
        "music_title": _known(facts.get("sound")),
        "like_count": _known(facts.get("likes")),
    }


def _known(value: Any) -> Any:
    return None if isinstance(value, str) and value.strip().lower() in _UNKNOWN else value


def _plain(name: str) -> str:
    """A key without its case, blanks and underscores, which differ between exports."""
    return re.sub(r"[\s_-]", "", name).lower()


def _get(value: Any, *names: str) -> Any:
    """The first of these keys that holds something."""
    if not isinstance(value, dict):
        return None
    plain = {_plain(name): held for name, held in value.items()}
    return next((plain[name] for name in names if plain.get(name)), None)


def _flat(value: Any) -> dict[str, Any]:
    """Every fact below a section by its plain key, however deep it is nested."""
    if not isinstance(value, dict):
        return {}
    facts: dict[str, Any] = {}
    for name, held in value.items():
        facts |= _flat(held) if isinstance(held, dict) else {_plain(name): held}
    return facts
