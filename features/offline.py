"""The offline store on disk: one Parquet file per view and as-of, replaced whole."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from features.codec import utc
from features.errors import NotMaterialized
from features.views import ViewSpec


class OfflineFiles:
    """Where the rows of every view are kept.

    Args:
        root: the folder; each view has a folder of its own below it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def pattern(self, view: str) -> str:
        """The glob that names every file of a view, as DuckDB reads it."""
        return str(self.root / view / "*.parquet")

    def files(self, view: str) -> list[Path]:
        """The files of a view, the earliest as-of first.

        Raises:
            NotMaterialized: there is none.
        """
        found = sorted((self.root / view).glob("*.parquet"))
        if not found:
            raise NotMaterialized(f"no rows of {view} yet; run `harmonic materialize` first")
        return found

    def write(self, view: ViewSpec, table: pa.Table, as_of: datetime) -> Path:
        """Keep these rows in place of any this as-of had; a crash leaves the old file or the new one.

        Args:
            view: whose rows they are.
            table: as `codec.encode` makes it.
            as_of: names the file.
        """
        import pyarrow.parquet as pq

        path = self.root / view.name / f"{utc(as_of):%Y%m%dT%H%M%S.%fZ}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            with draft.open("wb") as file:
                # Numbers rarely repeat: a dictionary costs time on both sides and saves nothing but on keys.
                pq.write_table(table, file, use_dictionary=[view.key], compression="lz4")
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        _sync_folder(path.parent)
        return path


def _sync_folder(folder: Path) -> None:
    """Make a rename durable: the folder's entry is data too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
