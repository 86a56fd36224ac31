from __future__ import annotations

import numpy as np
import pytest

from models.interactions import Interactions, from_history, places, vocabulary
from tests.features.small_lakes import Rows, history_of, post


def text(*names: str) -> np.ndarray:
    return np.array(names, object)


NOWHERE = text("", "", "")


@pytest.fixture(scope="module")
def rows() -> Rows:
    """Anna uses a twice; a and b stand in one post; a sound is used by two; c by one alone."""
    return Rows(
        [
            post("1", "anna", 0, hashtag_names=["a"]),
            post("2", "anna", 24 * 30, hashtag_names=["a", "b"]),
            post("3", "ben", 24 * 39, hashtag_names=["a"], music_id="7", music_title="song"),
            post("4", "cleo", 24 * 39, hashtag_names=["c"], music_id="7", music_title="song"),
        ]
    )


@pytest.fixture(scope="module")
def known(rows: Rows) -> Interactions:
    return from_history(
        history_of(rows), text("hashtag:a", "hashtag:b", "sound:7"), text("hashtag:a", "sound:7"), NOWHERE
    )


def test_the_vocabulary_is_the_market_and_the_most_used_others(rows: Rows) -> None:
    history = history_of(rows)
    assert vocabulary(history, text("hashtag:b"), NOWHERE, 2, 9).tolist() == ["hashtag:a", "hashtag:b", "sound:7"]
    assert vocabulary(history, text("hashtag:c"), NOWHERE, 2, 1).tolist() == ["hashtag:a", "hashtag:c"]
    assert vocabulary(history, text(), NOWHERE, 9, 9).tolist() == []


def test_words_that_creators_share_and_their_regions_stand_beside_the_trends() -> None:
    history = history_of(
        Rows(
            [
                post("1", "anna", 1, video_description="Cooking PHỞ with @mum #a pho-nomenal x"),
                post("2", "ben", 2, video_description="cooking for two", region_code="VN"),
                post("3", "cleo", 3, video_description="dancing", music_id="9", music_title="original sound"),
                post("4", "dora", 4, video_description="phở!", music_id="9", music_title="original sound"),
                *(post(str(n), f"quiet{n}", n, video_description="") for n in range(5, 12)),
            ]
        )
    )
    regions = text("", "VN", *[""] * 9)
    words = vocabulary(history, text(), regions, 2, 9)
    assert words.tolist() == ["caption:cooking", "caption:phở", "original:9", "region:VN"]
    known = from_history(history, words, text(), regions)
    assert known.said.toarray()[:4].tolist() == [[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 1, 0]]
    assert known.based.toarray()[:3].tolist() == [[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    assert known.used.nnz == 0


def test_a_creator_used_a_trend_once_however_often(known: Interactions) -> None:
    assert known.used.toarray().tolist() == [[1, 1, 0], [1, 0, 1], [0, 0, 1]]


def test_ages_are_those_of_the_latest_use(known: Interactions) -> None:
    assert known.age.toarray() == pytest.approx(np.array([[10, 10, 0], [1, 0, 1], [0, 0, 1]]))
    assert known.recent(10).toarray()[0] == pytest.approx([0.5, 0.5, 0])
    assert known.adopted(10).toarray()[0] == pytest.approx([0.0625, 0.5, 0])


def test_posts_texts_and_targets_speak_of_the_vocabulary(known: Interactions) -> None:
    assert known.posts.toarray().tolist() == [[1, 0, 0], [1, 1, 0], [1, 0, 1], [0, 0, 1]]
    assert known.texts.tolist() == ["a", "b", ""]
    assert known.targets.tolist() == [0, 2]


def test_places_are_found_by_name_and_missing_ones_are_told() -> None:
    assert places(text("b", "x", "a", "zz"), text("a", "b", "y")).tolist() == [1, -1, 0, -1]
    assert places(text("b"), text()).tolist() == [-1]
