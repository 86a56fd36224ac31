"""A YAML file of addresses, with `${NAME}` in its values filled in from the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from features.errors import FeatureError

_NAME = re.compile(r"\$\{(\w+)\}")


def read(path: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """The file's tree, filled in.

    Raises:
        FeatureError: there is no such file, or the environment lacks a name.
    """
    if not path.is_file():
        raise FeatureError(f"no feature store configuration at {path}; set feast.config to one")
    tree = yaml.safe_load(path.read_text())
    return {key: _filled(value, environment, path) for key, value in tree.items()}


def _filled(tree: Any, environment: Mapping[str, str], path: Path) -> Any:
    if isinstance(tree, dict):
        return {key: _filled(value, environment, path) for key, value in tree.items()}
    if not isinstance(tree, str):
        return tree
    missing = sorted(set(_NAME.findall(tree)) - set(environment))
    if missing:
        raise FeatureError(f"{path.name} needs {', '.join(missing)} in the environment; set it and try again")
    return _NAME.sub(lambda match: environment[match[1]], tree)
