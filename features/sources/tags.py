"""Hashtags as files write them → their trend ids: lower case, without `#`, each once."""

from __future__ import annotations

import ast
import re
from typing import Final

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from features.contract import LONGEST_ID, normal_tag
from features.sources.columns import as_text, is_text
from features.sources.engine import per_text
from features.sources.faults import Faults, Mask

_HASHTAG: Final = r"[#＃]([\p{L}\p{M}\p{N}_]+)"
_LISTED: Final = re.compile(r"[\s,|;\[\]'\"]+")
_PRINTED: Final = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")
"""A text as Python prints it, in a list of its own or of numpy's."""


def as_tags(array: pa.Array, name: str, faults: Faults) -> pa.Array:
    """Lists of hashtags, each by its trend id: lower case, without `#`, no blanks, each once, in order."""
    kind = array.type
    if pa.types.is_null(kind):
        return array.cast(pa.list_(pa.string()))
    if pa.types.is_dictionary(kind):
        array, kind = array.dictionary_decode(), kind.value_type
    if is_text(kind) or pa.types.is_binary(kind):
        text = as_text(array, name, faults).to_pylist()
        array = pa.array([None if t is None else listed_tags(t) for t in text], pa.list_(pa.string()))
    elif not _is_list_of_text(kind):
        faults.add(array.is_valid(), f"{name} is not a list of texts")
        return pa.nulls(len(array), pa.list_(pa.string()))
    array = array.cast(pa.list_(pa.binary() if pa.types.is_binary(array.type.value_type) else pa.string()))
    return _normal_tags(array, name, faults)


def tags_in(text: pa.Array) -> pa.Array:
    """The hashtags that stand in free text, as written; a list for every row."""
    found = per_text(text, f"regexp_extract_all(coalesce(text, ''), '{_HASHTAG}', 1)")
    return found.cast(pa.list_(pa.string()))


def listed_tags(text: str) -> list[str]:
    """Hashtags out of one cell: a JSON list, a list as Python or numpy print it, or names between spaces, `,|;`."""
    if text.lstrip().startswith("["):
        try:
            return [str(tag) for tag in orjson.loads(text) if tag is not None]
        except orjson.JSONDecodeError:
            if printed := _PRINTED.findall(text):
                return [_unquoted(tag) for tag in printed]
    return [tag for tag in _LISTED.split(text) if tag]


def _unquoted(printed: str) -> str:
    try:
        return str(ast.literal_eval(printed))
    except (ValueError, SyntaxError):  # no escape of Python's
        return printed[1:-1]


def _is_list_of_text(kind: pa.DataType) -> bool:
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        return False
    return is_text(kind.value_type) or pa.types.is_binary(kind.value_type) or pa.types.is_null(kind.value_type)


def _normal_tags(lists: pa.Array, name: str, faults: Faults) -> pa.Array:
    """The same lists with every tag in its normal form; Python sees each distinct tag once."""
    rows: npt.NDArray[np.int64] = np.asarray(pc.list_parent_indices(lists)).astype(np.int64)
    flat = Faults(len(rows))
    tags = as_text(pc.list_flatten(lists), name, flat)
    faults.add(_rows_of(flat.bad(), rows, len(lists)), f"undecodable text or NUL byte in {name}")
    codes, names = _codes(tags)
    keep = np.flatnonzero(codes >= 0)
    firsts = np.unique(rows[keep] * (len(names) + 1) + codes[keep], return_index=True)[1]
    keep = keep[np.sort(firsts)]
    long = np.array([len(tag) > LONGEST_ID for tag in names] + [False])
    faults.add(_rows_of(long[codes], rows, len(lists)), f"a hashtag is longer than {LONGEST_ID} characters")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(rows[keep], minlength=len(lists)))])
    values = pa.array(names, pa.string()).take(pa.array(codes[keep]))
    built = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)
    return pc.if_else(lists.is_valid(), built, pa.nulls(len(lists), built.type)).cast(pa.list_(pa.string()))


def _codes(tags: pa.Array) -> tuple[npt.NDArray[np.int64], list[str]]:
    """For each tag the index of its normal form among the distinct ones; -1 where it is blank or null."""
    encoded = tags.dictionary_encode()
    normal = [normal_tag(tag) for tag in encoded.dictionary.to_pylist()]
    names = [tag for tag in dict.fromkeys(normal) if tag]
    places = {tag: place for place, tag in enumerate(names)}
    of_entry = np.array([places.get(tag, -1) for tag in normal] + [-1], dtype=np.int64)
    entries = encoded.indices.fill_null(len(normal)).to_numpy(zero_copy_only=False)
    return of_entry[entries], names


def _rows_of(flags: Mask, rows: npt.NDArray[np.int64], count: int) -> Mask:
    mask = np.zeros(count, dtype=np.bool_)
    mask[rows[flags]] = True
    return mask
