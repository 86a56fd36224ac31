"""Settings of `auth.yaml`."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator

from configs.section import Section


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
