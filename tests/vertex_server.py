"""A server on this machine that speaks Vertex AI's contract for text, and fails in every way that the real one does."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from threading import Thread
from typing import Any

from tests.vertex_jobs import Cloud

Body = dict[str, Any]
PATH = re.compile(
    r"^/v1(?:beta1)?/projects/[^/]+/locations/[^/]+/publishers/google/models/[^/:]+:"
    r"(generateContent|streamGenerateContent|countTokens)(?:\?alt=sse)?$"
)


@dataclass
class VertexServer:
    """How it behaves, what it writes, and what it was asked.

    Attributes:
        mode: `good`, or the name of a fault; a list is used up call by call of the model, its last entry stays; a
            function is asked at each call, whatever it is for.
        write: the draft for a request's body.
    """

    url: str
    write: Callable[[Body], Body]
    mode: str | list[str] | Callable[[], str] = "good"
    calls: Counter[str] = field(default_factory=Counter)
    bodies: list[Body] = field(default_factory=list)
    slow_seconds: float = 3.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.cloud = Cloud(self.answer)

    @property
    def asked(self) -> int:
        return sum(self.calls.values())

    def next_mode(self, verb: str) -> str:
        with self.lock:
            self.calls[verb] += 1
            if isinstance(self.mode, str):
                return self.mode
            if callable(self.mode):
                return self.mode()
            if verb == "countTokens" and self.mode[0] not in DOWN:
                return "good"
            return self.mode.pop(0) if len(self.mode) > 1 else self.mode[0]

    def answer(self, mode: str, body: Body) -> Body:
        """The answer of the model, whole."""
        draft = self.write(body)
        if mode == "invented":
            draft = {**draft, "summary": f"{draft['summary']} This brings 987,654 views."}
        told = json.dumps(draft)
        finish: str | None = "STOP"
        if mode == "truncated":
            told, finish = told[: len(told) // 2], "MAX_TOKENS"
        elif mode == "truncated but stopped":
            told = told[: len(told) // 2]
        elif mode == "fenced":
            told = f"```json\n{told}\n```"
        elif mode == "wrong types":
            told = json.dumps({**json.loads(told), "plays": "three of them", "calendar": {"monday": 1}})
        elif mode == "not json":
            told = "I am sorry, but I cannot help with that."
        usage = {
            "promptTokenCount": 900,
            "candidatesTokenCount": 700,
            "thoughtsTokenCount": 50,
            "totalTokenCount": 1650,
        }
        if mode == "blocked prompt":
            return {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": usage}
        if mode == "empty candidates":
            return {"candidates": [], "usageMetadata": usage}
        if mode == "safety":
            return {"candidates": [{"finishReason": "SAFETY", "index": 0}], "usageMetadata": usage}
        content = {"role": "model", "parts": [{"text": told}]}
        return {"candidates": [{"content": content, "finishReason": finish, "index": 0}], "usageMetadata": usage}


DOWN = ("429", "429 later", "429 soon", "429 without", "500", "503", "slow", "hang up", "403")
FAULTS = (
    *DOWN, "truncated", "truncated but stopped", "fenced", "wrong types", "not json", "blocked prompt",
    "empty candidates", "safety", "garbage", "cut off",
)  # fmt: skip


class _Handler(BaseHTTPRequestHandler):
    vertex: VertexServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._cloud(b"")

    def do_PUT(self) -> None:
        self._cloud(self.rfile.read(int(self.headers["content-length"])))

    def _cloud(self, told: bytes) -> bool:
        """Whether it was about jobs or files, and has been answered."""
        reply = self.vertex.cloud.reply(self.command, self.path, self.headers, told)
        if reply is None:
            return False
        status, headers, body = reply
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        return True

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers["content-length"]))
        if self._cloud(sent):
            return
        body = json.loads(sent)
        found = PATH.match(self.path)
        if found is None or not self.headers.get("authorization", "").startswith("Bearer "):
            self._send(404, json.dumps({"error": {"code": 404, "message": self.path, "status": "NOT_FOUND"}}).encode())
            return
        mode = self.vertex.next_mode(found[1])
        self.vertex.bodies.append(body)
        if self._failed(mode):
            return
        if found[1] == "countTokens":
            self._send(200, json.dumps({"totalTokens": 900}).encode())
        elif found[1] == "generateContent":
            whole = json.dumps(self.vertex.answer(mode, body)).encode()
            whole = b"<html>[[[\xff" if mode == "garbage" else whole
            self._send(200, whole, cut=mode == "cut off")
        else:
            self._stream(mode, self.vertex.answer(mode, body))

    def _failed(self, mode: str) -> bool:
        """Whether the call ended with a fault of the server."""
        status = {"429 later": 429, "429 soon": 429, "429 without": 429}.get(mode) or (
            int(mode) if mode.isdigit() else 0
        )
        if status:
            wait = {"429 later": "60", "429 soon": "0.2"}.get(mode)
            told = {"error": {"code": status, "message": "Resource exhausted", "status": "RESOURCE_EXHAUSTED"}}
            self._send(status, json.dumps(told).encode(), wait=wait)
        elif mode == "hang up":
            self.close_connection = True
            self.connection.close()
        elif mode == "slow":
            time.sleep(self.vertex.slow_seconds)
        return bool(status) or mode == "hang up"

    def _stream(self, mode: str, answer: Body) -> None:
        """Server-sent events: the text in parts, the finish reason with the last."""
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        for part in list(_parts(answer))[: 2 if mode == "cut off" else None]:
            self.wfile.write(b"data: " + (b"[[[" if mode == "garbage" else json.dumps(part).encode()) + b"\r\n\r\n")
            self.wfile.flush()
        self.close_connection = True

    def _send(self, status: int, body: bytes, wait: str | None = None, cut: bool = False) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        if wait:
            self.send_header("retry-after", wait)
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = self.close_connection or cut

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def _parts(answer: Body) -> Iterator[Body]:
    candidate = (answer.get("candidates") or [{}])[0]
    text = candidate.get("content", {}).get("parts", [{}])[0].get("text")
    if text is None:
        yield answer
        return
    cuts = [len(text) * n // 4 for n in range(5)]
    for start, end in pairwise(cuts):
        yield {"candidates": [{"content": {"role": "model", "parts": [{"text": text[start:end]}]}, "index": 0}]}
    last = {
        "content": {"role": "model", "parts": [{"text": ""}]},
        "finishReason": candidate["finishReason"],
        "index": 0,
    }
    yield {"candidates": [last], "usageMetadata": answer["usageMetadata"]}


@contextmanager
def running_vertex(write: Callable[[Body], Body]) -> Iterator[VertexServer]:
    """A server on a free port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    vertex = VertexServer(f"http://127.0.0.1:{server.server_port}", write)
    server.RequestHandlerClass = type("Handler", (_Handler,), {"vertex": vertex})
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that hangs up is part of the test
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield vertex
    finally:
        server.shutdown()
        server.server_close()
