"""The tree of all settings, and how it is read: arguments, then the environment, then the YAML files."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from configs.auth import AuthSettings
from configs.benchmark import BenchmarkSettings
from configs.events import EventSettings, StreamSettings
from configs.forecast import ForecastSettings
from configs.ranking import CandidateSettings, PromotionSettings, RankerSettings
from configs.section import SettingsError
from configs.serving import ServingSettings, TrafficSettings
from configs.stores import FeastSettings, LakeSettings, LogSettings, MlflowSettings, SimulatorSettings
from configs.strategy import StrategySettings
from configs.trends import TrendSettings

CONFIG_DIR = Path(__file__).parent
SECTIONS = (
    "simulator",
    "trends",
    "candidates",
    "ranker",
    "forecast",
    "benchmark",
    "promotion",
    "serving",
    "auth",
    "traffic",
    "events",
    "stream",
    "strategy",
)


class Settings(BaseSettings):
    """Everything that can be configured, as one immutable tree."""

    model_config = SettingsConfigDict(env_prefix="HARMONIC_", env_nested_delimiter="__", frozen=True, extra="forbid")

    home: Path = Path(".harmonic")
    profile: str = "local"
    lake: LakeSettings
    simulator: SimulatorSettings
    feast: FeastSettings
    mlflow: MlflowSettings
    log: LogSettings
    trends: TrendSettings
    candidates: CandidateSettings
    ranker: RankerSettings
    forecast: ForecastSettings
    benchmark: BenchmarkSettings
    promotion: PromotionSettings
    serving: ServingSettings
    traffic: TrafficSettings
    events: EventSettings
    stream: StreamSettings
    strategy: StrategySettings
    auth: AuthSettings

    @property
    def released_models(self) -> Path:
        """Where champions are handed over from the registry to serving."""
        return self.home / "serving" / "model"

    @property
    def released_strategy_models(self) -> Path:
        """Where champions among the rankers of strategies are handed over."""
        return self.home / "serving" / "strategy_model"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first, then the environment, then the YAML files."""
        return init_settings, env_settings, _YamlSource(settings_cls)


class _YamlSource(PydanticBaseSettingsSource):
    """Reads `profiles/<profile>.yaml` and the section files beside it."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        """Unused: this source answers with the whole tree at once."""
        raise KeyError(field_name)

    def __call__(self) -> dict[str, Any]:
        profile = self.current_state.get("profile", "local")
        path = CONFIG_DIR / "profiles" / f"{profile}.yaml"
        if not path.is_file():
            known = ", ".join(sorted(p.stem for p in path.parent.glob("*.yaml")))
            raise SettingsError(f"HARMONIC_PROFILE={profile!r} has no profile file; choose one of: {known}")
        tree = _read(path)
        for section in SECTIONS:
            tree[section] = _merged(_read(CONFIG_DIR / f"{section}.yaml"), tree.get(section, {}))
        return tree


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`base` with the values of `over`, level by level."""
    both = {name: _merged(base[name], over[name]) for name in base.keys() & over.keys() if _are_trees(base, over, name)}
    return base | over | both


def _are_trees(base: dict[str, Any], over: dict[str, Any], name: str) -> bool:
    return isinstance(base[name], dict) and isinstance(over[name], dict)


def _read(path: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text()) or {})


def load(**overrides: Any) -> Settings:
    """The settings of this process, with `home` made absolute.

    Args:
        overrides: top-level values that win over the environment, e.g. `home=...`.

    Raises:
        SettingsError: a key is unknown or a value does not fit; the message names each.
    """
    try:
        settings = Settings(**overrides)
    except ValidationError as error:
        raise SettingsError(f"settings do not fit: {faults_of(error)}") from None
    return settings.model_copy(update={"home": settings.home.expanduser().absolute()})


def faults_of(error: ValidationError) -> str:
    """What does not fit, in one line: each key with what is wrong about it."""
    return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())


@lru_cache(maxsize=1)
def current() -> Settings:
    """The settings of this process, read once."""
    return load()
