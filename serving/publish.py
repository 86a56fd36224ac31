"""Job: read the feature store's online rows in bulk and publish them to serving as one snapshot."""

from __future__ import annotations

from configs import Settings
from features.history import History
from features.store import FeatureRepository
from models.moment import moment, online
from serving.assemble import creator_states, market_folder
from serving.snapshot import publish


def publish_market(history: History, features: FeatureRepository, settings: Settings, version: str) -> int:
    """Publish every live trend, the candidate generators and every creator's state.

    Args:
        history: as of the instant that was materialised.
        features: the store that holds its rows online.
        settings: the pool and the generators.
        version: name of the snapshot.

    Returns:
        How many trends were published.
    """
    now = moment(history, online(features, history.as_of), settings)
    creator_states(settings).replace(now.creators.values(), history.as_of)
    publish(market_folder(settings), version, now.trends, now.market)
    return len(now.market)
