"""A real OpenID Connect issuer on this machine, which can rotate its keys, be slow, or talk nonsense."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

AUDIENCE = "harmonic"


@lru_cache
def rsa_key(number: int, bits: int = 2048) -> rsa.RSAPrivateKey:
    """The same key for the same number, as long as the tests run."""
    return rsa.generate_private_key(65537, bits)


@lru_cache
def ec_key(number: int) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def published(key_id: str, key: Any, **more: Any) -> dict[str, Any]:
    """A public key as an entry of a key set."""
    algorithm = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    return {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": key_id, "use": "sig", **more}


@dataclass
class Issuer:
    """What it publishes, how it behaves, and how often it was asked."""

    url: str
    keys: list[dict[str, Any]] = field(default_factory=lambda: [published("one", rsa_key(1))])
    mode: str = "good"
    named: str | None = None
    jwks_uri: str | None = None
    asked: int = 0

    def token(self, key: Any = None, key_id: str = "one", algorithm: str = "RS256", **claims: Any) -> str:
        """A signed token; a claim that is None is left out."""
        now = time.time()
        usual = {"iss": self.url, "aud": AUDIENCE, "sub": "user-7", "iat": now, "exp": now + 300, "nbf": now - 1}
        told = {"scope": "recommend", "creator_id": "alice", **usual, **claims}
        headers = {"kid": key_id}
        return jwt.encode({k: v for k, v in told.items() if v is not None}, key or rsa_key(1), algorithm, headers)

    def answer(self, path: str) -> bytes:
        if path.endswith("/openid-configuration"):
            address = self.jwks_uri or f"{self.url}/jwks"
            return json.dumps({"issuer": self.named or self.url, "jwks_uri": address}).encode()
        self.asked += 1
        return json.dumps({"keys": self.keys}).encode()


class _Handler(BaseHTTPRequestHandler):
    issuer: Issuer

    def do_GET(self) -> None:
        mode, body, status = self.issuer.mode, self.issuer.answer(self.path), 200
        if mode == "down":
            status = 503
        elif mode == "slow":
            time.sleep(0.6)
        elif mode == "garbage":
            body = b"<html>[[[" + b"\xff" * 100
        elif mode == "deep":
            body = b"[" * 100_000
        elif mode == "huge":
            body = b" " * (3 << 20)
        elif mode == "redirect" and self.path != "/moved":
            status = 302
        self.send_response(status)
        if status == 302:
            self.send_header("location", "/moved")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def running_issuer() -> Iterator[Issuer]:
    """An issuer on a free port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    issuer = Issuer(f"http://127.0.0.1:{server.server_port}")
    server.RequestHandlerClass = type("Handler", (_Handler,), {"issuer": issuer})
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that hangs up is part of the test
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
