"""The in-process picture of all live trends: published as files, loaded whole, swapped whole."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson

from features.forecasts import HORIZONS_DAYS
from models.candidates import GENERATORS
from models.generators.forms import restore
from models.interactions import Ints
from models.market import Market
from serving.errors import NotReady

if TYPE_CHECKING:
    import pandas as pd

Forecasts = Mapping[str, Mapping[str, Mapping[str, float]]]

CURRENT: Final = "current"
NUMBERS: Final = "trends.npz"
ARRAYS: Final = "generators.npz"
ABOUT: Final = "about.json"
FORMAT: Final = 6
"""Of what is written; raised with every change, so that no process reads what another version of it wrote."""

_TEXTS: Final = ("keys", "types", "ids", "names", "authors", "stages")
_NUMBERS: Final = ("numeric", "taste", "region_shares", "daily_uses", "recommendable", "variant_group")

PATCHED: Final = "+"
"""Between the version that was published and the place of the last patch in it."""

KEPT: Final = 3
"""How many published snapshots stay on disk, so that a reader of the one before is not cut off."""


@dataclass(frozen=True)
class TrendSnapshot:
    """One published market.

    Attributes:
        version: its name.
        market: the live trends.
        forecasts: trend key → days ahead → growth with its 80 % interval, as shares; where public counts are known.
        parent: the version that this one was patched from, empty where it was published.
        changed: the rows that are not as they were in `parent`, ascending.
        pinned: it shows a past instant on purpose, and is not brought up to date.
    """

    version: str
    market: Market
    forecasts: Forecasts = field(default_factory=dict)
    parent: str = ""
    changed: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    pinned: bool = False

    @property
    def published(self) -> str:
        """The version that was published, whatever has been patched in since."""
        return self.version.partition(PATCHED)[0]

    @property
    def place(self) -> int:
        """Of the last patch in it in the log of patches, 0 where none is."""
        return int(self.version.partition(PATCHED)[2] or 0)


def forecasts_of(frame: pd.DataFrame) -> Forecasts:
    """The forecasts of a market's rows, see `TrendSnapshot`.

    Args:
        frame: trend_key and `features.forecasts.FORECAST_FEATURES`.
    """
    known = frame[frame[f"forecast_growth_{HORIZONS_DAYS[0]}d"].notna()]
    found: dict[str, dict[str, dict[str, float]]] = {key: {} for key in known["trend_key"]}
    for days in HORIZONS_DAYS:
        shares = np.expm1(known[[f"forecast_{part}_{days}d" for part in ("growth", "low", "high")]].to_numpy())
        for of_trend, (growth, low, high) in zip(found.values(), shares.tolist(), strict=True):
            of_trend[str(days)] = {"growth": growth, "lo80": low, "hi80": high}
    return found


def publish(folder: Path, snapshot: TrendSnapshot) -> None:
    """Write a snapshot beside the present one, then point to it; a reader sees the old or the new, never half.

    Args:
        folder: where snapshots live.
        snapshot: what to write under its version; `parent` and `changed` are not kept.
    """
    version, market = snapshot.version, snapshot.market
    folder.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(dir=folder, prefix="."))
    arrays = {f"{name}.{part}": a for name, g in market.generators.items() for part, a in g.arrays().items()}
    np.savez(staged / ARRAYS, allow_pickle=False, **arrays)
    np.savez(staged / NUMBERS, allow_pickle=False, **{name: getattr(market, name) for name in _NUMBERS})
    texts = {name: getattr(market, name).tolist() for name in _TEXTS}
    about: dict[str, Any] = {"format": FORMAT, "as_of": market.as_of.isoformat(), "words": sorted(market.word_of)}
    about |= {
        "texts": texts,
        "regions": market.region_codes,
        "forecasts": snapshot.forecasts,
        "pinned": snapshot.pinned,
    }
    (staged / ABOUT).write_bytes(orjson.dumps(about))
    target = folder / version
    if target.exists():
        target.rename(folder / f".{version}.{os.getpid()}.old")
    staged.rename(target)
    pointer = folder / f".{CURRENT}.{os.getpid()}"
    pointer.write_text(version)
    pointer.replace(folder / CURRENT)
    _forget(folder, version)


def current_version(folder: Path) -> str:
    """The version that is published now.

    Raises:
        NotReady: nothing has been published.
    """
    try:
        return (folder / CURRENT).read_text()
    except FileNotFoundError:
        raise NotReady("no market has been published: run «harmonic materialize», or «harmonic up»") from None


def is_current(folder: Path, version: str) -> bool:
    """Whether this version is what is published now."""
    try:
        return current_version(folder) == version
    except NotReady:
        return False


def load(folder: Path) -> TrendSnapshot:
    """The published snapshot.

    Raises:
        NotReady: nothing has been published, or only what another version of this program wrote.
    """
    version = current_version(folder)
    about = orjson.loads((folder / version / ABOUT).read_bytes())
    if about.get("format") != FORMAT:
        raise NotReady(f"market {version} was published by another version of this program: run «harmonic materialize»")
    arrays = _arrays(folder / version / ARRAYS)
    generators = {
        name: restore({part.partition(".")[2]: a for part, a in arrays.items() if part.startswith(f"{name}.")})
        for name in GENERATORS
    }
    texts = {name: np.array(column, object) for name, column in about["texts"].items()}
    market = Market(
        as_of=datetime.fromisoformat(about["as_of"]),
        **texts,
        **_arrays(folder / version / NUMBERS),
        region_codes=tuple(about["regions"]),
        generators=generators,
        row_of={key: row for row, key in enumerate(texts["keys"])},
        word_of={key: column for column, key in enumerate(about["words"])},
    )
    return TrendSnapshot(version, market, about["forecasts"], pinned=about["pinned"])


def _arrays(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def _forget(folder: Path, present: str) -> None:
    """Remove all but the newest snapshots, and whatever a killed publisher left."""
    import shutil

    published = [p for p in folder.iterdir() if p.is_dir()]
    newest = sorted((p for p in published if not p.name.startswith(".")), key=lambda p: p.stat().st_mtime)[-KEPT:]
    for path in published:
        if path not in newest and path.name != present:
            shutil.rmtree(path, ignore_errors=True)
    for pointer in folder.glob(f".{CURRENT}.*"):
        pointer.unlink(missing_ok=True)
