"""Which clock a creator lives by where only the region is known."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml

from configs import CONFIG_DIR
from serving.strategies.library import LOADER

FILE: Final = CONFIG_DIR / "library" / "clocks.yaml"


def offset_of(region: str | None, at: datetime) -> float:
    """Hours that the clocks of a region are ahead of UTC; 0 where the region is unknown or has several clocks.

    Args:
        region: two-letter code.
        at: aware instant, for summer time.
    """
    zone = _zone(region or "")
    away = at.astimezone(zone).utcoffset() if zone is not None else None
    return away.total_seconds() / 3600 if away is not None else 0.0


@lru_cache(maxsize=512)
def _zone(region: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(_zones()[region])
    except (KeyError, ZoneInfoNotFoundError):
        return None


@lru_cache(maxsize=1)
def _zones() -> dict[str, str]:
    found: dict[str, str] = yaml.load(FILE.read_text(), Loader=LOADER)
    return found
