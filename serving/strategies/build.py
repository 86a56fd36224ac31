"""Job: measure the strategies, find the viral artists, and publish both libraries beside the market."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Final

import orjson

from configs import Settings
from features.creators import creator_features, trailing_posts
from features.errors import UnreadableFile
from features.evidence.lifts import baselines, habits, measure
from features.evidence.posts import Posts
from features.evidence.viral import follower_series, viral_artists
from features.lake import Lake
from features.materialize import known_by
from models.strategies.practice import Practice
from serving.assemble import event_log, serving_home
from serving.strategies.following.outcomes import learn
from serving.strategies.following.stores import given_store
from serving.strategies.learned import PRACTICE
from serving.strategies.published import FILE, Baseline, PublishedLibrary, write

CLEARED: Final = "cleared_sounds.json"
"""In the state folder: {sound id: true or false}, of a source that says which sounds business accounts may use."""


def build_library(lake: Lake, as_of: datetime, settings: Settings) -> PublishedLibrary:
    """Measure everything on what the lake knew by an instant, and publish it; outcomes are told to feedback, too.

    Raises:
        EmptyLake: no post was known by then.
        UnreadableFile: the list of cleared sounds cannot be read.
        OutcomesUnavailable: strategies that were given cannot be read.
    """
    history = known_by(lake, as_of, settings)
    posts = Posts(history)
    own = baselines(posts, trailing_posts(history))
    practice = Practice.of(posts, creator_features(history), settings.strategy.ranker.horizon_days)
    library = PublishedLibrary(
        as_of=as_of,
        measures=measure(posts),
        habits={creator: tuple(found) for creator, found in habits(posts).items()},
        baselines={creator: Baseline(*numbers) for creator, numbers in own.items()},
        artists=tuple(viral_artists(history, posts.lift, follower_series(lake.connect(), as_of))),
        cleared=_cleared(settings.home / CLEARED),
        outcomes=learn(given_store(settings), lake, lambda: event_log(settings), as_of),
    )
    practice.publish(serving_home(settings) / PRACTICE)
    write(serving_home(settings), library)
    return library


def has_library(settings: Settings) -> bool:
    """Whether a library has been published."""
    return (serving_home(settings) / FILE).exists()


def _cleared(path: Path) -> dict[str, bool]:
    try:
        found = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except orjson.JSONDecodeError as error:
        raise UnreadableFile(f"{path} is no JSON: {error}") from None
    if not isinstance(found, dict) or not all(isinstance(value, bool) for value in found.values()):
        raise UnreadableFile(f"{path}: expected {{sound id: true or false}}")
    return found
