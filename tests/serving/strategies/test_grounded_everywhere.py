"""Strategies for many creators, none of which may claim what its evidence does not hold."""

from __future__ import annotations

from collections import Counter

import pytest

from serving.pipeline import Pipeline
from serving.strategies.planner import Planner
from serving.strategies.schemas import StrategyRequest

SIMULATED = 250


def test_hundreds_of_plans_of_the_simulated_market_hold_no_unproven_claim(
    planner: Planner, served: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    faults: Counter[str] = Counter()
    languages, names = ("en", "vi", "es", "pt-BR", "id", "de", "fr"), list(served.states.ids())
    for place in range(SIMULATED):
        request = StrategyRequest(
            creator_id=names[place % len(names)],
            locale=languages[place % len(languages)],
            is_business=place % 5 == 0,
            utc_offset_hours=(None, -5.0, 5.5)[place % 3],
        )
        faults.update(planner.written(request)[0].check.faults)
    with capsys.disabled():
        print(f"\n{SIMULATED} plans, {faults.total()} unproven claims")
    assert not faults, faults.most_common(5)
