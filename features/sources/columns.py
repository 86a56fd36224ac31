"""Columns of any Arrow type → the contract's text and numbers; what does not fit is a fault of its row."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from features.contract import LARGEST_COUNT, LONGEST_ID
from features.sources.faults import Faults, as_mask

_NUMBER: Final = r"^[+-]?\d+(\.0*)?$"


def as_text(array: pa.Array, name: str, faults: Faults) -> pa.Array:
    """Free text as it stands."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        return as_text(array.dictionary_decode(), name, faults)
    if pa.types.is_null(kind) or pa.types.is_integer(kind):
        return array.cast(pa.string())
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or is_text(kind)):
        faults.add(array.is_valid(), f"{name} is not text")
        return pa.nulls(len(array), pa.string())
    text = _decoded(array, name, faults)
    faults.add(pc.match_substring(text, "\0"), f"NUL byte in {name}")
    return text


def as_label(array: pa.Array, name: str, faults: Faults) -> pa.Array:
    """A title or a name: trimmed, null where blank."""
    text = pc.utf8_trim_whitespace(as_text(array, name, faults))
    return pc.if_else(pc.equal(text, ""), None, text)


def as_id(array: pa.Array, name: str, faults: Faults) -> pa.Array:
    """An id: trimmed, null where blank, at most `LONGEST_ID` characters."""
    text = as_label(array, name, faults)
    faults.add(pc.greater(pc.utf8_length(text), LONGEST_ID), f"{name} is longer than {LONGEST_ID} characters")
    return text


def as_count(array: pa.Array, name: str, faults: Faults) -> pa.Array:
    """Whole numbers from 0 to 2^63 - 1, from numbers or their text; a float's NaN is unknown, thus null."""
    kind = array.type
    if pa.types.is_null(kind):
        numbers = array.cast(pa.int64())
    elif pa.types.is_integer(kind):
        numbers = _in_range(array, name, faults)
    elif pa.types.is_floating(kind):
        numbers = _whole(array.cast(pa.float64()), name, faults)
    elif pa.types.is_decimal(kind):
        numbers = _count_of_text(array.cast(pa.string()), name, faults)
    elif is_text(kind) or pa.types.is_binary(kind) or pa.types.is_dictionary(kind):
        numbers = _count_of_text(as_label(array, name, faults), name, faults)
    else:
        faults.add(array.is_valid(), f"{name} is not a number")
        return pa.nulls(len(array), pa.int64())
    faults.add(pc.less(numbers, 0), f"{name} is negative")
    return numbers


def as_real(array: pa.Array, name: str, faults: Faults) -> pa.Array:
    """Finite real numbers, from numbers or their text."""
    if is_text(array.type) or pa.types.is_binary(array.type):
        text = as_label(array, name, faults)
        values = np.array([_float(v) for v in text.to_pylist()], dtype=np.float64)
        faults.add(as_mask(text.is_valid()) & ~np.isfinite(values), f"{name} is not a number")
        return pa.array(values, mask=~np.isfinite(values))
    if pa.types.is_boolean(array.type) or pa.types.is_nested(array.type) or pa.types.is_temporal(array.type):
        faults.add(array.is_valid(), f"{name} is not a number")
        return pa.nulls(len(array), pa.float64())
    numbers = array.cast(pa.float64())
    faults.add(pc.is_inf(numbers), f"{name} is not a number")
    return pc.if_else(pc.is_finite(numbers), numbers, None)


def is_text(kind: pa.DataType) -> bool:
    """Whether Arrow calls a type text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _decoded(array: pa.Array, name: str, faults: Faults) -> pa.Array:
    """Bytes that claim to be UTF-8 as text; where one is not, its row is at fault."""
    if pa.types.is_string_view(array.type):
        array = array.cast(pa.string())
    raw = array.cast(pa.binary())
    try:
        return raw.cast(pa.string())
    except pa.ArrowInvalid:
        texts = [_utf8(value) for value in raw.to_pylist()]
        text = pa.array(texts, pa.string())
        faults.add(pc.and_(array.is_valid(), text.is_null()), f"undecodable text in {name} (not UTF-8)")
        return text


def _utf8(raw: bytes | None) -> str | None:
    try:
        return None if raw is None else raw.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _in_range(array: pa.Array, name: str, faults: Faults) -> pa.Array:
    if array.type != pa.uint64():
        return array.cast(pa.int64())
    over = as_mask(pc.greater(array, pa.scalar(LARGEST_COUNT, pa.uint64())))
    faults.add(over, f"{name} is too large")
    return pc.if_else(pa.array(~over), array, None).cast(pa.int64())


def _whole(array: pa.Array, name: str, faults: Faults) -> pa.Array:
    values: npt.NDArray[np.float64] = array.fill_null(np.nan).to_numpy(zero_copy_only=False)
    unknown = np.isnan(values)
    fits = np.abs(values) < 2.0**63
    faults.add(~fits & ~unknown, f"{name} is too large")
    whole = fits & (np.floor(values) == values)
    faults.add(fits & ~whole, f"{name} is not a whole number")
    return pa.array(np.where(whole, values, 0).astype(np.int64), mask=~whole)


def _count_of_text(text: pa.Array, name: str, faults: Faults) -> pa.Array:
    plain = pc.and_(pc.match_substring_regex(text, _NUMBER), pc.less(pc.utf8_length(text), 18))
    digits = pc.replace_substring_regex(pc.if_else(plain, text, None), r"\.0*$|^\+", "")
    numbers = digits.cast(pa.int64())
    odd = np.flatnonzero(as_mask(text.is_valid()) & ~as_mask(plain))
    if not len(odd):
        return numbers
    values = numbers.to_pylist()
    wrong: dict[int, str] = {}
    for index in odd.tolist():
        values[index], reason = _odd_count(text[index].as_py())
        if reason:
            wrong[index] = f"{name} {reason}"
    faults.add_rows(wrong)
    return pa.array(values, pa.int64())


def _odd_count(text: str) -> tuple[int | None, str | None]:
    """A count written in an unusual way, or what is wrong with it."""
    if len(text) > 400:
        return None, "is not a number"
    number = _float(text)
    if math.isnan(number):
        return None, "is not a number"
    if math.isinf(number):
        return None, "is too large"
    digits = text.lstrip("+-").isdecimal()
    whole = int(text) if digits else int(number)
    if abs(whole) > LARGEST_COUNT:
        return None, "is too large"
    return (whole, None) if digits or whole == number else (None, "is not a whole number")


def _float(text: str | None) -> float:
    try:
        return float("nan") if text is None else float(text)
    except ValueError:
        return float("nan")
