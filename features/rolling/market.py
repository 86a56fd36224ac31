"""Public counts of a rolling history: sorted by trend and instant, the least region's row where there are several."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from features.history import Ints, Strings

_LAST: Final = "\U0010ffff"


class PublicCount(NamedTuple):
    """One row of a public list: the instant (µs), the region, and what it says, None where it does not."""

    at: int
    region: str
    value: float | None
    place: float | None


class PublicCounts:
    """Public counts of the trends that anybody uses, as `History.market`, and of those that nobody does yet."""

    def __init__(self) -> None:
        self.columns: dict[str, Any] = {"trend": np.zeros(0, np.int64), "observed": np.zeros(0, np.int64)}
        self.columns |= {"value": np.zeros(0), "place": np.zeros(0)}
        self._regions = {name: np.zeros(0, object) for name in ("value", "place")}
        self._unused: dict[str, list[PublicCount]] = {}

    def load(self, keys: Strings, found: dict[str, Any]) -> None:
        """Take in many at once: `key`, `observed`, and `value` and `place` with the regions they came from."""
        place = {key: i for i, key in enumerate(keys.tolist())}
        trend = np.array([place.get(key, -1) for key in found["key"]], np.int64)
        for name in ("value", "place"):
            regions = [_LAST if region is None else region for region in found[f"{name}_region"]]
            found = found | {f"{name}_region": np.array([*regions, None], object)[:-1]}
        for i in np.flatnonzero(trend < 0).tolist():
            at, value, place_of_it = int(found["observed"][i]), _known(found["value"][i]), _known(found["place"][i])
            self.put_unused(found["key"][i], PublicCount(at, found["value_region"][i], value, None))
            self.put_unused(found["key"][i], PublicCount(at, found["place_region"][i], None, place_of_it))
        kept = np.flatnonzero(trend >= 0)
        kept = kept[np.lexsort((found["observed"][kept], trend[kept]))]
        self.columns = {name: found[name][kept] for name in ("observed", "value", "place")} | {"trend": trend[kept]}
        self._regions = {name: found[f"{name}_region"][kept] for name in ("value", "place")}

    def history_columns(self) -> dict[str, Any]:
        """The columns as `History.market` has them."""
        return {name: self.columns[name] for name in ("trend", "observed", "value", "place")}

    def renumber(self, moved: Ints) -> None:
        """Follow the trends to their new places: trend i is now i + moved[i]."""
        self.columns["trend"] = self.columns["trend"] + moved[self.columns["trend"]]

    def use(self, key: str, trend: int) -> None:
        """A trend that nobody used is used now."""
        for row in self._unused.pop(key, ()):
            self.put(trend, row)

    def put_unused(self, key: str, row: PublicCount) -> None:
        """Keep a count for when somebody uses the trend."""
        self._unused.setdefault(key, []).append(row)

    def put(self, trend: int, row: PublicCount) -> None:
        """Take in one count of a trend that is used."""
        low, high = np.searchsorted(self.columns["trend"], [trend, trend + 1])
        at = int(low + np.searchsorted(self.columns["observed"][low:high], row.at))
        if at == high or self.columns["observed"][at] != row.at:
            empty: dict[str, Any] = {"trend": trend, "observed": row.at, "value": np.nan, "place": np.nan}
            self.columns = {name: np.insert(self.columns[name], at, value) for name, value in empty.items()}
            self._regions = {name: np.insert(regions, at, _LAST) for name, regions in self._regions.items()}
        for name, value in (("value", row.value), ("place", row.place)):
            if value is not None and row.region < self._regions[name][at]:
                self.columns[name][at], self._regions[name][at] = value, row.region


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
