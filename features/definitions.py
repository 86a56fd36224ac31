"""What `feast apply` finds: the configured store's definitions, made when it looks and not on import."""

from __future__ import annotations

from functools import lru_cache
from typing import Any


@lru_cache(maxsize=1)
def _definitions() -> dict[str, Any]:
    import configs
    from features.store import FeatureRepository

    found = FeatureRepository.open(configs.current()).definitions()
    return {f"{type(thing).__name__}_{thing.name}": thing for thing in found}


def __dir__() -> list[str]:
    return sorted(_definitions())


def __getattr__(name: str) -> Any:
    if name.startswith("_") or name not in _definitions():
        raise AttributeError(f"features.definitions has no {name}")
    return _definitions()[name]
