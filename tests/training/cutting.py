"""Cuts a simulated world's files at an instant: what a system that knew nothing later would have been given."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from features.contract import COUNTS
from features.ingest import ingest
from features.lake import Lake
from tests.worlds import NOW

BRIEF: dict[str, Any] = {"forecast": {"market": {"history_days": 4}}}
"""Settings for tests of jobs that look at many cut-offs, where forecasts matter little: they look back a few days."""

_COUNTS = (*COUNTS, "follower_count", "music_use_count")


def cut_lake(world: Path, at: datetime, home: Path, after: datetime | None = None) -> Lake:
    """A lake below `home` of what had been posted and counted by `at`, a post being known from its creation.

    Posts created by `after`, where it is given, are left out.
    """
    now, out = pd.Timestamp(at), home / "cut"
    out.mkdir(parents=True)
    videos = pd.read_parquet(world / "videos.parquet")
    videos = videos[videos["create_time"] <= now].copy()
    if after is not None:
        videos = videos[videos["create_time"] > pd.Timestamp(after)]
    late = videos["observed_at"] > now
    videos.loc[late, [name for name in _COUNTS if name in videos]] = pd.NA
    videos.loc[late, "observed_at"] = videos.loc[late, "create_time"]
    videos.drop_duplicates(["id", "observed_at"]).to_parquet(out / "videos.parquet", index=False)
    for file in world.glob("*.parquet"):
        table = pd.read_parquet(file)
        if file.name != "videos.parquet" and "observed_at" in table:
            table[table["observed_at"] <= now].to_parquet(out / file.name, index=False)
    lake = Lake(home / "lake")
    report = ingest([out], lake, NOW, 50_000)
    assert report.quarantined == 0
    return lake
