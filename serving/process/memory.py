"""Memory that the start of a process has used and no longer needs goes back to the system."""

from __future__ import annotations

import ctypes
import gc


def settle() -> None:
    """Collect what is garbage, leave what lives as long as the process alone from now on, and give the rest back."""
    gc.collect()
    gc.freeze()  # what lives as long as the process is not looked through again
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError):  # another C library keeps what it keeps
        return
