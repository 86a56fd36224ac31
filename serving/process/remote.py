"""The connection to a Redis or a Redis Cluster, by address, and how its loss shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from redis import Redis

CLUSTER: Final = "redis+cluster://"


def redis_losses() -> tuple[type[Exception], ...]:
    """What a call raises while Redis is lost, or answers what it must not."""
    from redis.exceptions import RedisClusterException, RedisError

    return RedisError, RedisClusterException, OSError


def redis_client(address: str, timeout_seconds: float = 0.5) -> Redis:
    """A client that gives up after `timeout_seconds`, and never tries twice: its callers know what to do without.

    Args:
        address: `redis://`, `rediss://` or `redis+cluster://`; may hold a password, so it is never logged.
        timeout_seconds: for connecting and for each answer.
    """
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    if address.startswith(CLUSTER):
        cluster: Redis = redis.RedisCluster.from_url(  # type: ignore[assignment]  # the same commands
            "redis://" + address.removeprefix(CLUSTER),
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
        )
        return cluster
    return redis.Redis.from_url(
        address,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        retry=Retry(NoBackoff(), 0),
    )
