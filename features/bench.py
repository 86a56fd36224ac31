"""How long the point-in-time join takes beside a bare DuckDB ASOF JOIN and Feast's join of the same rows."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from features.entities import CREATOR_KEY, TREND_KEY
from features.recency import FIRST_USED_AT, LAST_USED_AT
from features.spec import FeatureSpec
from features.store import FeatureRepository
from features.views import CREATOR_PROFILE, EVENT_AT, TREND_ACTIVITY, ViewSpec, view_specs

CONFIG: Final = Path(__file__).with_name("feature_store.yaml")
START: Final = datetime(2025, 1, 1, tzinfo=UTC)
STEP: Final = timedelta(days=7)
AS_OFS: Final = 50
FLOATS: Final = 20
GIB: Final = 1024**2
"""`ru_maxrss` counts KiB."""


def offline_join(
    rows: int = 1_000_000,
    source_rows: int = 5_000_000,
    *,
    creator_rows: int = 1_000_000,
    reference_rows: int = 100_000,
    reference_source_rows: int = 500_000,
    repeats: int = 3,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure and print the point-in-time join; the figures fit JSON.

    Args:
        rows: labels (creator, trend, instant).
        source_rows: stored rows of the trend view, of 20 floats each.
        creator_rows: stored rows of the creator view, joined too in a second figure.
        reference_rows: labels of the comparison with Feast, value by value.
        reference_source_rows: stored rows of either view in that comparison.
        repeats: of each timing; the shortest counts.
        seed: of the generated rows.

    Returns:
        Seconds of our join and of the bare one, their ratio, for one view and two; peak GiB of the process
        once ours had run and in all; Feast's seconds, ours beside it, and whether both agree in every value.
    """
    figures: dict[str, Any] = {"rows": rows, "source_rows": source_rows, "creator_rows": creator_rows}
    with TemporaryDirectory(prefix="harmonic-bench-") as folder:
        store = _filled_store(Path(folder), source_rows, creator_rows, seed)
        labels = _labels(rows, source_rows, creator_rows, seed + 1)
        for name, views in (("one_view", [TREND_ACTIVITY]), ("two_views", [TREND_ACTIVITY, CREATOR_PROFILE])):
            figures[name] = _compare(store, labels, views, repeats)
    with TemporaryDirectory(prefix="harmonic-bench-") as folder:
        store = _filled_store(Path(folder), reference_source_rows, reference_source_rows, seed)
        labels = _labels(reference_rows, reference_source_rows, reference_source_rows, seed + 1)
        figures["feast"] = _against_feast(store, labels) | {"source_rows": reference_source_rows}
    figures["peak_gib"] = _peak_gib()
    _report(figures)
    return figures


def _views() -> tuple[ViewSpec, ...]:
    trend = [FIRST_USED_AT, LAST_USED_AT, *(f"trend_{i}" for i in range(FLOATS - 2))]
    creator = [f"creator_{i}" for i in range(FLOATS)]
    return view_specs(_floats(trend), _floats(creator), [])


def _floats(names: Sequence[str]) -> list[FeatureSpec]:
    return [FeatureSpec(name, "float", "", "") for name in names]


def _filled_store(home: Path, trend_rows: int, creator_rows: int, seed: int) -> FeatureRepository:
    store = FeatureRepository(home, CONFIG, _views())
    rng = np.random.default_rng(seed)
    for view, rows in ((TREND_ACTIVITY, trend_rows), (CREATOR_PROFILE, creator_rows)):
        spec = store.views[view]
        keys = _keys(spec.key, rows)
        for step in range(AS_OFS):
            values = rng.standard_normal((len(keys), len(spec.names)))
            frame = pd.DataFrame(values, columns=list(spec.names)).assign(**{spec.key: keys})
            store.write(view, frame, START + step * STEP)
    return store


def _keys(key: str, source_rows: int) -> np.ndarray[Any, Any]:
    prefix = "hashtag:tag" if key == TREND_KEY else "creator"
    return np.array([f"{prefix}{i}" for i in range(max(1, source_rows // AS_OFS))], dtype=object)


def _labels(rows: int, trend_rows: int, creator_rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    instants = rng.integers(0, AS_OFS * STEP // timedelta(microseconds=1), rows)
    return pd.DataFrame(
        {
            CREATOR_KEY: rng.choice(_keys(CREATOR_KEY, creator_rows), rows),
            TREND_KEY: rng.choice(_keys(TREND_KEY, trend_rows), rows),
            EVENT_AT: (pd.Timestamp(START) + pd.to_timedelta(instants, unit="us")).as_unit("us"),
        }
    )


def _compare(store: FeatureRepository, labels: pd.DataFrame, views: Sequence[str], repeats: int) -> dict[str, float]:
    ours = [_seconds(lambda: store.historical(labels, views))]
    peak = _peak_gib()
    bare = []
    for _ in range(repeats):
        bare.append(_seconds(lambda: _bare(store, labels, views)))
        ours.append(_seconds(lambda: store.historical(labels, views)))
    return {
        "seconds": min(ours),
        "bare_seconds": min(bare),
        "ratio": min(ours) / min(bare),
        "peak_gib_after_first": peak,
    }


def _bare(store: FeatureRepository, labels: pd.DataFrame, views: Sequence[str]) -> pa.Table:
    """DuckDB's ASOF JOIN of the same Parquet, to Arrow: no ttl, no rule for ties, no order kept."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("labels", pa.Table.from_pandas(labels, preserve_index=False))
        joins, columns = "", "labels.*"
        for view in (store.views[name] for name in views):
            glob = store.home / "feast" / "offline" / view.name / "*.parquet"
            joins += f" ASOF LEFT JOIN '{glob}' AS {view.name} ON labels.{view.key} = {view.name}.{view.key}"
            joins += f" AND labels.{EVENT_AT} >= {view.name}.{EVENT_AT}"
            columns += "".join(f", {view.name}.{name}" for name in view.names)
        return connection.sql(f"SELECT {columns} FROM labels{joins}").to_arrow_table()


def _against_feast(store: FeatureRepository, labels: pd.DataFrame) -> dict[str, Any]:
    views = [TREND_ACTIVITY, CREATOR_PROFILE]
    store.apply()
    found: dict[str, pd.DataFrame] = {}

    def ours() -> None:
        found["ours"] = store.historical(labels, views)

    def feast() -> None:
        found["feast"] = store.historical_reference(labels, views)

    seconds = {"ours": _seconds(ours), "feast": _seconds(feast)}
    return {
        "rows": len(labels),
        "seconds": seconds["feast"],
        "our_seconds": seconds["ours"],
        "equal": found["ours"].equals(found["feast"]),
    }


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / GIB


def _report(figures: dict[str, Any]) -> None:
    print(f"{figures['rows']:,} labels over {figures['source_rows']:,} trend rows × {FLOATS} floats")
    for name in ("one_view", "two_views"):
        run = figures[name]
        print(
            f"  {name}: {run['seconds']:.2f} s, bare DuckDB ASOF JOIN {run['bare_seconds']:.2f} s, "
            f"ratio {run['ratio']:.2f}, peak {run['peak_gib_after_first']:.2f} GiB"
        )
    feast = figures["feast"]
    print(
        f"  feast: {feast['rows']:,} labels over 2 × {feast['source_rows']:,} rows {feast['seconds']:.2f} s, "
        f"ours {feast['our_seconds']:.2f} s, {'equal in every value' if feast['equal'] else 'NOT EQUAL'}"
    )


if __name__ == "__main__":
    offline_join()
