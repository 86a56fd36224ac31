"""Memory that the start of a process has used and no longer needs goes back to the system."""

from __future__ import annotations

import ctypes
import gc
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

COMPILER: Final = "libllvmlite"
"""The library that compiles loops, 70 MiB of it: once they are all loaded, nothing runs in it."""

MMAP_THRESHOLD: Final = -3
"""The parameter of glibc's `mallopt`: from how many bytes on memory goes back to the system when it is freed."""

LARGE: Final = 1 << 20
"""Bytes: a market's arrays are replaced with every change, and would leave gaps behind."""

SMAPS: Final = Path("/proc/self/smaps")
MAPPING: Final = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (\S+) .*?(/\S+)?$")
DONTNEED: Final = 4
"""The advice MADV_DONTNEED of Linux: pages of a file come back from the file when they are looked at again."""


def settle() -> None:
    """Collect what is garbage, leave what lives as long as the process alone from now on, and give the rest back."""
    gc.collect()
    gc.freeze()  # what lives as long as the process is not looked through again
    with suppress(AttributeError, OSError):  # another C library keeps what it keeps
        library = ctypes.CDLL(None)
        library.mallopt(MMAP_THRESHOLD, LARGE)
        library.malloc_trim(0)
    forget_compiler()


def forget_compiler() -> None:
    """Give back what only compiling needs; takes milliseconds, and comes back when something is compiled."""
    with suppress(AttributeError, OSError):  # another system keeps what it keeps
        library = ctypes.CDLL(None)
        library.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        for begin, end in _idle(SMAPS.read_text().splitlines()):
            library.madvise(begin, end - begin, DONTNEED)


def _idle(smaps: list[str]) -> Iterator[tuple[int, int]]:
    """Where the compiler's library lies as it is in its file: begins, and ends that are left out."""
    here: tuple[int, int] | None = None
    unwritten = 0
    for line in smaps:
        if found := MAPPING.match(line):
            begin, end, rights, file = found.groups()
            here = (int(begin, 16), int(end, 16)) if COMPILER in (file or "") and rights[1] == "-" else None
            unwritten = 0
        elif line.startswith(("Anonymous:", "Swap:")):
            unwritten += line.split()[1] == "0"  # both, unless some of it was written to when it was loaded
        elif here and unwritten == 2 and line.startswith("VmFlags:"):  # the last that is said of it
            yield here
