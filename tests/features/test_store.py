"""The feature store offline and as a whole: exact values, nothing lost, the same answers as Feast's."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.bench import CONFIG
from features.errors import FeatureError, NotMaterialized
from features.recency import age_days, epoch_seconds, hours_since
from features.spec import FeatureSpec
from features.store import FeatureRepository
from features.views import CREATOR_HISTORY, CREATOR_PROFILE, TREND_ACTIVITY, all_views, view_specs
from tests.features.stores import (
    DAY,
    FLOATS,
    MICROSECOND,
    NOON,
    TREND,
    VIEWS,
    bits,
    creators,
    histories,
    keys,
    labels,
    on_sqlite,
    trends,
    unapplied,
)
from tests.servers import RedisServer, redis_server

__all__ = ["on_sqlite", "redis_server", "unapplied"]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(), min_size=1, max_size=20))
def test_floats_survive_the_offline_store_to_the_last_bit(values: list[float]) -> None:
    with tempfile.TemporaryDirectory() as home:
        store = FeatureRepository(Path(home), CONFIG, VIEWS)
        names = [f"t{i}" for i in range(len(values))]
        store.write(TREND_ACTIVITY, trends(names, values), NOON)
        assert bits(store.historical(labels(names, NOON), TREND_ACTIVITY)["heat"]) == bits(values)


def test_arrays_survive_the_offline_store_empty_or_missing(unapplied: FeatureRepository) -> None:
    curves, regions = [[np.nan, -0.0], [], None], [["é", ""], [], None]
    names = ["a", "b", "c"]
    unapplied.write(TREND_ACTIVITY, trends(names, curve=curves, regions=regions), NOON)
    found = unapplied.historical(labels(names, NOON), TREND_ACTIVITY)
    assert [None if c is None else bits(c) for c in found["curve"]] == [bits(curves[0]), [], None]  # type: ignore[arg-type]
    assert [None if r is None else r.tolist() for r in found["regions"]] == regions


def test_writing_an_as_of_again_replaces_its_own_rows_only(unapplied: FeatureRepository) -> None:
    unapplied.write(TREND_ACTIVITY, trends(["a", "b"], 1.0), NOON)
    unapplied.write(TREND_ACTIVITY, trends(["a"], 2.0), NOON + DAY)
    unapplied.write(TREND_ACTIVITY, trends(["a"], 3.0), NOON)
    found = unapplied.historical(labels(["a", "b"], NOON), TREND_ACTIVITY)
    assert bits(found["heat"]) == bits([3.0, np.nan])
    assert unapplied.historical(labels(["a"], NOON + DAY), TREND_ACTIVITY)["heat"].tolist() == [2.0]


def test_an_as_of_is_an_instant_whatever_its_time_zone(unapplied: FeatureRepository) -> None:
    hanoi = NOON.astimezone(timezone(timedelta(hours=7)))
    unapplied.write(TREND_ACTIVITY, trends(["a"], 1.0), NOON)
    unapplied.write(TREND_ACTIVITY, trends(["a"], 2.0), hanoi)
    assert unapplied.historical(labels(["a"], hanoi), TREND_ACTIVITY)["heat"].tolist() == [2.0]
    assert len(list((unapplied.home / "feast/offline" / TREND_ACTIVITY).iterdir())) == 1


def test_a_write_that_fails_leaves_the_old_rows(unapplied: FeatureRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    unapplied.write(TREND_ACTIVITY, trends(["a"], 1.0), NOON)

    def full_disk(table: Any, file: Any, **_: Any) -> None:
        file.write(b"PAR1 half a file")
        raise OSError("no space left on device")

    with monkeypatch.context() as broken, pytest.raises(OSError, match="no space"):
        broken.setattr(pq, "write_table", full_disk)
        unapplied.write(TREND_ACTIVITY, trends(["a"], 2.0), NOON)
    assert unapplied.historical(labels(["a"], NOON), TREND_ACTIVITY)["heat"].tolist() == [1.0]
    assert len(list((unapplied.home / "feast/offline" / TREND_ACTIVITY).iterdir())) == 1


@pytest.mark.parametrize(
    ("rows", "as_of", "problem"),
    [
        (trends(["a"]).drop(columns="heat"), NOON, "lack heat"),
        (trends([None]), NOON, "no trend_key"),  # type: ignore[list-item]
        (trends(["a", "a"]), NOON, "two rows of 'a'"),
        (trends(["a"], event_timestamp=NOON + MICROSECOND), NOON, "later than the as-of"),
        (trends(["a"]), NOON.replace(tzinfo=None), "no time zone"),
    ],
)
def test_rows_that_do_not_fit_are_refused_with_the_reason(
    unapplied: FeatureRepository, rows: pd.DataFrame, as_of: datetime, problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        unapplied.write(TREND_ACTIVITY, rows, as_of)


def test_materialising_nothing_says_what_to_do(unapplied: FeatureRepository) -> None:
    with pytest.raises(NotMaterialized, match="harmonic materialize"):
        unapplied.materialize(NOON)


def test_names_nobody_knows_are_refused(unapplied: FeatureRepository) -> None:
    asked = labels(["a"], NOON)
    with pytest.raises(ValueError, match="no feature view nonsense"):
        unapplied.historical(asked, "nonsense")
    with pytest.raises(ValueError, match="have no feature nonsense"):
        unapplied.historical(asked, TREND_ACTIVITY, ["nonsense"])
    with pytest.raises(ValueError, match="labels lack creator_id, requested_at"):
        unapplied.historical(asked, "ranker_v1")
    with pytest.raises(ValueError, match="labels already have heat"):
        unapplied.historical(asked.assign(heat=1), TREND_ACTIVITY)


def test_a_name_in_two_views_is_refused() -> None:
    with pytest.raises(ValueError, match="rename heat"):
        view_specs(TREND, [FeatureSpec("heat", "float", "", "")], ())


# --- against Feast ---


def random_labels(rng: np.random.Generator, names: list[str], n: int) -> pd.DataFrame:
    at = pd.Timestamp(NOON) + pd.to_timedelta(rng.integers(0, 120 * 24, n), unit="h")
    return pd.DataFrame(
        {
            "y": rng.random(n),
            "trend_key": rng.choice(np.array([*names, "nowhere"], dtype=object), n),
            "creator_id": rng.choice(np.array([*names, None], dtype=object), n),
            "event_timestamp": at.as_unit("us"),
            "requested_at": (at + pd.Timedelta("90min")).as_unit("us"),
        },
        index=rng.integers(0, 50, n),
    )


def test_our_join_equals_feasts_in_every_value_and_keeps_the_labels_as_they_were(home: Path) -> None:
    rng = np.random.default_rng(7)
    store = FeatureRepository(home, CONFIG, VIEWS)
    store.apply()
    names = [f"hashtag:{i}" for i in range(20)]
    for week in range(12):
        as_of = NOON + week * 7 * DAY
        some = [str(name) for name in rng.choice(names, 12, replace=False)]
        heat, lengths = rng.choice(FLOATS, 12), rng.integers(0, 3, 12)
        rows = trends(some, heat, curve=[rng.random(n) for n in lengths])
        store.write(TREND_ACTIVITY, rows, as_of)
        # The same event written at two as-ofs: the one created later wins.
        store.write(TREND_ACTIVITY, rows.assign(heat=heat + 1, event_timestamp=as_of), as_of + DAY)
        store.write(CREATOR_PROFILE, creators(some, float(week)), as_of)
        store.write(CREATOR_HISTORY, histories(some), as_of)
    asked = random_labels(rng, names, 400)
    before = asked.copy()
    ours = store.historical(asked, "ranker_v1")
    pd.testing.assert_frame_equal(ours, store.historical_reference(asked, "ranker_v1"), check_exact=True)
    pd.testing.assert_frame_equal(ours[list(before)], before)
    pd.testing.assert_frame_equal(asked, before)
    assert 0 < ours["heat"].notna().sum() < 400
    assert bits(ours["heat"]) == bits(store.historical_reference(asked, "ranker_v1")["heat"])
    history = store.historical(asked, [CREATOR_HISTORY])
    pd.testing.assert_frame_equal(history, store.historical_reference(asked, [CREATOR_HISTORY]))


def test_on_demand_features_are_the_shared_maths_at_the_instant_of_the_request(
    unapplied: FeatureRepository,
) -> None:
    unapplied.write(TREND_ACTIVITY, trends(["a"]), NOON)
    unapplied.write(CREATOR_PROFILE, creators(["c"]), NOON)
    asked = labels(["a"], NOON).assign(creator_id="c", requested_at=NOON + 2 * DAY)
    found = unapplied.historical(asked, "ranker_v1", ["hours_since_last_use_at_request", "age_days_at_request"])
    first, last, requested = (epoch_seconds([at]) for at in (NOON - 3 * DAY, NOON - DAY / 24, NOON + 2 * DAY))
    assert found["age_days_at_request"].tolist() == age_days(first, requested).tolist() == [5.0]
    assert found["hours_since_last_use_at_request"].tolist() == hours_since(last, requested).tolist() == [49.0]


# --- definitions ---


def test_applying_again_changes_nothing(on_sqlite: FeatureRepository) -> None:
    from feast import FeatureStore, RepoConfig

    def registered() -> list[Any]:
        path = f"sqlite:///{on_sqlite.home}/feast/registry.db"
        config = RepoConfig(
            project="harmonic_bytes",
            provider="local",
            registry={"registry_type": "sql", "path": path},
            online_store=None,
            entity_key_serialization_version=3,
        )
        registry = FeatureStore(config=config).registry
        found = [
            *registry.list_all_feature_views("harmonic_bytes"),
            *registry.list_feature_services("harmonic_bytes"),
        ]
        return sorted(found, key=lambda thing: str(thing.name))

    before = registered()
    on_sqlite.apply()
    assert registered() == before
    assert len(before) == 5


def test_the_projects_own_features_make_valid_views() -> None:
    names = [name for view in all_views() for name in view.names]
    assert {"first_used_at", "last_used_at"} <= set(names)


@pytest.mark.e2e
def test_feasts_own_command_line_lists_and_finds_the_same_definitions(home: Path) -> None:
    def feast(*words: str) -> str:
        command = [Path(sys.executable).with_name("feast"), "-f", "features/feature_store.yaml", *words]
        run = subprocess.run(
            command,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "HARMONIC_HOME": str(home)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        return run.stdout

    FeatureRepository(home, CONFIG).apply()
    listed = feast("feature-views", "list")
    assert all(view.name in listed for view in all_views())
    assert "No changes to registry" in feast("plan")


def test_production_says_which_address_is_missing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("HARMONIC_")]:
        monkeypatch.delenv(name)
    production = FeatureRepository(home, CONFIG.with_name("feature_store.production.yaml"), VIEWS)
    with pytest.raises(FeatureError, match="HARMONIC_FEAST_REGISTRY in the environment"):
        production.apply()


def test_production_definitions_apply_and_serve_from_redis(
    home: Path, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.mkdir()
    addresses = {
        "HARMONIC_FEAST_REGISTRY": f"sqlite:///{home}/registry.db",
        "HARMONIC_GCP_PROJECT": "a-project",
        "HARMONIC_BIGQUERY_DATASET": "features",
        "HARMONIC_BIGQUERY_LOCATION": "EU",
        "HARMONIC_REDIS_TYPE": "redis",
        "HARMONIC_REDIS": redis_server.address,
    }
    for name, value in addresses.items():
        monkeypatch.setenv(name, value)
    store = FeatureRepository(home, CONFIG.with_name("feature_store.production.yaml"), VIEWS)
    store.apply()
    (name,) = keys(1)
    store.push(TREND_ACTIVITY, trends([name], -0.0, event_timestamp=NOON))
    assert bits(store.online(TREND_ACTIVITY, [name], ["heat"], NOON)["heat"]) == bits([-0.0])
