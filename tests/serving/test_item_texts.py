from __future__ import annotations

import dataclasses
import json
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.market import TREND_COLUMNS, Market
from models.reasons import PHRASES
from serving import present
from serving.answers import Alone, Answers
from serving.item_texts import ITEM_EVIDENCE, ItemTexts, encoded_items
from serving.pipeline import Pipeline
from serving.schemas import Item, Ranking, RankRequest, RecommendationRequest, Slate, TrendRef
from serving.snapshot import TrendSnapshot
from tests.serving.markets import market_of

AGE = next(place for place, phrase in enumerate(PHRASES) if phrase.reads == "age_days")


def item(texts: ItemTexts, row: int, phrases: list[int] | None = None, values: list[float] | None = None) -> Any:
    """What is said of one row, with scores that do not matter."""
    numbers = [(b"0.5", b"0.25", b"0.75")]
    pieces = encoded_items(texts.of([row]), texts.dates, numbers, [phrases or []], [values or []])
    return json.loads(b"".join(pieces))


def drawn(**columns: Any) -> Market:
    """Two trends, with these columns instead."""
    return dataclasses.replace(market_of(["sound", "hashtag"]), **columns)


def test_a_slate_and_a_ranking_are_what_the_schema_says(served: Pipeline, regular: str) -> None:
    answers = Answers(Alone(lambda: served))
    slate = Slate.model_validate_json(answers.encoded_slate(RecommendationRequest(creator_id=regular)).body)
    assert slate.items and slate.creator_id == regular
    asked = tuple(TrendRef(kind=one.kind, id=one.id) for one in slate.items)
    ranking = answers.encoded_ranking(RankRequest(creator_id=regular, candidates=asked))
    assert {one.id for one in Ranking.model_validate_json(ranking.body).items} == {one.id for one in slate.items}


def test_the_evidence_of_an_item_is_that_of_its_trend(served: Pipeline, regular: str) -> None:
    answers, market = Answers(Alone(lambda: served)), served.snapshot.market
    for one in answers.slate(RecommendationRequest(creator_id=regular))["items"]:
        row = market.row_of[f"{one['kind']}:{one['id']}"]
        expected = present.trend_evidence(market, row, ITEM_EVIDENCE)
        assert one["evidence"] == [
            told | {name: told[name] and told[name].isoformat() for name in ("since", "as_of")} for told in expected
        ]


def test_an_answer_is_the_same_in_python_as_over_http(served: Pipeline, regular: str) -> None:
    answers, request = Answers(Alone(lambda: served)), RecommendationRequest(creator_id=regular, k=5)
    one, other = answers.slate(request), json.loads(answers.encoded_slate(request).body)
    assert one["as_of"] == served.snapshot.market.as_of and one["as_of"].isoformat() == other["as_of"]
    assert one["items"] == other["items"]


@settings(max_examples=100, deadline=None)
@given(name=st.text(st.characters(exclude_categories=["Cs"])), author=st.text(st.characters(exclude_categories=["Cs"])))
def test_no_title_can_break_out_of_its_place(name: str, author: str) -> None:
    names, authors = (np.array([text] * 2, object) for text in (name, author))
    told = item(ItemTexts(TrendSnapshot("v", drawn(names=names, authors=authors)), {}), 0)
    assert (told["title"], told["author"]) == (name, author or None)
    assert Item.model_validate(told).evidence


def test_what_is_unknown_is_left_out() -> None:
    numeric = np.full((2, len(TREND_COLUMNS)), np.nan)
    numeric[0, TREND_COLUMNS.index("uses_7d")] = 7
    texts = ItemTexts(TrendSnapshot("v", drawn(numeric=numeric)), {})
    assert [one["name"] for one in item(texts, 0)["evidence"]] == ["uses_7d"]
    assert item(texts, 1)["evidence"] == []


def test_a_patch_renews_the_rows_it_changed_and_the_instants_of_all() -> None:
    before = TrendSnapshot("v", drawn())
    texts = ItemTexts(before, {"rising": 0.5})
    assert item(texts, 0, [AGE], [3.0])["reasons"] == item(texts, 1, [AGE], [3.0])["reasons"]
    stages = np.array(["rising", "peaking"], object)
    market = drawn(stages=stages, as_of=before.market.as_of + timedelta(hours=1))
    later = texts.on(TrendSnapshot("v+1", market, parent="v", changed=np.array([1])))
    assert [item(later, row)["stage"] for row in (0, 1)] == ["rising", "peaking"]
    assert [item(later, row)["stage_hit_rate"] for row in (0, 1)] == [0.5, None]
    assert item(later, 0, [AGE], [4.0])["reasons"] == ["it is only 3 days old"], "the row is as it was"
    assert item(later, 1, [AGE], [4.0])["reasons"] == ["it is only 4 days old"]
    for which, as_of in ((texts, before.market.as_of), (later, market.as_of)):
        evidence = item(which, 0)["evidence"]
        assert {one["as_of"] for one in evidence} == {as_of.isoformat()}
        since = {one["since"] for one in evidence if one["since"]}
        assert since == {(as_of - timedelta(days=7)).isoformat()}


@pytest.mark.parametrize("most", [0, 1, 3])
def test_an_item_has_no_more_reasons_than_asked_for(served: Pipeline, regular: str, most: int) -> None:
    few = dataclasses.replace(served, settings=served.settings.model_copy(update={"reasons": most}))
    items = Answers(Alone(lambda: few)).slate(RecommendationRequest(creator_id=regular))["items"]
    assert max(len(one["reasons"]) for one in items) == most
