"""What is wrong with the rows of a batch, kept as masks so that good batches cost nothing."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Mask = npt.NDArray[np.bool_]


class Faults:
    """Why rows of one batch are refused: masks over the batch, each with its reason."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._found: list[tuple[Mask, str]] = []

    def __len__(self) -> int:
        return len(self._found)

    def add(self, where: pa.Array | Mask, reason: str) -> None:
        """Refuses the rows where the mask is true; null counts as false."""
        mask = where if isinstance(where, np.ndarray) else as_mask(where)
        if mask.any():
            self._found.append((mask, reason))

    def add_rows(self, reasons: dict[int, str]) -> None:
        """Refuses single rows, each for its own reason."""
        rows: dict[str, list[int]] = {}
        for index, reason in reasons.items():
            rows.setdefault(reason, []).append(index)
        for reason, indices in rows.items():
            self.add(np.isin(np.arange(self._rows), indices), reason)

    def bad(self, since: int = 0) -> Mask:
        """Rows with any fault, or with any of those added after the first `since`."""
        total = np.zeros(self._rows, dtype=np.bool_)
        for mask, _ in self._found[since:]:
            total |= mask
        return total

    def reasons(self, index: int) -> str:
        """Everything that is wrong with one row."""
        return "; ".join(dict.fromkeys(reason for mask, reason in self._found if mask[index]))


def as_mask(flags: pa.Array) -> Mask:
    """An Arrow array of booleans as numpy; null is false."""
    mask: Mask = pc.fill_null(flags, False).to_numpy(zero_copy_only=False)
    return mask
