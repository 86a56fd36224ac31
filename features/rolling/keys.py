"""Which rows the lake has already, by natural key: the first row of a key counts, whatever comes later."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from features.history import Ints


class KnownKeys:
    """Keys of a name and an instant; what was there at the start is kept as arrays, what came since as a set.

    Args:
        names: of the rows there are, shape (n,).
        instants: of the same rows, µs, shape (n,).
    """

    def __init__(self, names: Iterable[str] = (), instants: Ints | None = None) -> None:
        self._number: dict[str, int] = {}
        number = np.array([self._number.setdefault(name, len(self._number)) for name in names], np.int64)
        instants = np.zeros(0, np.int64) if instants is None else instants
        order = np.lexsort((number, instants))
        self._instants, self._numbers = instants[order], number[order]
        self._since: set[tuple[str, int]] = set()

    def add(self, name: str, instant: int) -> bool:
        """Remember a key; returns whether it is new."""
        if (name, instant) in self._since:
            return False
        number = self._number.get(name)
        if number is not None:
            low, high = np.searchsorted(self._instants, [instant, instant + 1])
            at = low + np.searchsorted(self._numbers[low:high], number)
            if at < high and self._numbers[at] == number:
                return False
        self._since.add((name, instant))
        return True
