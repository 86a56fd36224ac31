"""Whatever bytes come in: never a server error, and every refusal is a problem that names its request."""

from __future__ import annotations

import random
import time
from collections import Counter

import httpx
import pytest

from tests.e2e.bodies import VALID, Malformed, malformed
from tests.e2e.conftest import Guarded

pytestmark = pytest.mark.e2e

BODIES = 2_000
SLOW_SECONDS = 2.0


def ask(client: httpx.Client, asked: Malformed) -> httpx.Response:
    """Send one; whatever is answered, it is a whole answer of the promised kind."""
    response = client.post(asked.path, content=asked.content, headers=asked.headers)
    said = f"{response.status_code} to {asked.headers} {asked.body[:300]!r}: {response.text[:300]}"
    assert response.status_code in (200, 413, 422), said
    assert response.headers["x-request-id"], said
    if response.status_code != 200:
        assert response.headers["content-type"] == "application/problem+json", said
        told = response.json()
        assert (told["status"], told["request_id"]) == (response.status_code, response.headers["x-request-id"]), said
        assert len(response.content) < 8_000, said
    return response


@pytest.mark.parametrize("path", VALID)
def test_a_malformed_body_is_refused_or_understood_but_never_a_server_error(guarded: Guarded, path: str) -> None:
    rng = random.Random(path)
    with httpx.Client(base_url=guarded.base, headers={"x-api-key": guarded.token}) as client:
        counts = Counter(ask(client, malformed(path, rng)).status_code for _ in range(BODIES // len(VALID)))
        assert client.post(path, json=VALID[path]).status_code == 200
    assert min(counts[200], counts[422]) > BODIES // len(VALID) // 20, counts


@pytest.mark.parametrize(
    "body",
    [
        b'{"creator_id":"a","candidates":[%s]}' % b",".join([b"0"] * 1_000_000),
        b'{"creator_id":"a","candidates":[%s]}' % b",".join([b"{}"] * 600_000),
        b'{"creator_id":"a","exclude":[%s]}' % b",".join([b"0"] * 1_000_000),
        b'{"creator_id":"a","tags":[%s]}' % b",".join([b"0"] * 1_000_000),
        b'{"creator_id":"a","kinds":[%s]}' % b",".join([b"0"] * 1_000_000),
        b"{%s}" % b",".join(b'"%d":0' % n for n in range(180_000)),
        b'{"events":[%s]}' % b",".join([b"0"] * 1_000_000),
        b'{"events":[{"kind":"post","hashtags":[%s]}]}' % b",".join([b"0"] * 900_000),
        b'{"events":[{"kind":"post",%s}]}' % b",".join(b'"%d":0' % n for n in range(180_000)),
        b"[" * 2_000_000,
    ],
    ids=lambda body: body[:36].decode(),
)
def test_two_megabytes_of_faults_are_refused_soon_and_in_few_words(guarded: Guarded, body: bytes) -> None:
    with httpx.Client(base_url=guarded.base, headers={"x-api-key": guarded.token}, timeout=30) as client:
        for path in VALID:
            began = time.monotonic()
            assert ask(client, Malformed(path, body)).status_code == 422
            assert time.monotonic() - began < SLOW_SECONDS


def test_a_body_over_the_limit_is_not_read(guarded: Guarded) -> None:
    with httpx.Client(base_url=guarded.base, headers={"x-api-key": guarded.token}) as client:
        for chunked in (False, True):
            asked = Malformed("/v1/rank", b" " * 3_000_000, chunked=chunked)
            try:
                assert ask(client, asked).status_code == 413
            except (httpx.WriteError, httpx.RemoteProtocolError):
                assert chunked  # the service has hung up before all of it was sent
