"""What the data contract says without a table: names of trends, kinds, and what is out of bounds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, Literal

TrendType = Literal["hashtag", "sound", "creator"]
TREND_TYPES: Final[tuple[TrendType, ...]] = ("hashtag", "sound", "creator")

WORLDWIDE: Final = ""
"""The region of a row that speaks of no single region."""

COUNTS: Final = ("view_count", "like_count", "comment_count", "share_count", "favorites_count")
"""The counts of one observation of a video."""

CREATOR_COUNTS: Final = ("follower_count", "following_count", "likes_count", "video_count")
"""The counts of one observation of a creator."""

LONGEST_ID: Final = 256
"""Characters of an id."""

LARGEST_COUNT: Final = 2**63 - 1

EARLIEST: Final = datetime(2010, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)
"""Times outside are no times of TikTok: a zero, a wrong unit, an overflow."""

SKEW: Final = timedelta(minutes=5)
"""By how much two clocks may disagree."""

FEEDBACK_KINDS: Final = ("impression", "click", "save", "adopt", "dismiss", "outcome")


def trend_key(trend_type: str, trend_id: str) -> str:
    """The one string that names a trend of any type: `hashtag:dance`, `sound:6812345`, `creator:zachking`."""
    return f"{trend_type}:{trend_id}"


def split_trend_key(key: str) -> tuple[str, str]:
    """The type and id that `trend_key` joined; an id may hold colons itself."""
    trend_type, _, trend_id = key.partition(":")
    return trend_type, trend_id


def normal_tag(tag: str) -> str:
    """A hashtag's trend id: its lower-cased name without `#`."""
    return tag.strip().lstrip("#＃").strip().lower()
