"""Publishing: what is said to be known at an instant was known at that instant."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import numpy as np

from features.lake import Lake
from features.materialize import known_by, latest_instant
from features.store import FeatureRepository
from models.moment import moment, offline, write_moment
from serving.assemble import market_folder
from serving.publish import materialize_and_publish
from serving.snapshot import load
from tests.worlds import small_settings


def test_an_earlier_market_holds_nothing_of_the_later_one_that_is_online(world_home: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(world_home / "lake", home / "lake")
    settings, lake = small_settings(home), Lake(home / "lake")
    features = FeatureRepository.open(settings)
    features.apply()
    now = latest_instant(lake)
    earlier = now - timedelta(days=10)
    for instant in (now, earlier):
        materialize_and_publish(lake, features, instant, settings)
    past = known_by(lake, earlier, settings)
    write_moment(lake, past, features, settings)
    then = moment(past, offline(features, earlier), settings).market
    published = load(market_folder(settings)).market
    assert published.as_of == earlier
    np.testing.assert_array_equal(published.numeric, then.numeric)
