from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import configs
from features.lake import Lake
from features.materialize import latest_instant
from features.store import FeatureRepository
from serving.batch import COLUMNS, pipeline_at, score_all
from serving.pipeline import Pipeline
from serving.schemas import RankQuery
from tests.worlds import small_settings


@pytest.fixture(scope="module")
def own_settings(world_home: Path, tmp_path_factory: pytest.TempPathFactory) -> configs.Settings:
    """The small world's lake with a feature store of its own beside it."""
    home = tmp_path_factory.mktemp("batch") / "home"
    home.mkdir()
    (home / "lake").symlink_to(world_home / "lake")
    return small_settings(home)


@pytest.fixture(scope="module")
def lake(own_settings: configs.Settings) -> Lake:
    return Lake(own_settings.home / "lake")


@pytest.fixture(scope="module")
def features(own_settings: configs.Settings) -> FeatureRepository:
    return FeatureRepository.open(own_settings)


@pytest.fixture(scope="module")
def table(served: Pipeline) -> pd.DataFrame:
    return score_all(served, 12)


def test_every_creator_has_k_distinct_ranked_trends(served: Pipeline, table: pd.DataFrame) -> None:
    assert tuple(table) == COLUMNS
    assert table["creator_id"].unique().tolist() == list(served.states.ids())
    for _, slate in table.groupby("creator_id"):
        assert slate["rank"].tolist() == list(range(1, 13))
        assert not slate[["trend_type", "trend_id"]].duplicated().any()
        assert slate["score"].between(0, 1).all() and (slate["score"].diff().dropna() <= 1e-12).all()
    assert set(table["model_version"]) == {served.model.version}


def test_batch_and_request_give_the_same_slate(served: Pipeline, table: pd.DataFrame, regular: str) -> None:
    rows = served.recommend(RankQuery(regular, 12))[1].rows
    assert table[table["creator_id"] == regular]["trend_id"].tolist() == served.snapshot.market.ids[rows].tolist()


def test_nothing_generic_or_used_is_in_the_batch(served: Pipeline, table: pd.DataFrame) -> None:
    market = served.snapshot.market
    key = table["trend_type"] + ":" + table["trend_id"]
    assert not set(key) & set(market.keys[~market.recommendable])
    for name, slate in key.groupby(table["creator_id"]):
        creator = served.states.get(str(name))
        assert creator is not None and not {*slate} & {*creator.trend_keys}


def test_progress_is_told_for_every_creator(served: Pipeline) -> None:
    told: list[float] = []
    score_all(served, 1, lambda _, share: told.append(share))
    assert len(told) == len(list(served.states.ids())) and told[-1] == 1 and told == sorted(told)


def test_scoring_from_the_offline_store_gives_what_serving_gives(
    served: Pipeline, table: pd.DataFrame, lake: Lake, features: FeatureRepository, own_settings: configs.Settings
) -> None:
    now = served.snapshot.market.as_of
    then = score_all(pipeline_at(lake, features, served.model, now, own_settings), 12)
    pd.testing.assert_frame_equal(then, table, check_exact=True)


def test_scoring_the_past_knows_nothing_later(
    served: Pipeline, lake: Lake, features: FeatureRepository, own_settings: configs.Settings
) -> None:
    as_of = latest_instant(lake) - timedelta(days=20)
    past = pipeline_at(lake, features, served.model, as_of, own_settings)
    assert past.snapshot.market.as_of == as_of
    posted = lake.connect().execute("SELECT DISTINCT username FROM videos WHERE create_time <= $t", {"t": as_of})
    assert set(past.states.ids()) == {row[0] for row in posted.fetchall()}
    assert (past.snapshot.market.column("age_days") >= 0).all()
    assert np.isfinite(score_all(past, 3)["score"]).all()
