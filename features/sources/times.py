"""Times as files write them → instants in UTC."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from features.contract import EARLIEST, LATEST
from features.schemas import INSTANT
from features.sources.columns import as_label, is_text
from features.sources.engine import per_text
from features.sources.faults import Faults, as_mask

FIRST_MILLISECONDS: Final = 100_000_000_000
"""Unix times from here on are milliseconds; as seconds they would lie in the year 5138."""
_MICROS: Final = {"s": 1_000_000, "ms": 1_000, "us": 1}


def as_instant(array: pa.Array, name: str, faults: Faults) -> pa.Array:
    """Instants from timestamps (naive ones are UTC), dates, Unix seconds or milliseconds, or text of any."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        array, kind = array.dictionary_decode(), kind.value_type
    if pa.types.is_null(kind):
        return array.cast(INSTANT)
    if pa.types.is_timestamp(kind):
        micros = _micros(array.cast(pa.int64()), kind.unit)
    elif pa.types.is_date(kind):
        micros = _micros(array.cast(pa.timestamp("ms")).cast(pa.int64()), "ms")
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
        micros = _unix(array.cast(pa.float64(), safe=False))
    elif is_text(kind) or pa.types.is_binary(kind):
        micros = _micros_of_text(as_label(array, name, faults), name, faults)
    else:
        faults.add(array.is_valid(), f"{name} is not a time")
        return pa.nulls(len(array), INSTANT)
    return _bounded(micros, name, faults)


def _micros(values: pa.Array, unit: str) -> pa.Array:
    if unit == "ns":
        return pc.divide(values, 1_000)
    if unit == "us":
        return values
    return pc.cast(pc.multiply(values.cast(pa.float64()), float(_MICROS[unit])), pa.int64(), safe=False)


def _unix(values: pa.Array) -> pa.Array:
    """Unix seconds or milliseconds as microseconds; exact to the microsecond for any time of our era."""
    seconds: npt.NDArray[np.float64] = values.fill_null(np.nan).to_numpy(zero_copy_only=False)
    scale = np.where(np.abs(seconds) < FIRST_MILLISECONDS, 1e6, 1e3)
    with np.errstate(over="ignore"):  # what overflows is out of bounds, and is told so
        micros = np.clip(np.nan_to_num(seconds * scale, nan=0.0), -9e18, 9e18).round().astype(np.int64)
    return pa.array(micros, mask=np.isnan(seconds))


def _bounded(micros: pa.Array, name: str, faults: Faults) -> pa.Array:
    low, high = (int(at.timestamp()) * 1_000_000 for at in (EARLIEST, LATEST))
    outside = as_mask(pc.or_(pc.less(micros, low), pc.greater_equal(micros, high)))
    faults.add(outside, f"{name} is no time between {EARLIEST.year} and {LATEST.year}")
    return pc.if_else(pa.array(~outside), micros, None).cast(pa.int64()).cast(INSTANT)


def _micros_of_text(text: pa.Array, name: str, faults: Faults) -> pa.Array:
    numeric = pc.match_substring_regex(text, r"^[+-]?\d+(\.\d+)?$")
    unix = _unix(pc.if_else(numeric, text, None).cast(pa.float64()))
    parsed = per_text(pc.if_else(numeric, None, text), "epoch_us(try_cast(text AS TIMESTAMPTZ))")
    micros = pc.coalesce(unix, parsed.cast(pa.int64()))
    faults.add(pc.and_(text.is_valid(), micros.is_null()), f"{name} is not a time")
    return micros
