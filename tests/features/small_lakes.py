"""Lakes of a few posts, drawn by hypothesis or written by hand, and a comparison of frames to the last bit."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import strategies as st

import configs
from features.history import History, load_history
from features.lake import Lake
from features.schemas import CREATOR_METRICS, TABLES, TREND_SNAPSHOTS, VIDEO_METRICS, VIDEOS

START = datetime(2026, 1, 1, tzinfo=UTC)
CREATORS = ("anna", "ben", "cleo", "dana", "ed")
TAGS = ("a", "b", "c", "d")
SOUNDS = ("1", "2", None)
REGIONS = ("DE", "VN", None)
AT = START + timedelta(days=40)
"""The instant that drawn lakes are looked at from; their rows spread over 60 days from `START`."""


def hours(n: float) -> datetime:
    return START + timedelta(hours=n)


@dataclass
class Rows:
    """Rows per table, as dictionaries."""

    videos: list[dict[str, Any]] = field(default_factory=list)
    video_metrics: list[dict[str, Any]] = field(default_factory=list)
    creator_metrics: list[dict[str, Any]] = field(default_factory=list)
    trend_snapshots: list[dict[str, Any]] = field(default_factory=list)

    def tables(self) -> dict[str, pa.Table]:
        return {
            table.name: pa.Table.from_pylist(getattr(self, table.name), table.schema)
            for table in (VIDEOS, VIDEO_METRICS, CREATOR_METRICS, TREND_SNAPSHOTS)
            if getattr(self, table.name)
        }

    def known(self, at: datetime, posts_known: str) -> Rows:
        """What an honest observer had at an instant; a post's own row comes with its first observation."""
        first_seen = {v["id"]: v["observed_at"] for v in self.videos}
        for m in self.video_metrics:
            first_seen[m["id"]] = min(first_seen[m["id"]], m["observed_at"])
        videos = [
            v for v in self.videos if v["create_time"] <= at and (posts_known == "created" or first_seen[v["id"]] <= at)
        ]
        return Rows(
            videos,
            *([r for r in rows if r["observed_at"] <= at] for rows in (self.video_metrics, self.creator_metrics)),
            [r for r in self.trend_snapshots if r["observed_at"] <= at],
        )

    def shuffled(self, seed: int) -> Rows:
        chance = np.random.default_rng(seed)
        return Rows(*([rows[i] for i in chance.permutation(len(rows))] for rows in vars(self).values()))


def post(name: int | str, creator: str, created: float, **more: Any) -> dict[str, Any]:
    """A post created and first seen `created` hours after `START`."""
    row = {"id": f"{name}", "username": creator, "create_time": hours(created), "observed_at": hours(created)}
    return row | {"region_code": None, "music_id": None, "music_title": None, "hashtag_names": []} | more


def counted(name: int | str, observed: float, views: int, **more: Any) -> dict[str, Any]:
    return {"id": f"{name}", "observed_at": hours(observed), "view_count": views} | more


_POST = st.tuples(
    st.sampled_from(CREATORS),
    st.integers(0, 60 * 24),
    st.frozensets(st.sampled_from(TAGS), max_size=3),
    st.sampled_from(SOUNDS),
    st.sampled_from(REGIONS),
    st.integers(0, 100),
)
_COUNT = st.tuples(st.integers(0, 19), st.integers(0, 30 * 24), st.integers(1, 10_000))
_FOLLOWERS = st.tuples(st.sampled_from(CREATORS), st.integers(0, 60 * 24), st.integers(0, 10_000))
_SNAPSHOT = st.tuples(st.sampled_from(TAGS), st.integers(0, 60 * 24), st.integers(0, 10**7))


@st.composite
def rows(draw: st.DrawFn) -> Rows:
    """Up to 20 posts of 5 creators with 6 trends, and counts that are observed early, late or never."""
    posts = draw(st.lists(_POST, min_size=1, max_size=20))
    posts[0] = (posts[0][0], posts[0][1] % 900, *posts[0][2:])
    videos = [
        post(
            n,
            creator,
            created,
            hashtag_names=sorted(tags),
            music_id=sound,
            music_title=sound and f"song {sound}",
            region_code=region,
            video_duration=created % 60,
            observed_at=hours(created + late * (n > 0)),
        )
        for n, (creator, created, tags, sound, region, late) in enumerate(posts)
    ]
    seen: dict[Any, dict[str, Any]] = {}
    for n, after, views in draw(st.lists(_COUNT, max_size=30)):
        of = posts[n % len(posts)][1]
        more = {"like_count": views // 10, "comment_count": views // 50, "share_count": views // 70}
        seen[n % len(posts), of + after] = counted(n % len(posts), of + after, views, **more)
    followers = {(c, t): n for c, t, n in draw(st.lists(_FOLLOWERS, max_size=8))}
    counts = {(tag, t): n for tag, t, n in draw(st.lists(_SNAPSHOT, max_size=8))}
    return Rows(
        videos,
        list(seen.values()),
        [{"username": c, "observed_at": hours(t), "follower_count": n} for (c, t), n in followers.items()],
        [
            {"trend_type": "hashtag", "trend_id": tag, "observed_at": hours(t), "region": "", "value": n}
            | {"name": tag, "position": n % 7, "metric": "views"}
            for (tag, t), n in counts.items()
        ],
    )


def history_of(parts: Rows | Sequence[Rows], at: datetime = AT, posts_known: Any = "created") -> History:
    """The history of a fresh lake, one commit per part."""
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(Path(folder))
        for part in [parts] if isinstance(parts, Rows) else parts:
            lake.append(part.tables())
        return load_history(lake.connect(), at, posts_known, ("original sound",))


def trend_settings(min_creators: int = 1) -> configs.TrendSettings:
    settings = configs.load().trends
    return settings.model_copy(update={"pool": settings.pool.model_copy(update={"min_creators": min_creators})})


def bits(value: Any) -> Any:
    """A value, a column, a frame or a dataclass as something that is equal only where every bit is."""
    if isinstance(value, pd.DataFrame):
        return {name: bits(value[name].to_numpy()) for name in value}
    if isinstance(value, np.ndarray):
        return [bits(cell) for cell in value] if value.dtype == object else (value.dtype.str, value.tobytes())
    if isinstance(value, float):
        return np.float64(value).tobytes()
    if isinstance(value, dict):
        return {name: bits(part) for name, part in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [bits(part) for part in value]
    return bits(vars(value)) if isinstance(value, History) else value


assert set(vars(Rows())) < set(TABLES)
