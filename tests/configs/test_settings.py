from __future__ import annotations

import importlib
import os
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

import configs

FOLDER = Path(configs.__file__).parent
YAMLS = sorted(path.stem for path in FOLDER.glob("*.yaml"))


def keys(tree: object) -> set[str]:
    """Every path of a tree of mappings, down to its values."""
    if not isinstance(tree, dict):
        return set()
    return {str(name) for name in tree} | {f"{name}.{below}" for name, value in tree.items() for below in keys(value)}


def test_every_file_beside_the_profiles_is_a_section_that_is_read() -> None:
    assert sorted(configs.SECTIONS) == YAMLS


@pytest.mark.parametrize("section", configs.SECTIONS)
def test_what_a_file_says_is_what_is_set(section: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("HARMONIC_")]:
        monkeypatch.delenv(name)
    written = yaml.safe_load((FOLDER / f"{section}.yaml").read_text())
    read = getattr(configs.load(home=home), section).model_dump()
    assert keys(written) <= keys(read)


def test_the_environment_overrides_a_file_by_path(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARMONIC_RANKER__TREES__SHORTLIST", "17")
    settings = configs.load(home=home)
    assert settings.ranker.trees.shortlist == 17
    assert settings.ranker.horizon_days == yaml.safe_load((FOLDER / "ranker.yaml").read_text())["horizon_days"]


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("HARMONIC_RANKER__HORIZON_DAYS", "0", "ranker.horizon_days"),
        ("HARMONIC_SERVING__PORTS", "80", "serving.ports"),
        ("HARMONIC_EVENTS__STORE", "redis", "HARMONIC_EVENTS__REDIS"),
        ("HARMONIC_PROFILE", "moon", "local, production"),
    ],
)
def test_what_does_not_fit_is_named(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(configs.SettingsError, match=told):
        configs.load(home=home)


def test_settings_do_not_change_and_the_home_is_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    settings = configs.load(home=Path("state"))
    assert settings.home == tmp_path / "state"
    with pytest.raises(ValidationError, match="frozen"):
        settings.serving.port = 1  # type: ignore[misc]


def test_every_class_of_settings_can_be_had_from_the_package() -> None:
    modules = [importlib.import_module(f"configs.{path.stem}") for path in FOLDER.glob("[!_]*.py")]
    made = {name for module in modules for name, it in vars(module).items() if isinstance(it, type)
            and it.__module__ == module.__name__ and name.endswith("Settings")}  # fmt: skip
    assert made and made <= set(configs.__all__)
