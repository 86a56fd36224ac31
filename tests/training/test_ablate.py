from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import configs
from features.lake import Lake
from features.materialize import latest_instant
from features.store import FeatureRepository
from models.interactions import Floats
from models.market import Market
from models.pairs import FEATURES, INPUTS, tree_features
from models.panel import Panel
from models.ranker import Ranker, fit_ranker
from models.registry import Registry
from tests.models.test_ranker import options
from tests.training.cutting import BRIEF
from tests.worlds import SMALL_TREE, small_settings
from training.ablate import FAMILIES, MADE_OF_ALL, TREES, Ablation, ablate, taken_away, without_family

FEWER = {"ranker": SMALL_TREE["ranker"] | {"max_cutoffs": 2}} | BRIEF


@pytest.fixture(scope="module")
def settings(world_home: Path, tmp_path_factory: pytest.TempPathFactory) -> configs.Settings:
    home = tmp_path_factory.mktemp("ablate") / "home"
    home.mkdir()
    (home / "lake").symlink_to(world_home / "lake")
    return small_settings(home, **FEWER)


def seen_by_trees(panel: Panel, query: int) -> dict[str, Floats]:
    """Feature → its values over the market for one query, the linear stage aside."""
    rows = np.arange(len(panel.market))
    inputs = panel.inputs[query].astype(float)
    table = tree_features(panel.market, panel.creators[query], inputs, np.zeros(len(rows)), rows)
    return {name: table[:, at] for at, name in enumerate(FEATURES) if name not in MADE_OF_ALL}


def test_every_feature_is_of_exactly_one_family() -> None:
    named = [name for names in FAMILIES.values() for name in names]
    assert sorted(named) == sorted(set(FEATURES) - set(MADE_OF_ALL))
    assert set(INPUTS) <= set(named)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_left_out_tells_nothing_and_changes_nothing_else(panels: list[Panel], family: str) -> None:
    panel = panels[0]
    before = panel.inputs.tobytes(), panel.market.numeric.tobytes(), panel.creators[0].profile.tobytes()
    masked = without_family(panel, family)
    assert (panel.inputs.tobytes(), panel.market.numeric.tobytes(), panel.creators[0].profile.tobytes()) == before
    assert masked.allowed is panel.allowed and masked.grades is panel.grades and masked.weight == panel.weight
    for query in (0, len(panel) - 1):
        whole, left = seen_by_trees(panel, query), seen_by_trees(masked, query)
        for name, values in left.items():
            if name in FAMILIES[family]:
                assert len(np.unique(values)) == 1, name
            else:
                np.testing.assert_array_equal(values, whole[name], err_msg=name)


def only(name: str) -> Ranker:
    """A ranker that looks at one input alone."""
    weights = np.zeros(len(INPUTS))
    weights[INPUTS.index(name)] = 1.0
    return Ranker(weights, (), 0.0, 100)


def test_what_a_model_does_not_look_at_it_does_not_lose(panels: list[Panel], settings: configs.Settings) -> None:
    found = {a.family: a.loss for a in taken_away(only("walk"), panels[4:], settings)}
    assert set(found) == {*FAMILIES, TREES}
    assert found["walks"].low > 0
    for family in {*found} - {"walks"}:
        assert (found[family].low, found[family].mean, found[family].high) == (0, 0, 0), family


def test_what_only_the_trees_look_at_is_lost_too(panels: list[Panel], settings: configs.Settings) -> None:
    lightgbm = {"n_estimators": 40, "num_leaves": 15, "learning_rate": 0.2, "min_data_in_leaf": 10}
    ranker = fit_ranker(panels[:4], options(trust_queries=0, lightgbm=lightgbm))
    used = {name for name, gain in ranker.importance().items() if gain > 0} - {*INPUTS, *MADE_OF_ALL}
    families = {family for family, names in FAMILIES.items() if used & {*names} and not {*INPUTS} & {*names}}
    found = {a.family: a.loss for a in taken_away(ranker, panels[4:], settings)}
    assert families and any(found[family].mean != 0 for family in families)
    losses = [a.loss.mean for a in taken_away(ranker, panels[4:], settings)]
    assert losses == sorted(losses, reverse=True)


def test_a_market_without_a_family_still_lists_the_same_trends(panels: list[Panel]) -> None:
    def listed(market: Market) -> Sequence[object]:
        return [market.keys.tolist(), market.recommendable.tolist(), market.row_of]

    for family in FAMILIES:
        assert listed(without_family(panels[0], family).market) == listed(panels[0].market)


def test_an_ablation_is_one_run_with_its_report(settings: configs.Settings) -> None:
    lake, features = Lake(settings.home / "lake"), FeatureRepository.open(settings)
    features.apply()
    registry = Registry(settings.mlflow, settings.home)
    found = ablate(lake, features, registry, latest_instant(lake), settings)
    assert {a.family for a in found} == {*FAMILIES, TREES} and all(isinstance(a, Ablation) for a in found)
    client = registry._client
    experiment = client.get_experiment_by_name(settings.mlflow.experiment)
    (run,) = client.search_runs([experiment.experiment_id])
    for a in found:
        assert run.data.metrics[f"ablation.{a.family}.ndcg_loss"] == pytest.approx(a.loss.mean)
        low, high = (run.data.metrics[f"ablation.{a.family}.ndcg_loss.{end}"] for end in ("low", "high"))
        assert low <= a.loss.mean <= high
    assert 0 < run.data.metrics["validation.ndcg"] < 1
    page = Path(client.download_artifacts(run.info.run_id, "reports/report.html")).read_text()
    assert "data:image/png" in page and all(family in page for family in FAMILIES)
