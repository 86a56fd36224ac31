from __future__ import annotations

import ast
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("configs", "features", "models", "training", "serving")
HEAVY = ("bentoml", "feast", "google.cloud.aiplatform", "lightgbm", "matplotlib", "mlflow", "optuna", "sklearn")
EDGES = {"serving.service": {"bentoml"}, "models.served": {"mlflow"}}
"""Modules that another tool loads by their address, and the library each of them speaks for."""

FEAST_REPOSITORY = ("features.definitions", "features.entities", "features.views", "features.services")
"""What Feast's own command line imports: the definitions may name its types."""

LOADED = """
import json, sys
import {module}
print(json.dumps(sorted(sys.modules)))
"""


def modules() -> list[str]:
    found = ["harmonic"]
    for package in PACKAGES:
        found.append(package)
        walked = pkgutil.walk_packages([str(ROOT / package)], f"{package}.")
        found.extend(module.name for module in walked)
    return found


def source(module: str) -> Path:
    path = ROOT / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def imports(module: str) -> set[str]:
    """Every module that a module names in an import, wherever it stands."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source(module).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def loaded_by(module: str) -> set[str]:
    script = LOADED.format(module=module)
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def test_the_import_contracts_are_kept() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command; lint_imports_command()",
            "--no-cache",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.parametrize("module", ["harmonic", "serving.api", "serving.batch", "training.run", "models.moment"])
def test_importing_a_door_loads_no_heavy_library(module: str) -> None:
    assert loaded_by(module) & set(HEAVY) == set()


def test_no_module_loads_a_heavy_library_but_the_ones_that_speak_for_it() -> None:
    told = {name for name in modules() if name not in EDGES and name not in FEAST_REPOSITORY}
    script = "import importlib, json, sys\nfound = {}\n"
    script += f"for name in {sorted(told)!r}:\n    importlib.import_module(name)\n"
    script += f"    for heavy in {HEAVY!r}:\n        if heavy in sys.modules: found.setdefault(heavy, name)\n"
    script += "print(json.dumps(found))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {}


def test_importing_everything_writes_nothing_and_says_nothing(tmp_path: Path) -> None:
    script = f"import importlib\nfor name in {sorted(modules())!r}:\n    importlib.import_module(name)\n"
    paths = {"PYTHONPATH": str(ROOT), "HARMONIC_HOME": str(tmp_path / "home"), "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        cwd=tmp_path, env=paths, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "home").exists()


def test_nothing_imports_the_command_line() -> None:
    assert [name for name in modules() if name != "harmonic" and "harmonic" in imports(name)] == []


def test_no_two_siblings_import_each_other() -> None:
    for name in modules():
        package = name.partition(".")[0]
        other = {"training": "serving", "serving": "training"}.get(package)
        assert not other or not {i.partition(".")[0] for i in imports(name)} & {other}, name


def test_every_module_opens_with_what_it_is_for() -> None:
    for name in modules():
        opening = ast.get_docstring(ast.parse(source(name).read_text()))
        assert opening and opening.partition("\n\n")[0].endswith("."), name
