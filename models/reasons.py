"""Reasons in words: the sentences that may speak for an item, and what each of them follows from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Phrase:
    """A family of features, of which one sentence is told.

    Attributes:
        text: the sentence; `{x}` stands for the number, `{n}` for it as a count.
        reads: the feature whose number is told, and decides.
        above: the sentence is true of numbers above this …
        below: … and below this; of an unknown number it never is.
        features: whose contributions speak for it.
        personal: it speaks of what the creator did, and is not told to whom nothing is known of.
    """

    text: str
    reads: str
    features: tuple[str, ...]
    above: float = -math.inf
    below: float = math.inf
    personal: bool = False

    @property
    def tells_number(self) -> bool:
        """Whether the sentence is another one for another number."""
        return "{" in self.text

    def say(self, x: float) -> str:
        """The sentence for a number that it is true of."""
        return self.text.format(x=x, n=int(x)) if self.tells_number else self.text


def _many(reads: str, text: str, *features: str) -> Phrase:
    return Phrase(text, reads, (*features, reads), above=math.nextafter(2.0, 0.0))


def _above(reads: str, least: float, text: str, *features: str) -> Phrase:
    return Phrase(text, reads, features or (reads,), above=least)


def _proposed(reads: str, text: str, *features: str) -> Phrase:
    """A generator that knows the creator has a score of more than a tenth of its best."""
    return Phrase(text, reads, features or (reads,), above=math.log(0.1), personal=True)


PHRASES: Final = (
    _proposed(
        "long_walk",
        "creators who use what you use have taken it up",
        *("walk", "recent_walk", "long_walk", "walk_by_history"),
    ),
    _proposed("neighbours", "creators with your taste took it up lately"),
    _proposed("coadoption", "it goes together with trends you already use"),
    _proposed("same_post", "it is used in one post with trends you use"),
    _proposed("captions", "creators whose captions read like yours use it"),
    _proposed("cluster_trends", "it is being taken up among creators with your taste"),
    _above("region_trends", math.log(0.1), "it is being taken up in your region"),
    _proposed("text", "its name is close to hashtags you use"),
    _above("region_share", 0.2, "{x:.0%} of its posts come from your region", "region_share", "region_match"),
    _many(
        "adopters_7d",
        "{n} creators used it for the first time in the last 7 days",
        *("adopters", "adopters_by_history", "sound_adopters"),
        *("adopters_3d", "recent_adopters_5d", "recent_adopters_2d"),
    ),
    _many("uses_7d", "{n} posts used it in the last 7 days", "uses_3d", "uses_1d", "repeat_use"),
    _many(
        "creators_1d",
        "{n} creators used it in the last 24 hours",
        *("adopters_1d", "creators_1d_excess", "creators_3d_excess", "adopters_trend"),
    ),
    _above("burst", 1, "its use is {x:.1f} standard deviations above its month"),
    _above("velocity_7d", 0.02, "its uses grow by {x:.0%} a day", "velocity_7d", "velocity_3d"),
    _above(
        "market_growth_7d",
        0.01,
        "its public count grew by {x:.0%} in a week",
        *("market_growth_7d", "market_growth_3d", "market_growth_1d"),
    ),
    _above(
        "forecast_growth_7d",
        0.01,
        "its public count should grow by {x:.0%} in the coming week",
        *("forecast_growth_7d", "forecast_growth_3d", "forecast_growth_1d"),
    ),
    _above("median_lift", 0.1, "posts with it do better than their creators' usual ones"),
    Phrase("you often post with named sounds", "sound_habit", ("sound_habit",), above=0, personal=True),
    Phrase("it is only {x:.0f} days old", "age_days", ("age_days",), below=14),
)
