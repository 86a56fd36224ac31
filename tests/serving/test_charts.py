from __future__ import annotations

import dataclasses
from io import BytesIO
from typing import Any

import pytest

from serving import charts
from serving.answers import Alone, Answers
from serving.pipeline import Pipeline
from serving.schemas import RecommendationRequest, Slate, Trends


def drawn(figure: Any) -> int:
    """Bytes of the picture: drawing it is where a chart fails."""
    picture = BytesIO()
    figure.savefig(picture, format="png", dpi=50)
    return len(picture.getvalue())


def test_every_chart_of_the_market_and_a_creator_can_be_drawn(served: Pipeline, regular: str) -> None:
    market, creator = served.snapshot.market, served.states.get(regular)
    assert creator is not None
    trends = Trends.model_validate(Answers(Alone(lambda: served)).trends(None, None, 7))
    figures = [charts.rising(trends), charts.stages(market), charts.trend_history(market, market.keys[0])]
    figures += [charts.mix(market), charts.habits(creator), charts.taste(creator, market)]
    assert all(drawn(figure) > 2000 for figure in figures)


def test_a_quiet_market_is_an_empty_chart_and_no_error(served: Pipeline) -> None:
    nothing = Trends.model_validate(Answers(Alone(lambda: served)).trends(None, "ZZ", 5))
    assert nothing.trends == () and drawn(charts.rising(nothing)) > 0


def test_dollar_signs_in_names_are_no_formula(served: Pipeline) -> None:
    market = served.snapshot.market
    names = market.names.copy()
    names[0] = "$uicide_^{boy$"
    assert drawn(charts.trend_history(dataclasses.replace(market, names=names), market.keys[0])) > 2000


def test_a_trend_that_is_not_live_is_refused(served: Pipeline) -> None:
    with pytest.raises(KeyError):
        charts.trend_history(served.snapshot.market, "hashtag:gone")


def test_a_slate_becomes_a_table_in_its_order(served: Pipeline, regular: str) -> None:
    answer = Answers(Alone(lambda: served)).slate(RecommendationRequest(creator_id=regular, k=6))
    slate = Slate.model_validate(answer)
    table = charts.slate_table(slate)
    assert table.index.tolist() == [1, 2, 3, 4, 5, 6]
    assert table["score"].is_monotonic_decreasing
    assert charts.slate_table(slate.model_copy(update={"items": ()})).empty
