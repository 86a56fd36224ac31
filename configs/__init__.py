"""Settings: one YAML file → one frozen model that forbids unknown keys; the environment overrides any of them.

`HARMONIC_HOME` says where state lives, `HARMONIC_PROFILE` which profile runs; any other value is reached by its
path with double underscores, e.g. `HARMONIC_RANKER__HORIZON_DAYS=14`.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

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


class SimulatorSettings(Section):
    """`simulator.yaml`: the size of the world that stands in while there are no metrics."""

    creators: int = Field(ge=10)
    trends: int = Field(ge=10)
    days: int = Field(ge=30)
    seed: int = Field(ge=0)


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


class TrendingSettings(Section):
    """What is taken up now in a creator's region and in its cluster of taste."""

    half_life_days: float = Field(gt=0)
    prior_adoptions: float = Field(gt=0)
    creators_per_cluster: int = Field(gt=0)
    most_clusters: int = Field(gt=0)


class CandidateSettings(Section):
    """`candidates.yaml`: the generators, how much each keeps, and what they learn from."""

    least_creators: int = Field(gt=0)
    vocabulary: int = Field(gt=0)
    top_n: int = Field(gt=0)
    middle_n: int = Field(gt=0)
    walk_half_life_days: float = Field(gt=0)
    least_cosine: float = Field(ge=0, le=1)
    coadoption_ridge: float = Field(gt=0)
    coadoption_half_life_days: float = Field(gt=0)
    coadoption_trends: int = Field(gt=0)
    dimensions: int = Field(gt=0)
    neighbour_half_life_days: float = Field(gt=0)
    caption_half_life_days: float = Field(gt=0)
    trending: TrendingSettings


class LinearSettings(Section):
    """The linear stage: where its weights start and how strongly they are held there."""

    prior: dict[str, float]
    ridge: float = Field(ge=0)
    trust_queries: float = Field(ge=0)


class TreeSettings(Section):
    """The trees that correct the linear stage on its best candidates."""

    shortlist: int = Field(gt=0)
    least_queries: int = Field(ge=0)
    least_span_days: float = Field(ge=0)
    trust_queries: float = Field(ge=0)
    seeds: tuple[int, ...] = Field(min_length=1)
    lightgbm: dict[str, Any]


class RankerSettings(Section):
    """`ranker.yaml`: the label, the cut-offs and the two stages."""

    horizon_days: int = Field(gt=0)
    cutoff_step_days: int = Field(gt=0)
    max_cutoffs: int = Field(gt=0)
    test_cutoffs: int = Field(gt=0)
    validation_cutoffs: int = Field(gt=0)
    min_history_days: int = Field(gt=0)
    half_life_days: float = Field(gt=0)
    max_cells: int = Field(gt=0)
    established_posts: int = Field(gt=0)
    seed: int
    linear: LinearSettings
    trees: TreeSettings


class GrowthFilterSettings(Section):
    """The dynamics and the noise of a trend's hidden growth; rates are per day."""

    decay: float = Field(ge=0)
    self_decay: float = Field(ge=0)
    rate_volatility: float = Field(ge=0)
    rate_noise: float = Field(ge=0)
    regime_change: float = Field(ge=0, le=1)
    jitter_units: float = Field(gt=0)
    jitter_rate: float = Field(ge=0)
    outlier: float = Field(gt=0, lt=1)
    recount: float = Field(ge=0, le=1)
    restart: float = Field(ge=0, le=1)
    line_days: float = Field(gt=0)
    step_days: float = Field(gt=0)
    gap_days: float = Field(gt=0)


class GrowthPriorSettings(Section):
    """How fast a trend of a given size grows before its own counts tell."""

    rate: float = Field(gt=0)
    log10_reference: dict[str, float]
    slope: float = Field(ge=0)
    spread: float = Field(ge=0)
    growing: float = Field(ge=0, le=1)
    flat: float = Field(ge=0)


class GrowthCorrectionSettings(Section):
    """The trees that learn the error of past forecasts."""

    strength: float = Field(ge=0, le=1)
    least_examples: int = Field(gt=0)
    half_life_days: float = Field(gt=0)
    lightgbm: dict[str, Any]


class GrowthIntervalSettings(Section):
    """How the forecast's interval is calibrated on past forecasts."""

    coverage: float = Field(gt=0, lt=1)
    prior_level: float = Field(ge=0, lt=1)
    prior_weight: float = Field(gt=0)
    half_life_days: float = Field(gt=0)
    bandwidth: float = Field(gt=0)
    other_type: float = Field(ge=0, le=1)
    other_age: float = Field(ge=0, le=1)


class MarketForecastSettings(Section):
    """Forecasts of the whole market at one instant."""

    history_days: int = Field(gt=0)
    particles: int = Field(ge=100)


class ForecastSettings(Section):
    """`forecast.yaml`: the growth of public counts."""

    particles: int = Field(ge=100)
    seed: int = Field(ge=0)
    pool: tuple[str, ...]
    slope_windows_days: tuple[int, ...]
    market: MarketForecastSettings
    filter: GrowthFilterSettings
    prior: GrowthPriorSettings
    correction: GrowthCorrectionSettings
    interval: GrowthIntervalSettings


class BenchmarkWalkSettings(Section):
    """The damped walk of several lengths: its degree exponents and lengths."""

    steps: int = Field(gt=0)
    damping: float = Field(gt=0, le=1)
    trend_exponent: float = Field(ge=0)
    creator_exponent: float = Field(ge=0)


class BenchmarkContentSettings(Section):
    """How image and audio vectors are joined, and how much their neighbours count."""

    weights: dict[str, float]
    power: float = Field(gt=0)
    share: float = Field(ge=0)
    neighbours: int = Field(gt=0)


class BenchmarkTreeSettings(Section):
    """The trees that correct the first stage's shortlists."""

    shortlist: int = Field(gt=0)
    learned: int = Field(gt=0)
    least_queries: int = Field(ge=0)
    seeds: tuple[int, ...] = Field(min_length=1)
    lightgbm: dict[str, Any]


class BenchmarkSettings(Section):
    """`benchmark.yaml`: the recipe of the public micro-video benchmark."""

    seed: int = Field(ge=0)
    folds: int = Field(gt=1)
    draws: int = Field(gt=0)
    label_exponent: float = Field(ge=0)
    top_n: int = Field(gt=0)
    scale: float = Field(gt=0)
    walk: BenchmarkWalkSettings
    content: BenchmarkContentSettings
    trees: BenchmarkTreeSettings


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
    most_scored: int = Field(gt=0)
    max_share_of_kind: float = Field(gt=0, le=1)
    reasons: int = Field(ge=0)
    refresh_seconds: float = Field(gt=0)


class TokenSettings(Section):
    """Whose JWTs are accepted; none where there is no issuer."""

    issuer: str | None = Field(pattern=r"^https://|^http://(127\.0\.0\.1|localhost)(:\d+)?(/|$)")
    audience: str | None = Field(min_length=1)
    jwks_url: str | None = Field(pattern=r"^https://|^http://(127\.0\.0\.1|localhost)(:\d+)?(/|$)")
    algorithms: tuple[Literal["RS256", "ES256"], ...] = Field(min_length=1)
    leeway_seconds: float = Field(ge=0, le=300)
    scope_claims: tuple[str, ...] = Field(min_length=1)
    creator_claim: str = Field(min_length=1)
    unbound: bool
    refresh_seconds: float = Field(gt=0)
    retry_seconds: float = Field(gt=0)
    timeout_seconds: float = Field(gt=0)
    remembered: int = Field(ge=0)

    @model_validator(mode="after")
    def _issuer_and_audience_come_together(self) -> Self:
        if self.issuer and not self.audience:
            raise ValueError("an issuer needs an audience: without one, tokens made for others would be accepted")
        return self


class RateSettings(Section):
    """So many requests in so many seconds."""

    requests: int = Field(gt=0)
    seconds: int = Field(gt=0)


class LimitSettings(Section):
    """How often one caller may ask, by the scope of the route, and where workers share their counts."""

    store: Literal["memory", "sqlite", "redis"]
    settle_seconds: float = Field(gt=0)
    rates: dict[str, RateSettings]


class AuthSettings(Section):
    """`auth.yaml`: who may ask for what, how often, from which pages and with how much."""

    required: bool
    keys: Literal["sqlite", "redis"]
    redis: SecretStr | None
    cache_seconds: float = Field(gt=0)
    stale_seconds: float = Field(ge=0)
    max_body_bytes: int = Field(gt=0)
    hsts_seconds: int = Field(ge=0)
    origins: tuple[Annotated[str, Field(pattern=r"^https?://[^/*\s]+$")], ...]
    tokens: TokenSettings
    limits: LimitSettings

    @model_validator(mode="after")
    def _redis_has_an_address(self) -> Self:
        if "redis" in (self.keys, self.limits.store) and self.redis is None:
            raise ValueError("keys or limits in Redis need its address: HARMONIC_AUTH__REDIS=redis://host:6379/0")
        return self


class TrafficSettings(Section):
    """`traffic.yaml`: who gets which model, what is recorded of it, and how a worker comes and goes."""

    salt: str = Field(min_length=1, max_length=64)
    challenger_share: float = Field(ge=0, le=1)
    shadow_share: float = Field(ge=0, le=1)
    shadow_queue: int = Field(gt=0)
    exploration: float = Field(ge=0, lt=1)
    exploration_candidates: int = Field(gt=0)
    exploration_temperature: float = Field(gt=0)
    warm_up_creators: int = Field(gt=0)
    warm_up_milliseconds: float = Field(gt=0)
    impressions_queue: int = Field(gt=0)
    impressions_flush_seconds: float = Field(gt=0)
    segment_bytes: int = Field(gt=0)
    segment_seconds: float = Field(gt=0)
    stage_share: float = Field(ge=0, le=1)
    access_log_share: float = Field(ge=0, le=1)
    log_key: SecretStr
    trace_share: float = Field(ge=0, le=1)
    drain_seconds: float = Field(ge=0)
    flush_seconds: float = Field(ge=0)

    @property
    def wants_challenger(self) -> bool:
        """Whether anything is asked of a challenger."""
        return self.challenger_share > 0 or self.shadow_share > 0


class EventSettings(Section):
    """`events.yaml`: where events become durable, and how many may wait for it."""

    store: Literal["sqlite", "redis"]
    path: Path
    redis: SecretStr | None
    shards: int = Field(gt=0, le=1024)
    trust_server: bool
    timeout_seconds: float = Field(gt=0)
    max_waiting: int = Field(gt=0)
    group: int = Field(gt=0)
    ack_seconds: float = Field(gt=0)
    retention_days: float = Field(gt=0)

    @model_validator(mode="after")
    def _redis_has_an_address(self) -> Self:
        if self.store == "redis" and self.redis is None:
            raise ValueError("events in Redis need its address: HARMONIC_EVENTS__REDIS=redis://host:6379/0")
        return self


class StreamSettings(Section):
    """`stream.yaml`: how the consumer of events keeps features, the lake and the market current."""

    clock: Literal["data", "wall"]
    batch_events: int = Field(gt=0)
    flush_seconds: float = Field(gt=0)
    push_seconds: float = Field(gt=0)
    refresh_seconds: float = Field(gt=0)
    publish_minutes: float = Field(gt=0)


class VertexSettings(Section):
    """The model that writes strategies: where it is, how long it may take and what it may cost."""

    project: str | None = Field(min_length=1)
    location: str = Field(min_length=1)
    model: str = Field(min_length=1)
    base_url: str | None = Field(pattern=r"^https://|^http://(127\.0\.0\.1|localhost)(:\d+)?(/|$)")
    labels: dict[str, Annotated[str, Field(pattern=r"^[a-z0-9_-]{0,63}$")]]
    temperature: float = Field(ge=0, le=2)
    max_input_tokens: int = Field(gt=0)
    max_output_tokens: int = Field(gt=0)
    timeout_seconds: float = Field(gt=0)
    deadline_seconds: float = Field(gt=0)
    attempts: int = Field(gt=0)
    wait_seconds: float = Field(ge=0)
    usd_per_million_input: float = Field(ge=0)
    usd_per_million_output: float = Field(ge=0)
    budget_usd_per_day: float = Field(ge=0)
    breaker_failures: int = Field(gt=0)
    breaker_seconds: float = Field(gt=0)
    cache_days: float = Field(ge=0)
    path: Path


class StrategySettings(Section):
    """`strategy.yaml`: who writes strategies."""

    vertex: VertexSettings


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
