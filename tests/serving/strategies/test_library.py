from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from serving.strategies.library import FEATURES, LIBRARY_FILE, BadLibrary, Condition, load_library


def rows() -> list[dict[str, Any]]:
    return list(yaml.safe_load(LIBRARY_FILE.read_text()))


def written(folder: Path, told: Any) -> Path:
    path = folder / "strategies.yaml"
    path.write_text(told if isinstance(told, str) else yaml.safe_dump(told))
    return path


def test_the_projects_library_has_at_least_thirty_strategies_and_some_that_apply_to_everybody() -> None:
    found = load_library()
    assert len(found) >= 30
    nobody = dict.fromkeys(FEATURES, math.nan) | {"known": 0.0, "is_business": 0.0}
    assert sum(strategy.applies(nobody) for strategy in found.values()) >= 3
    assert len({strategy.name for strategy in found.values()}) == len(found)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"when": [{"feature": "moon", "op": ">=", "value": 1}]}, "«moon» is no feature"),
        ({"when": [{"feature": "followers", "op": "~", "value": 1}]}, "when.0.op"),
        ({"evidence": "astrology"}, "«astrology» is no evidence query"),
        ({"steps": ["Do {something}.", "Do more."]}, "unknown placeholder ['something']"),
        ({"effort": "huge"}, "effort"),
        ({"colour": "red"}, "colour"),
        ({"id": "No Id"}, "id"),
    ],
)
def test_a_fault_is_named_with_its_strategy_and_place(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    told = rows()
    told[3] |= change
    with pytest.raises(BadLibrary) as caught:
        load_library(written(tmp_path, told))
    assert says in str(caught.value) and str(told[3]["id"]) in str(caught.value)


def test_a_file_that_is_missing_or_no_list_or_too_short_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadLibrary, match="does not exist"):
        load_library(tmp_path / "nothing.yaml")
    for told, says in (("a: [", "is no YAML"), ("a: 1", "expected a list"), (rows()[:5], "at least 30")):
        with pytest.raises(BadLibrary, match=says):
            load_library(written(tmp_path, told))
    with pytest.raises(BadLibrary, match="used twice"):
        load_library(written(tmp_path, [*rows(), rows()[0]]))


@pytest.mark.parametrize(
    ("op", "value", "holds"), [(">=", 2, True), (">", 2, False), ("<=", 2, True), ("<", 2, False), ("==", 2, True)]
)
def test_a_condition_compares_a_feature_with_a_value(op: Any, value: float, holds: bool) -> None:
    assert Condition(feature="cadence", op=op, value=value).holds({"cadence": 2.0}) is holds


def test_a_condition_over_what_is_not_known_does_not_hold() -> None:
    for op in (">=", "<"):
        condition = Condition.model_validate({"feature": "followers", "op": op, "value": 1})
        assert not condition.holds({}) and not condition.holds({"followers": math.nan})
