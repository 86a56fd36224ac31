"""The stores of one state folder: its lake, its feature store and its registry, each opened when first used."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import configs

if TYPE_CHECKING:
    from features.lake import Lake
    from features.store import FeatureRepository
    from models.registry import Registry


class Workspace:
    """The lake, the feature store and the registry of these settings.

    Args:
        settings: of the project; those of this process where not given.
    """

    def __init__(self, settings: configs.Settings | None = None) -> None:
        self.settings = settings or configs.current()
        self._features: FeatureRepository | None = None
        self._registry: Registry | None = None

    @property
    def lake(self) -> Lake:
        """Where metrics are kept."""
        from features.lake import Lake

        return Lake(self.settings.home / "lake", self.settings.lake.memory_limit)

    @property
    def features(self) -> FeatureRepository:
        """The feature store, its definitions applied."""
        if self._features is None:
            from features.store import FeatureRepository

            self._features = FeatureRepository.open(self.settings)
            self._features.apply()
        return self._features

    @property
    def registry(self) -> Registry:
        """Runs and registered models."""
        if self._registry is None:
            from models.registry import Registry

            self._registry = Registry(self.settings.mlflow, self.settings.home)
        return self._registry

    def instant(self, as_of: datetime | None) -> datetime:
        """An instant in UTC; the latest in the lake where none is given.

        Raises:
            EmptyLake: none is given, and the lake has no posts.
        """
        from features.materialize import latest_instant

        if as_of is None:
            return latest_instant(self.lake, self.settings.lake.posts_known)
        return as_of.replace(tzinfo=UTC) if as_of.tzinfo is None else as_of.astimezone(UTC)
