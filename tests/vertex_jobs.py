"""The parts of Google Cloud that batch prediction needs: jobs, and files in Cloud Storage by its JSON API."""

from __future__ import annotations

import base64
import json
import random
import re
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import google_crc32c

Body = dict[str, Any]
Reply = tuple[int, dict[str, str], bytes]
JOBS = re.compile(r"^/v1(?:beta1)?/(projects/[^/]+/locations/[^/]+)/batchPredictionJobs(?:/(\d+))?$")
UPLOAD = re.compile(r"^(?:/resumable)?/upload/storage/v1/b/([^/]+)/o$")
OBJECTS = re.compile(r"^(?:/download)?/storage/v1/b/([^/]+)/o(?:/(.+))?$")


@dataclass
class Cloud:
    """What has been stored and ordered.

    Attributes:
        modes: of the answers of a job, line by line and round again: a fault of the model's server, `error` for a line
            with a status, or `missing` for one that never comes.
        running: how often a job is looked at before it ends.
        ends: as what.
        is_ended: whether the last line of its output ends in a line break.
        answer: the model's, for a mode and a request.
    """

    answer: Callable[[str, Body], Body]
    modes: tuple[str, ...] = ("good",)
    running: int = 2
    ends: str = "JOB_STATE_SUCCEEDED"
    is_ended: bool = True
    files: dict[tuple[str, str], bytes] = field(default_factory=dict)
    jobs: dict[str, Body] = field(default_factory=dict)
    looks: Counter[str] = field(default_factory=Counter)
    lock: threading.RLock = field(default_factory=threading.RLock)
    _sessions: dict[str, tuple[str, str, bytes]] = field(default_factory=dict)

    def reply(self, method: str, address: str, headers: Any, body: bytes) -> Reply | None:
        """The answer to a request, None where it is for somebody else."""
        url = urlsplit(address)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        with self.lock:
            if found := JOBS.match(url.path):
                return self._job(method, found[1], found[2], query, body)
            if found := UPLOAD.match(url.path):
                return self._upload(method, found[1], query, headers, body)
            if found := OBJECTS.match(url.path):
                return self._object(found[1], found[2], query)
        return None

    def _job(self, method: str, parent: str, number: str | None, query: dict[str, str], body: bytes) -> Reply:
        if method == "POST":
            name = f"{parent}/batchPredictionJobs/{len(self.jobs) + 1}"
            self.jobs[name] = {**json.loads(body), "name": name, "state": "JOB_STATE_PENDING"}
            return _json(200, self.jobs[name])
        if number is None:
            wanted = query.get("filter", "").removeprefix('display_name="').rstrip('"')
            return _json(200, {"batchPredictionJobs": [j for j in self.jobs.values() if j["displayName"] == wanted]})
        job = self.jobs.get(f"{parent}/batchPredictionJobs/{number}")
        if job is None:
            return _json(404, {"error": {"code": 404, "message": "no such job", "status": "NOT_FOUND"}})
        self.looks[job["name"]] += 1
        job["state"] = "JOB_STATE_RUNNING"
        if self.looks[job["name"]] > self.running:
            self._end(job)
        return _json(200, job)

    def _end(self, job: Body) -> None:
        job["state"] = self.ends
        if "outputInfo" in job or self.ends != "JOB_STATE_SUCCEEDED":
            return
        bucket, _, name = job["inputConfig"]["gcsSource"]["uris"][0].removeprefix("gs://").partition("/")
        asked = [json.loads(line)["request"] for line in self.files[bucket, name].splitlines()]
        told = [self._line(self.modes[place % len(self.modes)], body) for place, body in enumerate(asked)]
        lines = [line for line in told if line]
        random.Random(7).shuffle(lines)
        folder = f"{job['outputConfig']['gcsDestination']['outputUriPrefix']}/prediction-model-1"
        bucket, _, prefix = folder.removeprefix("gs://").partition("/")
        output = "\n".join(map(json.dumps, lines)) + "\n" * self.is_ended
        self.files[bucket, f"{prefix}/predictions.jsonl"] = output.encode()
        job["outputInfo"] = {"gcsOutputDirectory": folder}

    def _line(self, mode: str, body: Body) -> Body | None:
        if mode == "missing":
            return None
        told = {"status": "", "processed_time": "2026-11-02T12:00:00+00:00", "request": body}
        if mode == "error":
            return {**told, "status": "Internal error", "response": {}}
        return {**told, "response": self.answer(mode, body)}

    def _upload(self, method: str, bucket: str, query: dict[str, str], headers: Any, body: bytes) -> Reply:
        if query.get("uploadType") == "multipart":
            mark = headers["content-type"].partition("boundary=")[2].strip("\"'").encode()
            about, content = (part.partition(b"\r\n\r\n")[2] for part in body.split(b"--" + mark)[1:3])
            return self._stored(bucket, json.loads(about)["name"], content.removesuffix(b"\r\n"))
        if method == "POST":
            number = str(len(self._sessions))
            self._sessions[number] = bucket, json.loads(body).get("name") or query["name"], b""
            place = f"http://{headers['host']}/resumable/upload/storage/v1/b/{bucket}/o?upload_id={number}"
            return 200, {"location": place}, b""
        bucket, name, before = self._sessions[query["upload_id"]]
        self._sessions[query["upload_id"]] = bucket, name, before + body
        last, _, whole = headers["content-range"].rpartition("-")[2].partition("/")
        if whole == "*" or int(last) + 1 < int(whole):
            return 308, {"range": f"bytes=0-{last}"}, b""
        return self._stored(bucket, name, before + body)

    def _stored(self, bucket: str, name: str, content: bytes) -> Reply:
        self.files[bucket, name] = content
        return _json(200, _about(bucket, name, content))

    def _object(self, bucket: str, name: str | None, query: dict[str, str]) -> Reply:
        if name is None:
            prefix = query.get("prefix", "")
            found = [(b, n, c) for (b, n), c in sorted(self.files.items()) if b == bucket and n.startswith(prefix)]
            return _json(200, {"kind": "storage#objects", "items": [_about(*one) for one in found]})
        content = self.files.get((bucket, unquote(name)))
        if content is None:
            return _json(404, {"error": {"code": 404, "message": "No such object"}})
        if query.get("alt") == "media":
            return 200, {"content-type": "application/octet-stream"}, content
        return _json(200, _about(bucket, unquote(name), content))


def _about(bucket: str, name: str, content: bytes) -> Body:
    sums = {"crc32c": base64.b64encode(google_crc32c.Checksum(content).digest()).decode()}
    return {"kind": "storage#object", "bucket": bucket, "name": name, "size": str(len(content)), **sums}


def _json(status: int, body: Body) -> Reply:
    return status, {"content-type": "application/json"}, json.dumps(body).encode()
