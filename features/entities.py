"""Who and what features describe: creators and trends, and the columns that name them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from feast import Entity

CREATOR_KEY: Final = "creator_id"
TREND_KEY: Final = "trend_key"

DESCRIPTIONS: Final = {
    CREATOR_KEY: "An account that posts; its TikTok username",
    TREND_KEY: "A hashtag, sound or creator that others take up, e.g. hashtag:dance (schemas.trend_key)",
}


def entities() -> dict[str, Entity]:
    """Feast's entities by join key."""
    from feast import Entity, ValueType

    return {
        key: Entity(name=name, join_keys=[key], value_type=ValueType.STRING, description=DESCRIPTIONS[key])
        for name, key in (("creator", CREATOR_KEY), ("trend", TREND_KEY))
    }
