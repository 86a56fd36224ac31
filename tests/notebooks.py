"""Notebooks are stored as they are written: `python -m tests.notebooks` names every one that holds what a run left."""

from __future__ import annotations

import json
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "notebooks"


def all_notebooks(folder: Path = FOLDER) -> list[Path]:
    """Every notebook of the project, sorted."""
    return sorted(folder.glob("*.ipynb"))


def leftovers(notebook: Path) -> list[str]:
    """What of a run is stored in a notebook, cell by cell; empty where it is clean."""
    found = []
    for number, cell in enumerate(json.loads(notebook.read_text(encoding="utf-8"))["cells"], 1):
        if cell.get("outputs"):
            found.append(f"{notebook.name}, cell {number}: outputs")
        if cell.get("execution_count") is not None:
            found.append(f"{notebook.name}, cell {number}: execution count")
    return found


def main(folder: Path = FOLDER) -> int:
    """Print what should not be there; returns the exit code."""
    found = [leftover for notebook in all_notebooks(folder) for leftover in leftovers(notebook)]
    for leftover in found:
        print(f"{leftover}: clear all outputs and save", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
