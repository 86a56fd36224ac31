"""Instants of a lake: the latest one, and from when on there is something to learn from, by either clock of posts."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal

import pytest

from features.errors import EmptyLake
from features.lake import Lake
from features.materialize import dense_from, latest_instant
from tests.features.small_lakes import Rows, hours, post
from tests.worlds import small_settings

Clock = Literal["created", "observed"]


@pytest.mark.parametrize(
    ("clock", "first", "latest"), [("created", hours(0), hours(30)), ("observed", hours(100), hours(120))]
)
def test_a_lake_that_was_filled_late_is_dense_from_when_its_posts_were_known(
    tmp_path: Path, clock: Clock, first: datetime, latest: datetime
) -> None:
    lake, settings = Lake(tmp_path / "lake"), small_settings(tmp_path, lake={"posts_known": clock})
    with pytest.raises(EmptyLake, match="the lake has no posts"):
        latest_instant(lake, clock)
    seen = {n: hours(100 if n < 20 else 120) for n in range(31)}
    lake.append(Rows([post(f"{n:02}", "anna", n, observed_at=at) for n, at in seen.items()]).tables())
    assert latest_instant(lake, clock) == latest
    assert (dense_from(lake, hours(200), settings) - first).total_seconds() <= 3600
    with pytest.raises(EmptyLake, match="no post was known by"):
        dense_from(lake, hours(-1 if clock == "created" else 99), settings)
