"""Released models for tests: versions made from a trained one, sound or broken in one way each."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import configs
from models.errors import IncompatibleModel
from models.pairs import TRENDS
from models.ranker import Ranker
from models.registry import CHAMPION
from models.releases import MANIFEST, LoggedPredictions, _seal, load_checked, publish, released, write_release
from tests.worlds import small_settings


def home_to_change(trained_home: Path, folder: Path, **overrides: object) -> configs.Settings:
    """Settings of a home with everything that `trained_home` has published, free to be changed."""
    shutil.copytree(trained_home / "serving", folder / "serving")
    return small_settings(folder, **overrides)


def sound(settings: configs.Settings) -> Path:
    """The newest released folder that passes its check."""
    folders = (path for path in settings.released_models.iterdir() if path.is_dir())
    return max((path for path in folders if _passes(path)), key=lambda path: path.stat().st_mtime)


def _passes(folder: Path) -> bool:
    try:
        load_checked(folder)
    except IncompatibleModel:
        return False
    return True


def champion_of(settings: configs.Settings) -> Path:
    """The folder of the released champion."""
    release = released(settings.released_models, CHAMPION)
    assert release is not None
    return release.folder


def release_variant(settings: configs.Settings, version: str, share: float, alias: str = CHAMPION) -> None:
    """Release a sound model that trusts its trees to another extent than the first one does."""
    present = sound(settings)
    logged = LoggedPredictions.load(present)
    ranker = replace(Ranker.load(present), trust=share)

    def fill(folder: Path) -> None:
        write_release(ranker, logged.features[:5], folder)

    publish(settings.released_models, alias, version, fill)


def broken_variant(settings: configs.Settings, version: str, how: str) -> None:
    """Put a broken copy of the first model beside it and point to it, as no sound release would."""
    root = settings.released_models
    folder = root / version
    shutil.copytree(root / "1", folder)
    trees, meta = folder / "trees-0.txt", folder / "ranker.json"
    if how == "truncated":
        trees.write_bytes(trees.read_bytes()[: trees.stat().st_size // 2])
    elif how == "features":
        about = json.loads(meta.read_text())
        meta.write_text(json.dumps(about | {"features": about["features"][::-1]}))
    elif how == "leaf":
        trees.write_text(_with_another_leaf(trees.read_text()))
    elif how == "weight":
        about = json.loads(meta.read_text())
        meta.write_text(json.dumps(about | {"weights": [float("nan"), *about["weights"][1:]]}))
    elif how == "no examples":
        (folder / "examples.npz").unlink()
    if how != "truncated":
        (folder / MANIFEST).unlink()
        _seal(folder, TRENDS)
    (root / CHAMPION).write_text(version)


def _with_another_leaf(trees: str) -> str:
    """The first tree's first leaf a little higher."""
    before, _, rest = trees.partition("leaf_value=")
    values, _, after = rest.partition("\n")
    first, *others = values.split(" ")
    return f"{before}leaf_value={' '.join([repr(float(first) + 1e-6), *others])}\n{after}"
