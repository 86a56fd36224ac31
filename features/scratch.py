"""Folders of work in hand, named after their process, so that whoever comes later can remove what a dead one left."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4


def scratch_path(root: Path, prefix: str) -> Path:
    """A new name below `root` for this process; nothing is made."""
    return root / f"{prefix}{os.getpid()}-{uuid4().hex[:8]}"


@contextmanager
def scratch(root: Path, prefix: str) -> Iterator[Path]:
    """A folder below `root` that is gone afterwards; what dead processes left of the kind is removed first."""
    root.mkdir(parents=True, exist_ok=True)
    clear_dead(root, prefix)
    with TemporaryDirectory(dir=root, prefix=f"{prefix}{os.getpid()}-") as folder:
        yield Path(folder)


def clear_dead(root: Path, prefix: str) -> None:
    """Remove the folders of processes that are no more."""
    for folder in root.glob(f"{prefix}[0-9]*-*"):
        if not is_alive(int(folder.name.removeprefix(prefix).partition("-")[0])):
            shutil.rmtree(folder, ignore_errors=True)


def is_alive(process: int) -> bool:
    """Whether there is a process of this number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
