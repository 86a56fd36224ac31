from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import configs
from features.forecasts import FORECAST_FEATURES
from features.history import History
from features.trends import trend_features
from models.market import Market, variant_groups
from tests.features.small_lakes import AT, REGIONS, Rows, history_of, post

WORDS = configs.load().trends.variant_words
SETTINGS = configs.load().trends


@pytest.fixture(scope="module")
def history() -> History:
    """One tag that all three creators use, one that a single one does."""
    posts = [post(n, c, 24 * (20 + n), hashtag_names=["all"]) for n, c in enumerate(["anna", "ben", "cleo"])]
    posts = [p | {"region_code": r} for p, r in zip(posts, REGIONS, strict=True)]
    return history_of(Rows([*posts, post("own", "anna", 24 * 39, hashtag_names=["own"])]))


def market_of(frame: pd.DataFrame, settings: configs.TrendSettings) -> Market:
    ahead = {"forecast_growth_7d": 0.2, "forecast_low_7d": 0.1, "forecast_high_7d": 0.5}
    ahead = {spec.name: np.nan for spec in FORECAST_FEATURES} | ahead
    return Market.from_frame(frame.assign(**ahead), AT, np.array(["hashtag:all"], object), {}, settings)


def settings_with(generic_share: float) -> configs.TrendSettings:
    pool = SETTINGS.pool.model_copy(update={"min_creators": 1, "generic_share": generic_share})
    return SETTINGS.model_copy(update={"pool": pool})


def test_rows_are_sorted_by_key_whatever_their_order(history: History) -> None:
    settings = settings_with(0.5)
    frame = trend_features(history, settings)
    one, other = market_of(frame, settings), market_of(frame.iloc[::-1], settings)
    assert one.keys.tolist() == ["hashtag:all", "hashtag:own"] == other.keys.tolist()
    assert one.numeric.tobytes() == other.numeric.tobytes()
    assert one.region_shares.tobytes() == other.region_shares.tobytes()
    assert one.row_of == {"hashtag:all": 0, "hashtag:own": 1} and one.word_of == {"hashtag:all": 0}


def test_recency_speaks_of_the_instant_of_the_request(history: History) -> None:
    market = market_of(trend_features(history, settings_with(1)), settings_with(1))
    assert market.column("age_days").tolist() == [20, 1]
    assert market.column("hours_since_last_use").tolist() == [18 * 24, 24]


def test_a_forecast_is_its_growth_and_the_width_of_its_interval(history: History) -> None:
    market = market_of(trend_features(history, settings_with(1)), settings_with(1))
    assert market.column("forecast_growth_7d").tolist() == [0.2, 0.2]
    assert market.column("forecast_width").tolist() == [0.4, 0.4]
    assert np.isnan(market.column("forecast_growth_1d")).all()


def test_a_generic_trend_is_there_but_never_recommended(history: History) -> None:
    settings = settings_with(0.5)
    assert market_of(trend_features(history, settings), settings).recommendable.tolist() == [False, True]
    at_the_limit = settings_with(1.0)
    assert market_of(trend_features(history, at_the_limit), at_the_limit).recommendable.all()


def test_region_shares_stand_under_their_codes(history: History) -> None:
    market = market_of(trend_features(history, settings_with(1)), settings_with(1))
    assert market.region_codes == ("DE", "VN")
    assert market.region_shares.tolist() == [[0.5, 0.5], [0, 0]]


def test_versions_of_one_sound_share_a_group_and_nothing_else_does() -> None:
    names = ["Blinding Lights", "blinding lights (Sped Up)", "Blinding Lights - slowed + reverb", "Blinding", "Remix"]
    titles = [*names, "blinding lights", "Remix"]
    kinds = ["sound"] * 5 + ["hashtag", "sound"]
    groups = variant_groups(np.array(kinds, object), np.array(titles, object), WORDS)
    assert groups[0] == groups[1] == groups[2]
    assert len({groups[0], groups[3], groups[4], groups[5], groups[6]}) == 5
