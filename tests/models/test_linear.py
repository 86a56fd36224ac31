from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import configs
from models.linear import _cross_entropy, fit_linear
from models.pairs import INPUTS, TRENDS
from models.panel import Panel

LINEAR = configs.load().ranker.linear


def planted(panel: Panel, weights: np.ndarray, seed: int) -> Panel:
    """The panel with random inputs, in which everybody adopted what these weights rank first."""
    inputs = np.random.default_rng(seed).normal(size=panel.inputs.shape).astype(np.float32)
    best = np.where(panel.allowed, inputs @ weights.astype(np.float32), -np.inf).argmax(axis=1)
    grades = np.zeros_like(panel.grades)
    grades[np.arange(len(panel)), best] = 2
    return replace(panel, inputs=inputs, grades=grades)


def test_without_any_query_the_prior_stands() -> None:
    weights = fit_linear([], LINEAR, TRENDS)
    assert dict(zip(INPUTS, weights, strict=True)) == {name: LINEAR.prior.get(name, 0.0) for name in INPUTS}


def test_a_prior_of_something_that_is_no_input_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="luck"):
        TRENDS.weights({"walk": 1.0, "luck": 1.0})


def test_the_gradient_equals_finite_differences(panels: list[Panel]) -> None:
    panel, weights = panels[-1], TRENDS.weights(LINEAR.prior)
    _, gradient = _cross_entropy(panel, weights)
    for at in range(0, len(INPUTS), 3):
        step = np.zeros(len(INPUTS))
        step[at] = 1e-2
        up, down = _cross_entropy(panel, weights + step)[0], _cross_entropy(panel, weights - step)[0]
        assert (up - down) / 2e-2 == pytest.approx(gradient[at], rel=5e-3, abs=5e-2), INPUTS[at]


def test_a_planted_signal_is_learned(panels: list[Panel]) -> None:
    truth = np.zeros(len(INPUTS))
    truth[[2, 5]] = [2.0, -1.0]
    learned = fit_linear(
        [planted(p, truth, n) for n, p in enumerate(panels)], LINEAR.model_copy(update={"prior": {}}), TRENDS
    )
    assert learned[2] > 5 * np.abs(np.delete(learned, [2, 5])).max()
    assert learned[5] == pytest.approx(-learned[2] / 2, rel=0.2)


def test_few_queries_move_the_weights_little_and_a_strong_ridge_not_at_all(panels: list[Panel]) -> None:
    prior = TRENDS.weights(LINEAR.prior)
    one, all_of_them = fit_linear(panels[:1], LINEAR, TRENDS), fit_linear(panels, LINEAR, TRENDS)
    assert np.linalg.norm(one - prior) < np.linalg.norm(all_of_them - prior)
    assert fit_linear(panels, LINEAR.model_copy(update={"ridge": 1e9}), TRENDS) == pytest.approx(prior, abs=1e-5)


def test_the_order_of_queries_changes_the_weights_only_in_their_last_digits(panels: list[Panel]) -> None:
    mixed = []
    for panel in reversed(panels):
        order = np.random.default_rng(0).permutation(len(panel))
        creators = tuple(panel.creators[i] for i in order)
        parts = (panel.inputs[order], panel.allowed[order], panel.grades[order])
        mixed.append(Panel(panel.cutoff, panel.market, creators, *parts, panel.weight))
    assert fit_linear(mixed, LINEAR, TRENDS) == pytest.approx(fit_linear(panels, LINEAR, TRENDS), abs=1e-2)


def test_what_was_learned_beats_the_prior_on_what_it_learned_from(panels: list[Panel], world_home: Path) -> None:
    def loss(weights: np.ndarray) -> float:
        return sum(_cross_entropy(panel, weights)[0] for panel in panels)

    assert loss(fit_linear(panels, LINEAR, TRENDS)) < loss(TRENDS.weights(LINEAR.prior))
