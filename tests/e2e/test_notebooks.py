"""Both notebooks run from a clean kernel on a trained home, show what they promise, and are stored clean."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.notebooks import FOLDER, all_notebooks, leftovers, main
from tests.worlds import small_environment

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def execute(trained_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """Runs a notebook on a copy of the trained home, in a kernel of its own; gives it with its outputs."""
    folder = tmp_path_factory.mktemp("notebooks")
    shutil.copytree(trained_home, folder / "home")

    def run(name: str) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            for key, value in small_environment(folder / "home").items():
                patch.setenv(key, value)
            notebook = nbformat.read(FOLDER / name, as_version=4)
            client = NotebookClient(notebook, timeout=180, resources={"metadata": {"path": str(folder)}})
            return client.execute()

    return run


def shown(notebook: Any) -> list[dict[str, Any]]:
    """The data of every rich output, in order."""
    return [o["data"] for cell in notebook.cells if cell.cell_type == "code" for o in cell.outputs if "data" in o]


def printed(notebook: Any) -> str:
    outputs = (o for cell in notebook.cells if cell.cell_type == "code" for o in cell.outputs)
    return "".join(o["text"] for o in outputs if o["output_type"] == "stream" and o["name"] == "stdout")


def test_exploring_shows_the_market_and_one_creator(execute: Callable[[str], Any]) -> None:
    notebook = execute("01_explore_trends.ipynb")
    assert sum("image/png" in data for data in shown(notebook)) == 6
    assert "live trends as of 2025" in printed(notebook)
    known, newcomer = [data["text/html"] for data in shown(notebook) if "text/html" in data]
    for table in (known, newcomer):
        assert table.count("<tr>") >= 10 and "why" in table


def test_retraining_ends_with_a_verdict_beside_the_champion(execute: Callable[[str], Any]) -> None:
    notebook = execute("02_retrain.ipynb")
    assert sum("image/png" in data for data in shown(notebook)) >= 4
    beside = next(data["text/html"] for data in shown(notebook) if "text/html" in data)
    for name in ("champion", "challenger", "ranker.half_life_days", "test.ranker.ndcg"):
        assert name in beside
    assert any(word in printed(notebook) for word in ("kept the champion", "promoted: version"))


@pytest.mark.parametrize("path", all_notebooks(), ids=lambda path: path.name)
def test_a_notebook_is_stored_clean_and_holds_no_logic(path: Path) -> None:
    assert leftovers(path) == []
    source = "\n".join("".join(c["source"]) for c in json.loads(path.read_text())["cells"] if c["cell_type"] == "code")
    assert not any(word in source for word in ("def ", "class ", "lambda x", "import numpy", "import pandas"))


def test_both_notebooks_are_there() -> None:
    assert [path.name for path in all_notebooks()] == ["01_explore_trends.ipynb", "02_retrain.ipynb"]


def test_outputs_left_in_a_notebook_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clean = {"cell_type": "code", "source": "1", "metadata": {}, "execution_count": None, "outputs": []}
    (tmp_path / "clean.ipynb").write_text(json.dumps({"cells": [clean]}))
    assert main(tmp_path) == 0
    dirty = clean | {"execution_count": 3, "outputs": [{"output_type": "stream", "name": "stdout", "text": "1"}]}
    (tmp_path / "dirty.ipynb").write_text(json.dumps({"cells": [clean, dirty]}))
    assert main(tmp_path) == 1
    told = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in told] == ["dirty.ipynb, cell 2"] * 2
