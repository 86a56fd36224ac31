from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

import configs
from models.pairs import INPUTS
from models.panel import Panel
from models.ranker import Ranker
from models.registry import CHALLENGER, CHAMPION, Registry
from tests.models.test_registry import plain, record
from tests.worlds import NOW, small_settings
from training.errors import NotComparable
from training.evaluate import METRICS, Figures
from training.promote import promote_challenger, promote_first

OPTIONS = configs.load().promotion.model_copy(update={"resamples": 300})


def of(values: list[float]) -> Figures:
    return Figures({metric: np.array(values) for metric in METRICS}, 1.0, 0.0)


def only(name: str, weight: float) -> Ranker:
    """A ranker that looks at one input alone."""
    weights = np.zeros(len(INPUTS))
    weights[INPUTS.index(name)] = weight
    return Ranker(weights, (), 0.0, 100)


@pytest.fixture
def registry(home: Path) -> Registry:
    return Registry(small_settings(home).mlflow, home)


def test_promotion_from_the_first_model_on(registry: Registry, panels: list[Panel]) -> None:
    test, starts = panels[4:], panels[4].cutoff
    good, bad = only("walk", 1.0), only("walk", -1.0)

    # the first model has to beat the best of the popularity baselines
    first = registry.log(record(bad, trained_through=starts), "bad")
    popular = {"popular_a": of([0.2, 0.1]), "popular_b": of([0.3, 0.2])}
    verdict = promote_first(registry, first, of([0.3, 0.1]), popular, OPTIONS, 0, NOW)
    assert not verdict.promoted and registry.version(CHAMPION) is None
    assert "does not beat popularity" in verdict.message and "popular_b" in verdict.message
    verdict = promote_first(registry, first, of([0.4, 0.3]), popular, OPTIONS, 0, NOW)
    assert verdict.promoted and registry.version(CHAMPION) == first
    assert verdict.gain is not None and verdict.gain.mean == pytest.approx(0.1)

    # the champion itself is no challenger
    verdict = promote_challenger(registry, test, OPTIONS, 0, NOW)
    assert not verdict.promoted and "champion already" in verdict.message

    # a proven gain moves the alias
    second = registry.log(record(bad, held_out=good, trained_through=starts), "good")
    verdict = promote_challenger(registry, test, OPTIONS, 0, NOW + timedelta(hours=1))
    assert verdict.promoted and verdict.gain is not None and verdict.gain.low > 0
    assert verdict.message.startswith(f"promoted: version {second} against champion {first}")
    assert registry.version(CHAMPION) == second

    # one that is not proven does not, and the message says so
    third = registry.log(record(good, trained_through=starts), "as good")
    verdict = promote_challenger(registry, test, OPTIONS, 0, NOW)
    assert not verdict.promoted and "the gain is not proven" in verdict.message
    assert (registry.version(CHAMPION), registry.version(CHALLENGER)) == (second, third)

    # who has seen the period cannot be judged on it
    registry.log(record(plain(), trained_through=starts + timedelta(seconds=1)), "knows too much")
    with pytest.raises(NotComparable, match=r"has learned from labels up to .*: train a challenger on later data"):
        promote_challenger(registry, test, OPTIONS, 0, NOW)
    assert [tenure.version for tenure in registry.audit()] == [first, second]
