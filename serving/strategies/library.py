"""The library of content strategies: read from its YAML file, checked whole before anything uses it."""

from __future__ import annotations

import math
import string
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import yaml
from pydantic import Field, StringConstraints, ValidationError, field_validator, model_validator

from configs import CONFIG_DIR
from features.evidence.lifts import QUERIES
from models.strategies.kinds import OPERATORS
from serving.errors import ServingError
from serving.schemas import Kind, Message
from serving.strategies.schemas import Effort

LIBRARY_FILE: Final = CONFIG_DIR / "library" / "strategies.yaml"

FEATURES: Final[Mapping[str, str]] = {
    "known": "1 where posts of the creator are known",
    "is_business": "1 for a business account",
    "region_known": "1 where the creator's region is known",
    "followers": "followers",
    "posts_known": "posts known in all",
    "posts_7d": "posts in 7 days",
    "posts_28d": "posts in 28 days",
    "cadence": "posts per day",
    "days_since_post": "days since the latest post",
    "median_engagement": "likes, comments and shares per view",
    "tags_per_post": "hashtags per post",
    "sound_share": "share of the uses that are named sounds",
    "adoption_rate": "trends first used, per post",
    "mainstream": "how widely shared the creator's trends are, 0 to 1",
    "weekend_share": "share of posts on Saturday and Sunday, UTC",
    "slate_sounds": "usable sounds on the slate",
    "slate_hashtags": "hashtags on the slate",
    "rising_items": "emerging and rising items on the slate",
    "rising_sounds": "emerging and rising usable sounds on the slate",
    "rising_tags": "emerging and rising hashtags on the slate",
    "emerging_sounds": "emerging usable sounds on the slate",
    "evergreen_sounds": "evergreen usable sounds on the slate",
}
"""What a condition may speak of; a condition over what is not known of a creator does not hold."""

LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The same rules in C, where PyYAML was built with it: ten times as fast."""

NO_EVIDENCE: Final = "none"
PLACEHOLDERS: Final = frozenset({"sound", "tag", "creator"})
LEAST_STRATEGIES: Final = 30

Text = Annotated[str, StringConstraints(min_length=1, max_length=400, strip_whitespace=True)]


class BadLibrary(ServingError):
    """The library's file cannot be used; the message names each fault."""

    title = "The library of strategies cannot be used"


class Condition(Message):
    """One feature compared with one value."""

    feature: str
    op: Literal[">=", ">", "<=", "<", "=="]
    value: float

    @field_validator("feature")
    @classmethod
    def _is_known(cls, feature: str) -> str:
        if feature not in FEATURES:
            raise ValueError(f"«{feature}» is no feature; choose one of: {', '.join(FEATURES)}")
        return feature

    def holds(self, known: Mapping[str, float]) -> bool:
        """Whether it holds; False where the feature is not known."""
        value = known.get(self.feature, math.nan)
        return not math.isnan(value) and bool(OPERATORS[self.op](value, self.value))


class LibraryStrategy(Message):
    """One strategy of the library; hooks, captions and steps may hold {sound}, {tag} and {creator}."""

    id: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{2,39}$")]
    name: Text
    goal: Text
    when: tuple[Condition, ...] = Field(description="All must hold")
    fits: tuple[Condition, ...] = Field(description="The more of them hold, the better it fits")
    uses: tuple[Kind, ...] = Field(description="Kinds of ranked item that a play with it names, where there are any")
    format: Text
    steps: tuple[Text, ...] = Field(min_length=2, max_length=6)
    effort: Effort
    risks: tuple[Text, ...] = Field(min_length=1)
    kpis: tuple[Text, ...] = Field(min_length=1)
    hooks: tuple[Text, ...] = Field(min_length=2)
    captions: tuple[Text, ...] = Field(min_length=2)
    evidence: str = Field(description="Query of the lake that measures it, or `none`")

    @field_validator("evidence")
    @classmethod
    def _is_a_query(cls, name: str) -> str:
        if name != NO_EVIDENCE and name not in QUERIES:
            raise ValueError(f"«{name}» is no evidence query; choose `none` or one of: {', '.join(QUERIES)}")
        return name

    @model_validator(mode="after")
    def _placeholders_are_known(self) -> Self:
        for text in (*self.steps, *self.hooks, *self.captions):
            named = {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
            if wrong := named - PLACEHOLDERS:
                raise ValueError(f"unknown placeholder {sorted(wrong)} in «{text}»")
        return self

    def applies(self, known: Mapping[str, float]) -> bool:
        """Whether every condition of `when` holds."""
        return all(condition.holds(known) for condition in self.when)

    def fit(self, known: Mapping[str, float]) -> float:
        """Share of the conditions of `fits` that hold; one half where there are none."""
        return sum(c.holds(known) for c in self.fits) / len(self.fits) if self.fits else 0.5

    @property
    def texts(self) -> tuple[str, ...]:
        """Everything it says, which a written strategy may repeat."""
        parts = (self.name, self.goal, self.format, *self.steps, *self.risks, *self.kpis, *self.hooks, *self.captions)
        return tuple(str(part) for part in parts)


def trusted_texts(strategies: Mapping[str, LibraryStrategy]) -> dict[str, str]:
    """Every text of some strategies, by a name of its own."""
    return {f"{s.id}.{place}": text for s in strategies.values() for place, text in enumerate(s.texts)}


def load_library(path: Path = LIBRARY_FILE) -> dict[str, LibraryStrategy]:
    """The strategies of a file by id, in its order.

    Raises:
        BadLibrary: the file is missing, is no YAML, or a strategy breaks a rule; every fault is named.
    """
    try:
        rows = yaml.load(path.read_text(), Loader=LOADER)
    except FileNotFoundError:
        raise BadLibrary(f"{path} does not exist") from None
    except yaml.YAMLError as error:
        raise BadLibrary(f"{path.name} is no YAML: {error}") from None
    if not isinstance(rows, list):
        raise BadLibrary(f"{path.name}: expected a list of strategies")
    return _checked(rows, path.name)


@lru_cache(maxsize=1)
def library() -> dict[str, LibraryStrategy]:
    """The project's own library, read once."""
    return load_library()


def _checked(rows: list[Any], name: str) -> dict[str, LibraryStrategy]:
    found: dict[str, LibraryStrategy] = {}
    faults: list[str] = []
    for place, row in enumerate(rows, 1):
        try:
            strategy = LibraryStrategy.model_validate(row)
        except ValidationError as error:
            called = row.get("id", f"strategy {place}") if isinstance(row, dict) else f"strategy {place}"
            faults += [f"{called}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
            continue
        if strategy.id in found:
            faults.append(f"{strategy.id}: the id is used twice")
        found[strategy.id] = strategy
    if not faults and len(found) < LEAST_STRATEGIES:
        faults.append(f"{len(found)} strategies; at least {LEAST_STRATEGIES} are expected")
    if faults:
        raise BadLibrary(f"{name}: " + "; ".join(faults))
    return found
