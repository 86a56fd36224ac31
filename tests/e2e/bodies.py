"""Bodies that no well-behaved client sends: valid ones, broken in every way that a wire and a program can."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

VALID: Final[dict[str, dict[str, Any]]] = {
    "/v1/recommendations": {
        "creator_id": "creator_0007", "k": 5, "kinds": ["sound", "hashtag"], "region": "DE", "tags": ["dance", "gym"],
        "exclude": [{"kind": "hashtag", "id": "dance"}], "include_used": True,
    },
    "/v1/rank": {
        "creator_id": "creator_0007", "region": "DE", "tags": ["dance"],
        "candidates": [{"kind": "hashtag", "id": "dance"}, {"kind": "sound", "id": "7"}],
    },
    "/v1/events": {
        "events": [
            {
                "event_id": "e1", "kind": "post", "id": "v1", "creator_id": "creator_0007", "region": "DE",
                "create_time": "2025-01-01T00:00:00Z", "observed_at": 1.74e9, "description": "#dance all day",
                "hashtags": ["dance"], "duration": 12, "music_id": "7", "counts": {"view_count": 3, "like_count": None},
            },
            {"event_id": "e2", "kind": "observation", "id": "v1", "observed_at": 1.74e9, "counts": {"view_count": 9}},
            {
                "event_id": "e3", "kind": "creator_observation", "creator_id": "creator_0007",
                "observed_at": "2025-01-02T00:00:00+02:00", "follower_count": 10,
            },
            {
                "event_id": "e4", "kind": "trend_observation", "trend_type": "hashtag", "trend_id": "dance",
                "observed_at": 1.74e9, "value": 100, "region": "DE",
            },
            {
                "event_id": "e5", "kind": "feedback", "feedback": "adopt", "creator_id": "creator_0007",
                "trend_type": "sound", "trend_id": "7", "rank": 1, "propensity": 0.5, "occurred_at": 1.74e9,
            },
        ]
    },
}  # fmt: skip

ODD: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 1, 0.5, -0.0, 1e308, 10**18, 10**25, 10**400, -(2**63), 2**64, "", " ", "\0", "\t\n",
    "x" * 300, "x" * 20_000, "\u202e", "\ud800", "\U0001f600" * 100, "é", "#", "##", "NaN", "DE\n",
    "2025-13-45T99:99:99Z", "9999-12-31T23:59:59.999999-23:59", "0001-01-01T00:00:00+23:59", "1e999",
    float("nan"), float("inf"), -float("inf"),
    [], {}, [[]], [{}], [None] * 600, {"": ""}, {"\0": 0}, {"kind": "sound"}, {"__proto__": 1}, "sound",
    "hashtag", "post",
)  # fmt: skip
TYPES: Final = (
    "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "application/json; charset=utf-16",
    "APPLICATION/JSON", "application/json;", "application/xml", "application/json, text/html", "json",
)  # fmt: skip


@dataclass
class Malformed:
    """One request: what is sent where, and how."""

    path: str
    body: bytes
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    chunked: bool = False

    @property
    def content(self) -> bytes | Iterator[bytes]:
        """The body, or its pieces where the length is not to be told."""
        return (
            iter([self.body[i : i + 97] or b" " for i in range(0, len(self.body), 97)]) if self.chunked else self.body
        )


def malformed(path: str, rng: random.Random) -> Malformed:
    """A request that is broken in one to three ways; now and then it is still a valid one."""
    tree = copy.deepcopy(VALID[path])
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        rng.choice(TREES)(tree, rng)
    body = json.dumps(tree, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    if rng.random() < 0.5:
        body = rng.choice(BYTES)(body, rng)
    made = Malformed(path, body, chunked=rng.random() < 0.2)
    if rng.random() < 0.1:
        made.headers["content-type"] = rng.choice(TYPES)
    if rng.random() < 0.05:
        made.headers["content-encoding"] = rng.choice(("gzip", "br", "identity"))
    return made


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a tree."""
    found: list[tuple[Any, Any]] = []
    for key, value in list(tree.items() if isinstance(tree, dict) else enumerate(tree)):
        found.append((tree, key))
        if isinstance(value, dict | list):
            found += _places(value)
    return found


def _replace(tree: Any, rng: random.Random) -> None:
    container, key = rng.choice(_places(tree) or [({}, "")])
    container[key] = copy.deepcopy(rng.choice(ODD))


def _remove(tree: Any, rng: random.Random) -> None:
    container, key = rng.choice(_places(tree) or [({"": 0}, "")])
    del container[key]


def _rename(tree: Any, rng: random.Random) -> None:
    container, key = rng.choice(_places(tree) or [({"": 0}, "")])
    if isinstance(container, dict):
        container[rng.choice(("", "\0", "x" * 500, "__class__", "creator_id ", "e" * 3))] = container.pop(key)


def _wrap(tree: Any, rng: random.Random) -> None:
    container, key = rng.choice(_places(tree) or [({"": 0}, "")])
    container[key] = rng.choice(([container[key]], {"0": container[key]}, {key if isinstance(key, str) else "k": 1}))


def _repeat(tree: Any, rng: random.Random) -> None:
    lists = [container[key] for container, key in _places(tree) if isinstance(container[key], list)]
    if lists:
        chosen = rng.choice(lists)
        chosen.extend(copy.deepcopy(chosen) * rng.choice((1, 100, 600)))


def _truncate(body: bytes, rng: random.Random) -> bytes:
    return body[: rng.randrange(len(body) + 1)]


def _flip(body: bytes, rng: random.Random) -> bytes:
    broken = bytearray(body)
    for _ in range(rng.choice((1, 3, 20)) if broken else 0):
        broken[rng.randrange(len(broken))] = rng.randrange(256)
    return bytes(broken)


def _insert(body: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(body) + 1)
    odd = (
        b"\0",
        b"\xff\xfe",
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\\ud800",
        b"\\u0000",
        b"NaN",
        b"Infinity",
        b"-",
        b",",
        b"//",
    )
    return body[:at] + rng.choice(odd) + body[at:]


def _duplicate_key(body: bytes, rng: random.Random) -> bytes:
    return body.replace(b"{", b'{"creator_id":"other","k":7,"events":[],', 1)


def _nest(body: bytes, rng: random.Random) -> bytes:
    depth = rng.choice((50, 300, 5_000, 100_000))
    opened, closed = rng.choice(((b"[", b"]"), (b'{"a":', b"}")))
    nested = opened * depth + b"1" + closed * rng.choice((0, depth))
    return rng.choice((nested, b'{"creator_id":' + nested + b"}", b'{"events":[' + nested + b"]}"))


def _other(body: bytes, rng: random.Random) -> bytes:
    text = body.decode("utf-8", "replace")
    return rng.choice(
        (
            b"", b" ", b"null", b"[]", b"{}", b"0", b'"x"', b"-1e999999", b"9" * 5_000, b"\xef\xbb\xbf" + body,
            text.encode("utf-16"), text.encode("utf-32"), body + body, body + b"\n" + body, b"creator_id=a&k=5",
            b"\x1f\x8b\x08\x00" + body, rng.randbytes(200), b"{" * 1_000, b'"' + b"\\" * 999,
        )
    )  # fmt: skip


TREES: Final[tuple[Callable[[Any, random.Random], None], ...]] = (_replace, _replace, _remove, _rename, _wrap, _repeat)
BYTES: Final[tuple[Callable[[bytes, random.Random], bytes], ...]] = (
    _truncate, _flip, _insert, _duplicate_key, _nest, _other,
)  # fmt: skip
