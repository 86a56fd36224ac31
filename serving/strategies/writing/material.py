"""What the deterministic writer writes from: the evidence by subject and name, the library, and a voice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property

from serving.strategies.library import LibraryStrategy
from serving.strategies.schemas import Evidence, Fact, RankedItem
from serving.strategies.writing.phrases import Voice


@dataclass(frozen=True)
class Material:
    """The evidence, indexed, with the library in the language of the voice."""

    evidence: Evidence
    library: Mapping[str, LibraryStrategy]
    voice: Voice

    @cached_property
    def _facts(self) -> dict[tuple[str, str], Fact]:
        return {(fact.subject, fact.name): fact for fact in reversed(self.evidence.facts)}

    @cached_property
    def items(self) -> dict[str, RankedItem]:
        """The ranked items by id."""
        return {item.id: item for item in self.evidence.items}

    def fact(self, subject: str, name: str) -> Fact | None:
        """One fact, None where it is not known."""
        return self._facts.get((subject, name))

    def spread(self, subject: str, name: str) -> tuple[Fact, float, float] | None:
        """One fact with both ends of its interval, None where one of them is not known."""
        found = self.fact(subject, name)
        return None if found is None or found.lo is None or found.hi is None else (found, found.lo, found.hi)

    @property
    def knows_creator(self) -> bool:
        """Whether anything is known of what the creator posted."""
        return any(
            fact.name.endswith(("_usual", "_start")) for fact in self.evidence.facts if fact.subject == "creator"
        )

    def strategy(self, name: str) -> LibraryStrategy:
        """One strategy of the library in the language of the voice."""
        return self.voice.locale.told(self.library[name])


def value(fact: Fact) -> float:
    """The number of a fact that is no date."""
    assert not isinstance(fact.value, date)
    return fact.value
