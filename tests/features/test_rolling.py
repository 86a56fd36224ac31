from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import configs
from features.creators import creator_features, creator_histories
from features.history import History, load_history
from features.lake import Lake
from features.rolling.history import RollingHistory
from features.rolling.words import Spoken
from features.trends import trend_features
from tests.features.small_lakes import START, Rows, bits, counted, history_of, hours, post, rows, trend_settings

QUICK = settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
Clock = Literal["created", "observed"]


@lru_cache
def of(posts_known: Clock = "created", min_creators: int = 2) -> configs.Settings:
    loaded = configs.load()
    lake = loaded.lake.model_copy(update={"posts_known": posts_known})
    return loaded.model_copy(update={"lake": lake, "trends": trend_settings(min_creators)})


def split(drawn: Rows, parts: int, seed: int) -> list[Rows]:
    """The rows in any order, in so many parts."""
    chance = np.random.default_rng(seed)
    found = [Rows() for _ in range(parts)]
    for name, table in vars(drawn.shuffled(seed)).items():
        for row in table:
            getattr(found[chance.integers(parts)], name).append(row)
    return found


def rolled(parts: list[Rows], instants: list[datetime], config: configs.Settings) -> RollingHistory:
    """The first part is in the lake at the first instant; the others come as events, one at each instant."""
    with TemporaryDirectory() as folder:
        lake = Lake(Path(folder))
        lake.append(parts[0].tables())
        rolling = RollingHistory.load(lake, instants[0], config)
    for part, at in zip(parts[1:], instants[1:], strict=True):
        rolling.advance(at)
        rolling.add(part.tables())
    return rolling


def same(rolling: RollingHistory, batch: History) -> None:
    assert bits(rolling.history()) == bits(batch)


def alike(found: pd.DataFrame, wanted: pd.DataFrame) -> None:
    """Equal to the last bit; of no rows only the columns count."""
    assert list(found) == list(wanted)
    assert bits(found) == bits(wanted) if len(wanted) else len(found) == 0


@QUICK
@given(
    rows(), st.integers(1, 4), st.integers(0, 9), st.lists(st.integers(0, 60 * 24), min_size=4, max_size=4),
    st.sampled_from(["created", "observed"]),
)  # fmt: skip
def test_events_in_any_order_at_any_time_make_the_history_that_a_batch_reads(
    drawn: Rows, parts: int, seed: int, at: list[int], clock: Clock
) -> None:
    at = sorted(at)
    at[-1] = max(at[-1], 1000)
    instants = [hours(h) for h in at[-parts:]]
    rolling = rolled(split(drawn, parts, seed), instants, of(clock))
    with TemporaryDirectory() as folder:
        lake = Lake(Path(folder))
        lake.append(drawn.tables())
        for later in (0, 31, 20 * 24):
            now = instants[-1] + timedelta(hours=later)
            rolling.advance(now)
            if drawn.known(now, clock).videos:
                same(rolling, load_history(lake.connect(), now, clock, ("original sound",)))


@QUICK
@given(rows(), st.integers(2, 4), st.integers(0, 9), st.integers(1, 3), st.data())
def test_the_rows_of_some_trends_and_creators_are_those_of_the_whole_batch(
    drawn: Rows, parts: int, seed: int, least: int, data: st.DataObject
) -> None:
    now = START + timedelta(days=40)
    rolling = rolled(split(drawn, parts, seed), [now] * parts, of(min_creators=least))
    batch = history_of(drawn, now)
    trends = trend_features(batch, trend_settings(least))
    some = data.draw(st.frozensets(st.sampled_from([*trends["trend_key"], "hashtag:none"])))
    wanted = trends[trends["trend_key"].isin(some)].reset_index(drop=True)
    alike(rolling.trend_rows(some), wanted)
    alike(rolling.trend_rows(), trends)
    creators = creator_features(batch).merge(creator_histories(batch), on="creator_id")
    few = data.draw(st.frozensets(st.sampled_from([*creators["creator_id"], "nobody"])))
    alike(rolling.creator_rows(few), creators[creators["creator_id"].isin(few)].reset_index(drop=True))
    alike(rolling.creator_rows(), creators)


def test_the_first_row_of_a_key_counts_and_the_others_are_no_news() -> None:
    start = Rows([post(1, "anna", 1, hashtag_names=["a"])], [counted(1, 5, 10)])
    rolling = rolled([start], [hours(100)], of())
    again: dict[str, Any] = {"like_count": 9}
    accepted = rolling.add(
        Rows(
            [post(1, "ben", 2), post(2, "ben", 3), post(2, "cleo", 3)],
            [counted(1, 5, 99, **again), counted(1, 6, 20), counted(1, 6, 30)],
        ).tables()
    )
    assert accepted["videos"].to_pylist()[0]["username"] == "ben"
    assert [table.num_rows for table in accepted.values()] == [1, 1]
    assert rolling.history().posts["view_count"].tolist()[0] == 20


def test_only_what_an_event_is_about_is_touched() -> None:
    start = Rows([post(n, c, n, hashtag_names=[t]) for n, (c, t) in enumerate([("anna", "a"), ("ben", "b")])])
    rolling = rolled([start], [hours(100)], of())
    rolling.add(Rows([post(7, "cleo", 50, hashtag_names=["b", "new"])]).tables())
    touched = rolling.take_touched()
    assert touched.trends == {"hashtag:b", "hashtag:new"}
    assert touched.creators == {"cleo"}
    assert not rolling.take_touched()


def test_what_is_told_too_early_counts_when_its_time_has_come() -> None:
    rolling = rolled([Rows([post(1, "anna", 1)])], [hours(10)], of())
    rolling.add(Rows([post(2, "ben", 12, hashtag_names=["a"])]).tables())
    assert rolling.history().creators.tolist() == ["anna"]
    rolling.advance(hours(12))
    assert rolling.history().creators.tolist() == ["anna", "ben"]
    assert rolling.take_touched().trends == {"hashtag:a"}


@pytest.mark.parametrize("clock", ["created", "observed"])
def test_an_empty_lake_can_be_filled_by_events(clock: Clock) -> None:
    drawn = Rows([post(1, "anna", 1, hashtag_names=["a"])], [counted(1, 5, 10)])
    rolling = rolled([Rows(), drawn], [hours(3), hours(90)], of(clock))
    same(rolling, history_of(drawn, hours(90), clock))


@QUICK
@given(st.lists(st.text(st.sampled_from("aZé Ộ#@\u00a0\t-_1²Ⅷ😀ÀΣßÿİжǅ\u0301'"), max_size=12), min_size=1, max_size=30))
def test_words_are_those_that_the_batch_finds(captions: list[str]) -> None:
    posts: list[dict[str, str | None]] = [
        {"username": f"c{n}", "video_description": text, "music_id": "1", "music_title": "original sound"}
        for n, text in enumerate(captions)
    ]
    one, other = Spoken(["original sound"]), Spoken(["original sound"])
    one.hear(posts)
    other.say(*other._asked(posts))
    assert one._of == other._of
