"""Job: strategies of many creators through one batch prediction of Vertex AI, taken up again where it was left."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import shutil
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson

from serving.errors import ServingError
from serving.strategies.answers import WrittenStrategy
from serving.strategies.drafting.author import Commission, Composed, key_of
from serving.strategies.drafting.faults import Deadline, VertexFault
from serving.strategies.drafting.received import Received
from serving.strategies.drafting.spending import Account, Spent
from serving.strategies.prompt import request_body
from serving.strategies.schemas import Evidence, StrategyRequest
from serving.strategies.strategist import Strategist
from serving.strategies.vertex import HARMS, Job, Vertex, VertexBatches

log = logging.getLogger(__name__)
Tell = Callable[[str, float], None]
RUNNING: Final = frozenset({"", "JOB_STATE_QUEUED", "JOB_STATE_PENDING", "JOB_STATE_RUNNING", "JOB_STATE_UPDATING"})


class JobWaits(ServingError):
    """A job has not ended in the time that it was given; it goes on, and can be taken up again."""

    status = 503
    title = "The job has not ended"


class AnotherOrder(ServingError):
    """A job for other creators, or with other wishes, waits in the same place."""

    status = 409
    title = "Another job waits"


@dataclass(frozen=True)
class Question:
    """One strategy that is wanted, with its evidence as it was when the job was made.

    Attributes:
        digest: of the prompt's text; the job's output tells requests, and keeps no order.
        call: of the ledger; None where the model is not asked, and `reason` says why.
        tokens: of the prompt.
    """

    request: StrategyRequest
    evidence: Evidence
    now: datetime
    digest: str = ""
    key: str = ""
    call: int | None = None
    reason: str | None = None
    tokens: int = 0

    @property
    def commission(self) -> Commission:
        """For the author; the evidence has been screened."""
        return Commission(self.evidence, self.request, self.now, lambda screened: screened)

    def line(self) -> bytes:
        """As one line of a file."""
        told = {name: getattr(self, name) for name in ("now", "digest", "key", "call", "reason", "tokens")}
        shapes = {name: getattr(self, name).model_dump(mode="json") for name in ("request", "evidence")}
        return orjson.dumps({**told, **shapes}, option=orjson.OPT_APPEND_NEWLINE)

    @classmethod
    def of(cls, line: bytes) -> Question:
        """Read back."""
        told = orjson.loads(line)
        request, evidence = StrategyRequest.model_validate(told["request"]), Evidence.model_validate(told["evidence"])
        return cls(**{**told, "request": request, "evidence": evidence, "now": datetime.fromisoformat(told["now"])})


class StrategyBatch:
    """One order; `folder` holds all that a process which takes it up again has to know.

    Args:
        strategist: with a model.
        folder: of this order alone; to be removed when its answers are safe.
    """

    def __init__(self, strategist: Strategist, vertex: Vertex, folder: Path) -> None:
        self._strategist, self._author, self._vertex, self._folder = strategist, strategist.author, vertex, folder
        self._settings, self._batches = vertex.settings.batch, VertexBatches(vertex)

    async def finish(self, requests: Sequence[StrategyRequest], now: datetime, tell: Tell) -> None:
        """Everything up to the job's output being here; what was done before is not done again.

        Raises:
            AnotherOrder: the folder is of another one.
            JobWaits: the job goes on.
            VertexFault: it could not be made.
            NotReady: nothing serves.
        """
        name = self._opened(requests, now)
        if not (self._folder / "questions.jsonl").exists():
            await self._gather(requests, now, tell)
        if not any(question.call is not None for question in self._questions()):
            return
        if not (self._folder / "output").exists():
            await self._collect(await self._ended(await self._submitted(name, tell), tell))

    async def answers(self, now: datetime) -> AsyncGenerator[WrittenStrategy, None]:
        """The strategies in the order of the requests: the model's where proven, else the deterministic writer's.

        Args:
            now: when they are answered, UTC: posts before that cannot have followed them.
        """
        places = dict(self._answered())
        for question in self._questions():
            place = places.get(question.digest)
            composed = self._composed(question, _response(*place) if place else None)
            yield await self._strategist.handed_over(question.commission, composed, now)

    def _opened(self, requests: Sequence[StrategyRequest], now: datetime) -> str:
        """The order's name, by which its job is found again."""
        asked = [*(request.model_dump_json() for request in requests), self._vertex.settings.model]
        mark, path = hashlib.sha256("\n".join(asked).encode()).hexdigest()[:16], self._folder / "order.json"
        self._folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _put(path, orjson.dumps({"mark": mark, "name": f"harmonic-strategies-{mark}-{now:%Y%m%dt%H%M%S}"}))
        told = orjson.loads(path.read_bytes())
        if told["mark"] != mark:
            raise AnotherOrder(f"a job for other creators waits in {self._folder}: end it first, or remove the folder")
        return str(told["name"])

    async def _gather(self, requests: Sequence[StrategyRequest], now: datetime, tell: Tell) -> None:
        """Evidence, tokens and money for every question; each is written down before the next is asked."""
        part = self._folder / "questions.part"
        whole = list(_lines(part))
        done = [Question.of(line) for line in whole]
        left = self._settings.budget_usd - sum(self._most(q.tokens) for q in done if q.call is not None)
        account, at_once = Account(self._vertex.ledger, left, now), self._settings.counts_at_once
        with part.open("ab") as file:
            file.truncate(sum(map(len, whole)))  # a line that a killed process did not end goes
            for place in range(len(done), len(requests), at_once):
                some = requests[place : place + at_once]
                for question in await asyncio.gather(*(self._question(one, account, now) for one in some)):
                    file.write(question.line())
                file.flush()
                tell(f"evidence of {place + len(some):,} creators", (place + len(some)) / len(requests))
        part.rename(self._folder / "questions.jsonl")

    async def _question(self, request: StrategyRequest, account: Account, now: datetime) -> Question:
        commission = self._strategist.commission(request, now)
        prompt = self._author.prompt(commission)
        key = key_of(prompt, commission, self._vertex.settings.model)
        question = Question(request, commission.evidence, now, digest(prompt.text), key)
        if self._author.kept(key, now):
            return question
        try:
            tokens = await self._vertex.count(prompt, Deadline.after(self._vertex.settings.deadline_seconds))
        except VertexFault as fault:
            return replace(question, reason=fault.reason)
        if tokens > self._vertex.settings.max_input_tokens:
            return replace(question, reason="too long")
        call = account.reserve(self._most(tokens))
        return replace(question, call=call, tokens=tokens, reason="budget" if call is None else None)

    async def _submitted(self, name: str, tell: Tell) -> str:
        """The resource name of the job, which is made once."""
        path = self._folder / "job.json"
        if path.exists():
            return str(orjson.loads(path.read_bytes())["job"])
        tell("sending the questions", 0.0)
        home = f"{self._settings.folder}/{name}"
        await asyncio.to_thread(self._write_input)
        await asyncio.to_thread(self._batches.upload, self._folder / "input.jsonl", f"{home}/input.jsonl")
        patience = Deadline.after(self._vertex.settings.deadline_seconds)
        job = await self._batches.submit(name, f"{home}/input.jsonl", f"{home}/output", patience)
        _put(path, orjson.dumps({"job": job.name, "output": f"{home}/output"}))
        return job.name

    def _write_input(self) -> None:
        chosen = self._vertex.settings
        with (self._folder / "input.jsonl").open("wb") as file:
            for question in self._questions():
                if question.call is not None:
                    body = request_body(
                        self._author.prompt(question.commission), chosen.temperature, chosen.max_output_tokens,
                        chosen.labels, HARMS,
                    )  # fmt: skip
                    file.write(orjson.dumps({"request": body}, option=orjson.OPT_APPEND_NEWLINE))

    async def _ended(self, name: str, tell: Tell) -> Job:
        """The job once it runs no more; that nobody says how it stands is no reason to leave it."""
        patience = Deadline.after(self._settings.wait_hours * 3600)
        while patience.seconds:
            try:
                job = await self._batches.job(name, Deadline.after(self._vertex.settings.deadline_seconds))
            except VertexFault as fault:
                if fault.code in (401, 403, 404):
                    raise
                log.warning("nobody says how the job stands: %s", fault)
            else:
                if job.state not in RUNNING:
                    return job
                tell(job.state.removeprefix("JOB_STATE_").lower(), 0.0)
            await asyncio.sleep(min(self._settings.poll_seconds, patience.seconds))
        raise JobWaits(f"{name} runs on: the same command takes it up again")

    async def _collect(self, job: Job) -> None:
        """What the job has written, or an empty folder where it has not."""
        staged = self._folder / "output.part"
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir()
        if job.succeeded:
            place = job.output or orjson.loads((self._folder / "job.json").read_bytes())["output"]
            await asyncio.to_thread(self._batches.download, place, staged)
        else:
            log.error("the job %s ended as %s: %s", job.name, job.state, job.error)
        staged.rename(self._folder / "output")

    def _composed(self, question: Question, response: Any) -> Composed:
        commission, spent, reason = question.commission, Spent(0.0, 0, 0, 0), question.reason
        if question.call is None and reason is None and (kept := self._author.kept(question.key, question.now)):
            return Composed(kept, cached=True)
        if question.call is not None:
            received, spent = self._settled(question, response)
            try:
                strategy = self._author.proven(received.draft(), commission, question.key)
                if strategy.check.is_grounded:
                    self._author.keep(question.key, strategy, question.now)
                    return Composed(strategy, spent=spent)
                reason = "ungrounded"
            except VertexFault as fault:
                reason = fault.reason
        return Composed(self._author.fallback(commission), reason or "gone", spent=spent)

    def _settled(self, question: Question, response: Any) -> tuple[Received, Spent]:
        """What came, and what it cost; where nothing came, it counts in full."""
        received, call = Received(), question.call
        assert call is not None
        try:
            received.take(response or {})
            tokens = received.tokens
        except (AttributeError, TypeError, ValueError):
            received, tokens = Received(), None
        if tokens is None:
            return received, Spent(self._most(question.tokens), 1, 0, 0)
        usd = self._vertex.cost(*tokens) * self._settings.price_share
        self._vertex.ledger.settle(call, usd, *tokens)
        return received, Spent(usd, 1, *tokens)

    def _most(self, tokens: int) -> float:
        return self._vertex.cost(tokens, self._vertex.settings.max_output_tokens) * self._settings.price_share

    def _questions(self) -> Iterator[Question]:
        return (Question.of(line) for line in _lines(self._folder / "questions.jsonl"))

    def _answered(self) -> Iterator[tuple[str, tuple[Path, int]]]:
        """Digest of a prompt, and where what came of it begins."""
        for path in sorted((self._folder / "output").glob("*.jsonl")):
            at = 0
            for line in _lines(path, and_rest=True):  # it came whole, whether or not it ends its last line
                try:
                    text = orjson.loads(line)["request"]["contents"][0]["parts"][0]["text"]
                    yield digest(text), (path, at)
                except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError):
                    log.warning("a line of the job's output cannot be read")
                at += len(line)


def _response(path: Path, at: int) -> Any:
    with path.open("rb") as file:
        file.seek(at)
        return orjson.loads(file.readline()).get("response")


def digest(text: str) -> str:
    """Of a prompt's text."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _lines(path: Path, and_rest: bool = False) -> Iterator[bytes]:
    """The whole lines of a file that may not be there, and what follows the last of them where it is wanted."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            if and_rest or line.endswith(b"\n"):
                yield line


def _put(path: Path, body: bytes) -> None:
    """A whole file or none."""
    staged = path.with_suffix(".part")
    staged.write_bytes(body)
    staged.replace(path)
