"""The kinds of rows a file may hold: their columns, what each column means, and how a kind is recognised."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal

from features.contract import COUNTS, CREATOR_COUNTS

Role = Literal["id", "text", "label", "count", "instant", "tags", "real", "unused"]
"""What a column holds: an id or a short name, free text, a title, a whole number that is not negative, a
time, hashtags, a real number, or something that no table keeps."""


@dataclass(frozen=True)
class RowKind:
    """One kind of row.

    Attributes:
        name: how reports call it.
        columns: every column it may have, and its role.
        required: columns without which a row is refused.
        marks: sets of columns; a file that has all columns of any set is of this kind.
    """

    name: str
    columns: dict[str, Role]
    required: tuple[str, ...]
    marks: tuple[frozenset[str], ...]

    def has(self, columns: Collection[str]) -> bool:
        """Whether rows with these columns are of this kind."""
        return any(mark <= set(columns) for mark in self.marks)


def _roles(role: Role, *names: str) -> dict[str, Role]:
    return dict.fromkeys(names, role)


def _marks(*sets: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(names.split()) for names in sets)


VIDEOS_KIND: Final = RowKind(
    name="videos",
    columns={
        **_roles("id", "id", "username", "music_id", "region_code"),
        **_roles("instant", "create_time", "observed_at"),
        **_roles("text", "video_description"),
        **_roles("label", "music_title", "music_author"),
        **_roles("count", "video_duration", *COUNTS, *CREATOR_COUNTS, "music_use_count"),
        **_roles("tags", "hashtag_names"),
    },
    required=("id", "username", "create_time", "observed_at"),
    marks=_marks(
        "id create_time",
        "username create_time",
        "id username view_count",
        "id username music_id",
        "id username hashtag_names",
        "id username video_description",
    ),
)

VIDEO_METRICS_KIND: Final = RowKind(
    name="video_metrics",
    columns={**_roles("id", "id"), **_roles("instant", "observed_at"), **_roles("count", *COUNTS)},
    required=("id", "observed_at"),
    marks=tuple(frozenset(("id", "observed_at", name)) for name in COUNTS),
)

CREATOR_METRICS_KIND: Final = RowKind(
    name="creator_metrics",
    columns={
        **_roles("id", "username"),
        **_roles("instant", "observed_at"),
        **_roles("count", *CREATOR_COUNTS),
    },
    required=("username", "observed_at"),
    marks=tuple(frozenset(("username", "observed_at", name)) for name in CREATOR_COUNTS),
)

TREND_SNAPSHOTS_KIND: Final = RowKind(
    name="trend_snapshots",
    columns={
        **_roles("id", "trend_type", "trend_id", "region", "metric"),
        **_roles("instant", "observed_at"),
        **_roles("label", "name", "author"),
        **_roles("count", "position", "value"),
    },
    required=("trend_type", "trend_id", "observed_at"),
    marks=_marks("trend_type trend_id observed_at", "trend_type observed_at value", "trend_id observed_at value"),
)

FEEDBACK_KIND: Final = RowKind(
    name="feedback",
    columns={
        **_roles("id", "event_id", "recommendation_id", "creator_id", "kind", "trend_type", "trend_id"),
        **_roles("instant", "occurred_at"),
        **_roles("count", "rank"),
        **_roles("real", "propensity"),
    },
    required=("event_id", "creator_id", "kind", "occurred_at"),
    marks=_marks("event_id kind", "event_id occurred_at", "recommendation_id kind"),
)

SOUND_CHART_KIND: Final = RowKind(
    name="sound_chart",
    columns={
        **_roles("instant", "week_end"),
        **_roles("label", "track_name", "artist_name"),
        **_roles("count", "rank", "weekly_posts"),
        **_roles("unused", "label", "release_date"),
    },
    required=("week_end", "track_name"),
    marks=_marks("week_end track_name weekly_posts"),
)

KINDS: Final = (
    FEEDBACK_KIND,
    SOUND_CHART_KIND,
    TREND_SNAPSHOTS_KIND,
    VIDEOS_KIND,
    VIDEO_METRICS_KIND,
    CREATOR_METRICS_KIND,
)
"""In the order they are tried: feedback has a trend's columns too, and a video a creator's."""

ALIASES: Final = {"favourites_count": "favorites_count"}
"""TikTok's other spellings of a column."""


def recognise(columns: Collection[str]) -> RowKind | None:
    """The kind of rows that have these columns, or None."""
    names = {ALIASES.get(name, name) for name in columns}
    return next((kind for kind in KINDS if kind.has(names)), None)
