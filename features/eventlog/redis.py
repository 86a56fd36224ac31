"""The event log of many machines: Redis streams, with what each creator did beside them.

Every key of a shard carries the shard's hash tag, so that in a Redis Cluster one script can write the stream, the
known ids and the creators' overlays in one step:

    hb:{s3}:events             the stream; an entry's id is <place in the log>-0
    hb:{s3}:seq                the place of the latest event
    hb:{s3}:seen:<event id>    digest and place of an event, for as long as ids are remembered
    hb:{s3}:creator:<id>       hash of a creator: `state` (packed, written by the consumer) and `overlay` (JSON)
    hb:shards                  how many shards there are; never changed once events are in

Redis acknowledges before it syncs unless it is told otherwise, so the server must run with `appendonly yes` and
`appendfsync always` (several clients' writes then share one sync), and must not evict keys; both are checked.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, TypeVar

import orjson
import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.exceptions import RedisClusterException
from redis.retry import Retry

from features.errors import LogNotDurable, LogUnavailable
from features.eventlog.log import Accepted, Overlay, Prepared, digest, entry, shard_of
from features.eventlog.writer import GroupedLog
from features.events import Entry
from features.history import micros

STATE: Final = "state"
OVERLAY: Final = "overlay"
"""The fields of a creator's hash."""
CLUSTER: Final = "redis+cluster://"
SHARDS_KEY: Final = "hb:shards"
PATIENCE_SECONDS: Final = 1.0
"""How much longer than a small read a write, or a read that waits for an event, may take."""
REST_SECONDS: Final = 1.0
"""After an answer that did not come in time nobody asks for so long: a hanging server must not hang its callers."""
PAGE: Final = 1_000

_APPEND: Final = """
local accepted = {}
for i = 1, #ARGV / 4 do
  local seen, creator = KEYS[1 + 2 * i], KEYS[2 + 2 * i]
  local received, digest, body, marks = unpack(ARGV, 4 * i - 3, 4 * i)
  local known = redis.call('GET', seen)
  if known then
    accepted[i] = {tonumber(string.sub(known, 33)), string.sub(known, 1, 32) == digest and 1 or 2}
  else
    local seq = redis.call('INCR', KEYS[2])
    redis.call('XADD', KEYS[1], string.format('%.0f-0', seq), 'at', received, 'body', body)
    redis.call('SET', seen, digest .. string.format('%.0f', seq), 'PX', TTL)
    if marks ~= '' then
      local overlay = cjson.decode(redis.call('HGET', creator, 'overlay') or '{}')
      for _, mark in ipairs(cjson.decode(marks)) do
        overlay[mark[1]] = overlay[mark[1]] or {}
        overlay[mark[1]][mark[2]] = seq
      end
      redis.call('HSET', creator, 'overlay', cjson.encode(overlay))
    end
    accepted[i] = {seq, 0}
  end
end
return accepted
"""
_FORGET: Final = """
for _, creator in ipairs(KEYS) do
  local text = redis.call('HGET', creator, 'overlay')
  if text then
    local overlay = cjson.decode(text)
    for key, seq in pairs(overlay.used or {}) do
      if seq <= tonumber(ARGV[1]) then overlay.used[key] = nil end
    end
    if overlay.used and next(overlay.used) == nil then overlay.used = nil end
    if next(overlay) == nil then
      redis.call('HDEL', creator, 'overlay')
    else
      redis.call('HSET', creator, 'overlay', cjson.encode(overlay))
    end
  end
end
"""

_Answer = TypeVar("_Answer")
log = logging.getLogger(__name__)


class CreatorRead(NamedTuple):
    """One read of a creator: the packed state, and what they did since."""

    state: bytes | None
    overlay: Overlay | None


class RedisEventLog(GroupedLog):
    """See `EventLog`; reconnects by itself, and answers `LogUnavailable` soon, or at once, while it cannot.

    Args:
        url: `redis://`, `rediss://` or `redis+cluster://`; may hold a password, so it is never logged.
        shards: streams; creators are spread over them, and a cluster spreads them over its nodes.
        ids_kept: how long an event's id is remembered.
        timeout_seconds: how long connecting, or a small read, may take.
        trust_server: accept a server that refuses to say how it syncs, as managed ones do; it must append to a file.
        original_titles, max_waiting, group, ack_seconds: see `GroupedLog`.
    """

    def __init__(
        self,
        url: str,
        shards: int = 1,
        ids_kept: timedelta = timedelta(days=30),
        timeout_seconds: float = 0.25,
        trust_server: bool = False,
        original_titles: Collection[str] = (),
        max_waiting: int = 10_000,
        group: int = 1_000,
        ack_seconds: float = 5.0,
    ) -> None:
        super().__init__(original_titles, max_waiting, group, ack_seconds)
        self.shards = shards
        self._url = url
        self._timeout_seconds = timeout_seconds
        self._clients: dict[float, Any] = {}
        self._rests: dict[float, float] = {}
        self._append_script = f"local TTL = {int(ids_kept.total_seconds() * 1000)}\n{_APPEND}"
        self._trust_server = trust_server
        self._checked = False
        self._check = threading.Lock()

    @property
    def client(self) -> Any:
        """The connection, for whoever keeps states beside the overlays; a cluster must be there to be asked."""
        return self._client(0.0)

    def shard_of(self, creator_id: str) -> int:
        """The shard that holds all of a creator's events."""
        return shard_of(creator_id, self.shards)

    def creator_key(self, creator_id: str) -> str:
        """The hash with a creator's `STATE` and `OVERLAY`."""
        return f"hb:{{s{self.shard_of(creator_id)}}}:creator:{creator_id}"

    def creator(self, creator_id: str) -> CreatorRead:
        """Everything that is stored of a creator, as of one instant, in one read."""
        key = self.creator_key(creator_id)
        state, overlay = self._ask(lambda client: client.hmget(key, STATE, OVERLAY))
        return CreatorRead(state, _overlay(overlay))

    def overlay(self, creator_id: str) -> Overlay | None:
        """See `EventLog.overlay`."""
        return _overlay(self._ask(lambda client: client.hget(self.creator_key(creator_id), OVERLAY)))

    def read(self, after_seq: int, limit: int, shard: int = 0, wait_seconds: float = 0.0) -> list[Entry]:
        """See `EventLog.read`; the server answers as soon as an event is there, or after a second at most."""
        block = max(int(min(wait_seconds, PATIENCE_SECONDS) * 1000), 1) if wait_seconds > 0 else None
        streams = {_key(shard, "events"): f"{after_seq}-0"}
        patience = PATIENCE_SECONDS if block else 0.0
        found = self._ask(lambda client: client.xread(streams, count=limit, block=block), patience)
        rows = found[0][1] if found else []
        return [entry(_seq(place), int(told[b"at"]), told[b"body"]) for place, told in rows]

    def last_seq(self, shard: int = 0) -> int:
        """See `EventLog.last_seq`."""
        return int(self._ask(lambda client: client.get(_key(shard, "seq"))) or 0)

    def forget(self, creator_id: str, through_seq: int) -> None:
        """See `EventLog.forget`."""
        self.forget_through(through_seq, (creator_id,), self.shard_of(creator_id))

    def forget_through(self, through_seq: int, creators: Collection[str], shard: int = 0) -> None:
        """See `EventLog.forget_through`."""
        if keys := [self.creator_key(creator_id) for creator_id in creators]:
            self._ask(lambda client: client.eval(_FORGET, len(keys), *keys, str(through_seq)), PATIENCE_SECONDS)

    def prune(self, before_seq: int, received_before: datetime, shard: int = 0) -> int:
        """See `EventLog.prune`; ids are remembered for `ids_kept`, whatever is pruned."""
        stream, cut, first = _key(shard, "events"), micros(received_before), "-"
        while page := self._page(stream, first, f"({before_seq}-0"):
            younger = next((place for place, told in page if int(told[b"at"]) >= cut), None)
            if younger is not None:
                before_seq = _seq(younger)
                break
            first = f"({page[-1][0].decode()}"
        return int(
            self._ask(lambda client: client.xtrim(stream, minid=f"{before_seq}-0", approximate=False), PATIENCE_SECONDS)
        )

    def close(self) -> None:
        """See `EventLog.close`."""
        super().close()
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def _page(self, stream: str, first: str, last: str) -> list[tuple[bytes, dict[bytes, bytes]]]:
        return list(self._ask(lambda client: client.xrange(stream, first, last, PAGE)))

    def _commit(self, events: list[Prepared]) -> list[Accepted]:
        self._check_server()
        accepted: dict[int, Accepted] = {}
        by_shard: dict[int, list[int]] = {}
        for place, event in enumerate(events):
            by_shard.setdefault(shard_of(event.route, self.shards), []).append(place)
        for shard, places in by_shard.items():
            answers = self._append_to(shard, [events[place] for place in places])
            accepted.update(zip(places, answers, strict=True))
        return [accepted[place] for place in range(len(events))]

    def _append_to(self, shard: int, events: Sequence[Prepared]) -> list[Accepted]:
        keys = [_key(shard, "events"), _key(shard, "seq")]
        arguments: list[bytes | int] = []
        for event in events:
            creator = self.creator_key(event.creator_id) if event.creator_id else keys[0]
            keys += [_key(shard, f"seen:{event.event_id}"), creator]
            marks = orjson.dumps(event.marks) if event.marks else b""
            arguments += [event.received_us, digest(event.body), event.body, marks]
        answers = self._ask(
            lambda client: client.eval(self._append_script, len(keys), *keys, *arguments), PATIENCE_SECONDS
        )
        return [
            Accepted(seq, event.event_id, duplicate=what == 1, conflict=what == 2)
            for event, (seq, what) in zip(events, answers, strict=True)
        ]

    def _client(self, patience: float) -> Any:
        if (client := self._clients.get(patience)) is None:
            client = self._clients[patience] = _connect(self._url, self._timeout_seconds + patience)
        return client

    def _ask(self, question: Callable[[Any], _Answer], patience: float = 0.0) -> _Answer:
        """The answer of a client that waits so much longer than the settings say."""
        if time.monotonic() < self._rests.get(patience, 0.0):
            raise LogUnavailable("the event log's Redis did not answer a moment ago")
        try:
            return question(self._client(patience))
        except (redis.RedisError, RedisClusterException) as error:
            self._checked = False  # what answers next may be another server
            if isinstance(error, redis.TimeoutError):
                self._rests[patience] = time.monotonic() + REST_SECONDS
            raise LogUnavailable(f"the event log's Redis does not answer: {type(error).__name__}") from error

    def _check_server(self) -> None:
        """Refuses a server that may forget what it acknowledged, or another number of shards."""
        with self._check:
            if self._checked:
                return
            fault = self._ask(_durability_fault, PATIENCE_SECONDS)
            if fault is UNTOLD and self._trust_server:
                log.warning("%s; trusted by the settings", UNTOLD)
            elif fault:
                raise LogNotDurable(fault)
            self._ask(lambda client: client.set(SHARDS_KEY, self.shards, nx=True))
            shards = int(self._ask(lambda client: client.get(SHARDS_KEY)) or 0)
            if shards != self.shards:
                raise LogNotDurable(f"the event log has {shards} shards, the settings say {self.shards}")
            self._checked = True


UNTOLD: Final = "the event log's Redis does not say whether it syncs every write (appendfsync always)"


def _durability_fault(client: Any) -> str | None:
    """Why a server, or one of a cluster's, may lose what it has acknowledged; None where none may."""
    cluster = isinstance(client, RedisCluster)
    nodes = [client.get_redis_connection(node) for node in client.get_primaries()] if cluster else [client]
    return next((fault for node in nodes if (fault := _fault_of(node))), None)


def _fault_of(node: redis.Redis) -> str | None:
    told: dict[str, Any] = node.info("all")  # type: ignore[assignment]  # typed for the asynchronous client too
    if not told["aof_enabled"]:
        return "the event log's Redis keeps nothing on disk: set appendonly yes and appendfsync always"
    if told["maxmemory"] and told["maxmemory_policy"] != "noeviction":
        return "the event log's Redis may evict keys: set maxmemory-policy noeviction"
    try:
        policy: Any = node.config_get("appendfsync")
    except redis.ResponseError:
        return UNTOLD
    synced = [value for value in policy.values() if value in ("always", b"always")]
    return None if synced else "the event log's Redis acknowledges before it syncs: set appendfsync always"


def _connect(url: str, timeout_seconds: float) -> Any:
    """A client that tries a dead connection once more at once, and then gives up; writes are idempotent."""
    again = Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))
    timeouts: dict[str, Any] = {"socket_timeout": timeout_seconds, "socket_connect_timeout": timeout_seconds}
    if url.startswith(CLUSTER):
        return RedisCluster.from_url("redis://" + url.removeprefix(CLUSTER), **timeouts)
    return redis.Redis.from_url(url, retry=again, **timeouts)


def _key(shard: int, name: str) -> str:
    return f"hb:{{s{shard}}}:{name}"


def _seq(place: bytes) -> int:
    return int(place.partition(b"-")[0])


def _overlay(text: bytes | None) -> Overlay | None:
    if not text:
        return None
    told: dict[str, dict[str, int]] = orjson.loads(text)
    keys = {mark: tuple(map(sys.intern, sorted(places))) for mark, places in told.items()}
    return Overlay(**keys, seq=max(seq for places in told.values() for seq in places.values()))
