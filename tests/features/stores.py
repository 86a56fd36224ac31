"""Feature stores for tests: on SQLite, on a real Redis, and one that stays offline; and rows for them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from features.bench import CONFIG
from features.recency import epoch_seconds
from features.spec import FeatureSpec
from features.store import FeatureRepository
from features.views import view_specs
from tests.servers import RedisServer, redis_server

__all__ = ["redis_server"]

NOON = datetime(2026, 3, 1, 12, 0, 0, 7, tzinfo=UTC)
DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)

TREND = tuple(
    FeatureSpec(name, kind, "", "")  # type: ignore[arg-type]
    for name, kind in (
        ("first_used_at", "float"),
        ("last_used_at", "float"),
        ("heat", "float"),
        ("title", "string"),
        ("curve", "floats"),
        ("regions", "strings"),
    )
)
CREATOR = (FeatureSpec("followers", "float", "", ""),)
HISTORY = (FeatureSpec("trend_keys", "strings", "", ""), FeatureSpec("used_at", "instants", "", ""))
VIEWS = view_specs(TREND, CREATOR, HISTORY)
TREND_TTL = VIEWS[0].ttl
NAMES = [spec.name for spec in TREND]
FLOATS = [0.0, -0.0, np.nan, np.inf, -np.inf, 5e-324, 1 / 3, 1.7976931348623157e308]

_fresh = count()


def keys(n: int) -> list[str]:
    """Keys that no other test uses: the stores are shared."""
    return [f"hashtag:é{next(_fresh)}" for _ in range(n)]


def trends(names: list[str], heat: Any = 1.0, **columns: Any) -> pd.DataFrame:
    frame = pd.DataFrame({"trend_key": names}).assign(
        first_used_at=epoch_seconds([NOON - 3 * DAY] * len(names)),
        last_used_at=epoch_seconds([NOON - DAY / 24] * len(names)),
        heat=heat,
        title="dance",
    )
    arrays = {"curve": [[1.0, 2.0]] * len(names), "regions": [["DE", "VN"]] * len(names)}
    return frame.assign(**(arrays | columns))


def creators(names: list[str], followers: float = 1.0) -> pd.DataFrame:
    return pd.DataFrame({"creator_id": names, "followers": followers})


def histories(names: list[str]) -> pd.DataFrame:
    used_at = [[NOON, NOON - DAY]] * len(names)
    return pd.DataFrame({"creator_id": names, "trend_keys": [["a", "b"]] * len(names), "used_at": used_at})


def collect(told: list[tuple[str, int, int]], *step: Any) -> None:
    told.append(step)


def on_redis(home: Path, server: RedisServer) -> FeatureRepository:
    home.mkdir()
    text = CONFIG.read_text().split("online_store:")[0]
    (home / "redis.yaml").write_text(text + f"online_store:\n  type: redis\n  connection_string: {server.address}\n")
    return FeatureRepository(home, home / "redis.yaml", VIEWS)


@pytest.fixture(scope="session")
def on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> FeatureRepository:
    store = FeatureRepository(tmp_path_factory.mktemp("sqlite store") / "home", CONFIG, VIEWS)
    store.apply()
    return store


@pytest.fixture(scope="session", params=["sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FeatureRepository]:
    if request.param == "sqlite":
        yield request.getfixturevalue("on_sqlite")
        return
    server = request.getfixturevalue("redis_server")
    repository = on_redis(tmp_path_factory.mktemp("redis store") / "home", server)
    repository.apply()
    yield repository


@pytest.fixture
def unapplied(home: Path) -> FeatureRepository:
    """A store of its own for tests that stay offline."""
    return FeatureRepository(home, CONFIG, VIEWS)


def labels(names: list[str], at: datetime) -> pd.DataFrame:
    return pd.DataFrame({"trend_key": names, "event_timestamp": pd.to_datetime([at] * len(names), utc=True)})


def bits(values: Any) -> list[bytes]:
    """Floats to the last bit; every NaN is one."""
    return [np.float64(np.nan if np.isnan(v) else v).tobytes() for v in values]
