"""Settings: one YAML file → one frozen model that forbids unknown keys; the environment overrides any of them.

`HARMONIC_HOME` says where state lives, `HARMONIC_PROFILE` which profile runs; any other value is reached by its
path with double underscores, e.g. `HARMONIC_RANKER__HORIZON_DAYS=14`.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

CONFIG_DIR = Path(__file__).parent
SECTIONS = ("trends", "candidates", "ranker", "promotion", "serving")


class SettingsError(ValueError):
    """A setting that cannot be used; the message names the key and what it expects."""


class Section(BaseModel):
    """A group of settings: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PoolSettings(Section):
    """Which trends are live and worth recommending as of an instant."""

    window_days: int = Field(gt=0)
    min_creators: int = Field(gt=0)
    generic_share: float = Field(gt=0, le=1)
    original_titles: tuple[str, ...]


class LifecycleSettings(Section):
    """The published lifecycle rule: thresholds in the units of the features of the same names."""

    emerging_age_days: float
    rising_velocity: float
    peaking_saturation: float
    declining_velocity: float
    evergreen_age_days: float
    evergreen_velocity: float


class TrendSettings(Section):
    """`trends.yaml`: windows, the pool, lifecycle stages, and what counts as a version of another sound."""

    windows_days: tuple[int, ...]
    pool: PoolSettings
    lifecycle: LifecycleSettings
    variant_words: tuple[str, ...]


class LakeSettings(Section):
    """The lake: which clock makes a post known, and how much memory a job may take."""

    posts_known: Literal["created", "observed"]
    memory_limit: str
    batch_rows: int = Field(gt=0)


class FeastSettings(Section):
    """Where Feast keeps its registry, offline and online stores: the YAML of the profile."""

    config: str


class MlflowSettings(Section):
    """Where runs and registered models live; relative addresses are below `HARMONIC_HOME`."""

    tracking_uri: str
    artifact_root: str
    experiment: str
    model_name: str


class LogSettings(Section):
    """Log level and rendering."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"]
    json_lines: bool


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
            tree[section] = _read(CONFIG_DIR / f"{section}.yaml") | tree.get(section, {})
        return tree


def _read(path: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text()) or {})


class CandidateSettings(Section):
    """`candidates.yaml`: the generators and how many candidates a request keeps."""

    walk_top_n: int = Field(gt=0)
    walk_item_exponent: float
    half_life_days: float = Field(gt=0)
    coadoption_ridge: float = Field(gt=0)
    worldwide_weight: float = Field(ge=0)
    per_request: int = Field(gt=0)


class RankerSettings(Section):
    """`ranker.yaml`: the label, the cut-offs, the negatives and the trees."""

    horizon_days: int = Field(gt=0)
    cutoff_step_days: int = Field(gt=0)
    max_cutoffs: int = Field(gt=0)
    test_cutoffs: int = Field(gt=0)
    validation_cutoffs: int = Field(gt=0)
    min_history_days: int = Field(gt=0)
    hard_negatives: int = Field(ge=0)
    random_negatives: int = Field(ge=0)
    seed: int
    established_posts: int = Field(gt=0)
    trees: dict[str, Any]


class PromotionSettings(Section):
    """`promotion.yaml`: when the champion alias moves."""

    metric: Literal["ndcg", "recall", "mrr"]
    confidence: float = Field(gt=0, lt=1)
    resamples: int = Field(gt=0)


class ServingSettings(Section):
    """`serving.yaml`: the address, the slate's rules and the limits of a request."""

    host: str
    port: int = Field(gt=0, lt=65536)
    workers: int = Field(gt=0)
    default_k: int = Field(gt=0)
    max_k: int = Field(gt=0)
    max_candidates: int = Field(gt=0)
    max_share_of_kind: float = Field(gt=0, le=1)
    reasons: int = Field(ge=0)
    recent_trends: int = Field(gt=0)


class Settings(BaseSettings):
    """Everything that can be configured, as one immutable tree."""

    model_config = SettingsConfigDict(
        env_prefix="HARMONIC_", env_nested_delimiter="__", frozen=True, extra="forbid"
    )

    home: Path = Path(".harmonic")
    profile: str = "local"
    lake: LakeSettings
    feast: FeastSettings
    mlflow: MlflowSettings
    log: LogSettings
    trends: TrendSettings
    candidates: CandidateSettings
    ranker: RankerSettings
    promotion: PromotionSettings
    serving: ServingSettings

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
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise SettingsError(f"settings do not fit: {faults}") from None
    return settings.model_copy(update={"home": settings.home.expanduser().absolute()})


@lru_cache(maxsize=1)
def current() -> Settings:
    """The settings of this process, read once."""
    return load()
