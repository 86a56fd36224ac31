"""The only door to Google's SDK: one draft from a model of Vertex AI, within a deadline and a budget."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

from configs import VertexSettings
from serving.strategies.breaker import CircuitBreaker
from serving.strategies.prompt import Draft, Prompt, response_schema
from serving.strategies.spending import SpendingLedger

if TYPE_CHECKING:
    from google.genai import Client
    from google.genai.types import GenerateContentConfig, GenerateContentResponse, GenerateContentResponseUsageMetadata

T = TypeVar("T")
TRANSIENT: Final = frozenset({408, 429, 500, 502, 503, 504})
REFUSED: Final = frozenset({400, 401, 403, 404, 429})
"""Statuses with which the API has certainly not worked, and charges nothing."""
LOCAL: Final = frozenset({"127.0.0.1", "localhost"})
HARM: Final = ("HARASSMENT", "HATE_SPEECH", "SEXUALLY_EXPLICIT", "DANGEROUS_CONTENT")


class VertexFault(Exception):
    """No usable draft; `reason` is one of: down, refused, open, budget, too long, deadline, blocked, empty, cut off,
    unreadable."""

    def __init__(self, reason: str, detail: str, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.status, self.retry_after = reason, status, retry_after

    @property
    def is_transient(self) -> bool:
        """Whether the same call may work soon."""
        return self.reason == "down"


@dataclass(frozen=True)
class Deadline:
    """An instant of the monotonic clock."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """So many seconds from now."""
        return cls(time.monotonic() + seconds)

    @property
    def seconds(self) -> float:
        """That are left, at least 0."""
        return max(0.0, self.at - time.monotonic())


class Vertex:
    """Asks one model; keeps its breaker, and shares its ledger with other processes.

    Args:
        settings: with a project.
        ledger: of spending and drafts.
        credentials: of google-auth; application-default where absent, none needed for a server on this machine.
    """

    def __init__(self, settings: VertexSettings, ledger: SpendingLedger, credentials: Any = None) -> None:
        self.settings, self.ledger = settings, ledger
        self.breaker = CircuitBreaker(settings.breaker_failures, settings.breaker_seconds)
        self._credentials = credentials
        self._client: Client | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def draft(
        self, prompt: Prompt, now: datetime, deadline: Deadline, progress: Callable[[int], None] | None = None
    ) -> Draft:
        """One draft; streamed where somebody wants to know how many characters have come.

        Raises:
            VertexFault: there is none, and why.
        """
        client = await self._connected()
        tokens = await self._retried(lambda left: self._count(client, prompt, left), deadline)
        if tokens > self.settings.max_input_tokens:
            raise VertexFault("too long", f"{tokens} tokens of {self.settings.max_input_tokens}")
        return await self._retried(lambda left: self._paid(client, prompt, tokens, now, left, progress), deadline)

    async def aclose(self) -> None:
        """Close connections."""
        if self._client is not None:
            await self._client.aio.aclose()
            self._client = None

    async def _paid(
        self,
        client: Client,
        prompt: Prompt,
        tokens: int,
        now: datetime,
        left: float,
        progress: Callable[[int], None] | None,
    ) -> Draft:
        """One call for which the most that it can cost is set aside first; without an answer it may have cost that."""
        call = await asyncio.to_thread(self.ledger.reserve, self._cost(tokens, self.settings.max_output_tokens), now)
        if call is None:
            self.breaker.abandoned()
            raise VertexFault("budget", "today's budget does not reach for another call")
        try:
            answer = await self._generate(client, prompt, left, progress)
        except VertexFault as fault:
            if fault.status in REFUSED:
                await asyncio.to_thread(self.ledger.settle, call, 0.0, 0, 0)
            raise
        if answer.usage:
            asked, answered = _tokens(answer.usage)
            await asyncio.to_thread(self.ledger.settle, call, self._cost(asked, answered), asked, answered)
        return answer.draft()

    async def _generate(
        self, client: Client, prompt: Prompt, left: float, progress: Callable[[int], None] | None
    ) -> _Answer:
        config = self._config(prompt, left)
        model, contents = self.settings.model, prompt.text
        answer = _Answer()
        if progress is None:
            answer.add(await client.aio.models.generate_content(model=model, contents=contents, config=config))
            return answer
        parts: AsyncIterator[Any] = await client.aio.models.generate_content_stream(
            model=model, contents=contents, config=config
        )
        async for part in parts:
            answer.add(part)
            progress(len(answer.text))
        return answer

    async def _count(self, client: Client, prompt: Prompt, left: float) -> int:
        from google.genai import types

        config = types.CountTokensConfig(system_instruction=prompt.system, http_options=_patience(left))
        counted = await client.aio.models.count_tokens(model=self.settings.model, contents=prompt.text, config=config)
        if not counted.total_tokens or counted.total_tokens < 0:
            raise VertexFault("down", "the server did not count tokens")
        return counted.total_tokens

    async def _retried(self, call: Callable[[float], Awaitable[T]], deadline: Deadline) -> T:
        """A call, again where it may help and time is left: as late as the server says, never past an open breaker."""
        from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

        usual = wait_random_exponential(multiplier=self.settings.wait_seconds, max=10)

        def wait(state: RetryCallState) -> float:
            fault = state.outcome.exception() if state.outcome else None
            told = fault.retry_after if isinstance(fault, VertexFault) else None
            return usual(state) if told is None else told

        def stop(state: RetryCallState) -> bool:
            over = state.attempt_number >= self.settings.attempts
            return (
                over or state.upcoming_sleep >= deadline.seconds or state.upcoming_sleep > self.settings.timeout_seconds
            )

        def helps(fault: BaseException) -> bool:
            return isinstance(fault, VertexFault) and fault.is_transient

        again = AsyncRetrying(wait=wait, stop=stop, retry=retry_if_exception(helps), reraise=True)
        return await again(self._guarded, call, deadline)

    async def _guarded(self, call: Callable[[float], Awaitable[T]], deadline: Deadline) -> T:
        """One call through the breaker, its errors told as faults."""
        left = min(self.settings.timeout_seconds, deadline.seconds)
        if left <= 0:
            raise VertexFault("deadline", "no time is left")
        if not self.breaker.allows():
            raise VertexFault("open", "the model's server has failed too often")
        try:
            async with asyncio.timeout(left):
                found = await call(left)
        except asyncio.CancelledError:
            self.breaker.abandoned()
            raise
        except VertexFault as fault:
            self._learn(fault)
            raise
        except Exception as error:
            told = _fault(error)
            self._learn(told)
            raise told from error
        self.breaker.succeeded()
        return found

    def _learn(self, fault: VertexFault) -> None:
        if fault.is_transient or fault.status in (401, 403, 404):
            self.breaker.failed(fault.retry_after)
        elif fault.reason in ("blocked", "empty", "cut off", "unreadable", "refused"):
            self.breaker.succeeded()

    def _cost(self, asked: int, answered: int) -> float:
        prices = self.settings.usd_per_million_input, self.settings.usd_per_million_output
        return (asked * prices[0] + answered * prices[1]) / 1e6

    def _config(self, prompt: Prompt, left: float) -> GenerateContentConfig:
        from google.genai import types

        kinds = [types.HarmCategory(f"HARM_CATEGORY_{kind}") for kind in HARM]
        least = types.HarmBlockThreshold.BLOCK_MEDIUM_AND_ABOVE
        return types.GenerateContentConfig(
            system_instruction=prompt.system,
            response_mime_type="application/json",
            response_json_schema=response_schema(),
            temperature=self.settings.temperature,
            max_output_tokens=self.settings.max_output_tokens,
            safety_settings=[types.SafetySetting(category=kind, threshold=least) for kind in kinds],
            labels=dict(self.settings.labels),
            http_options=_patience(left),
        )

    async def _connected(self) -> Client:
        """The client of this event loop; finding credentials may take seconds, so it is made off the loop."""
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            self._loop, self._client = loop, await asyncio.to_thread(self._connect)
        return self._client

    def _connect(self) -> Client:
        import httpx
        from google import genai
        from google.auth.exceptions import GoogleAuthError
        from google.genai.types import HttpOptions

        base, credentials = self.settings.base_url, self._credentials
        if credentials is None and base and urlsplit(base).hostname in LOCAL:
            credentials = anonymous_credentials()
        # A client of our own: the SDK's other transport repeats calls by itself, after 1 to 10 seconds.
        options = HttpOptions(base_url=base, httpx_async_client=httpx.AsyncClient(follow_redirects=False))
        project, location = self.settings.project, self.settings.location
        try:
            return genai.Client(
                vertexai=True, project=project, location=location, credentials=credentials, http_options=options
            )
        except (GoogleAuthError, ValueError) as error:
            raise VertexFault("refused", f"no credentials: {error}") from error


def anonymous_credentials() -> Any:
    """Credentials for a server that wants none; without a token they would try to refresh."""
    from google.auth.credentials import AnonymousCredentials

    credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]
    credentials.token = "local"
    return credentials


class _Answer:
    """What has come of an answer so far."""

    def __init__(self) -> None:
        self.text = ""
        self.usage: GenerateContentResponseUsageMetadata | None = None
        self._blocked: str | None = None
        self._finished: str | None = None
        self._any = False

    def add(self, part: GenerateContentResponse) -> None:
        """Take in a whole answer, or one part of a streamed one."""
        self.usage = part.usage_metadata or self.usage
        if part.prompt_feedback and part.prompt_feedback.block_reason:
            self._blocked = str(part.prompt_feedback.block_reason.value)
        for candidate in (part.candidates or [])[:1]:
            self._any = True
            self._finished = candidate.finish_reason.value if candidate.finish_reason else self._finished
            content = candidate.content
            pieces = content.parts if content and content.parts else []
            self.text += "".join(piece.text for piece in pieces if piece.text and not piece.thought)

    def draft(self) -> Draft:
        """The draft, where it is whole and of the right shape."""
        if self._blocked:
            raise VertexFault("blocked", self._blocked)
        if not self._any:
            raise VertexFault("empty", "no candidates")
        if self._finished != "STOP":
            reason = "cut off" if self._finished in (None, "MAX_TOKENS") else "blocked"
            raise VertexFault(reason, f"finish reason {self._finished}")
        try:
            return Draft.model_validate_json(self.text)
        except ValueError as error:
            raise VertexFault("unreadable", str(error).partition("\n")[0]) from error


def _tokens(usage: GenerateContentResponseUsageMetadata) -> tuple[int, int]:
    asked = usage.prompt_token_count or 0
    told = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
    return asked, max(told, (usage.total_token_count or 0) - asked)


def _patience(seconds: float) -> Any:
    from google.genai.types import HttpOptions

    return HttpOptions(timeout=max(1, math.floor(seconds * 1000)))


def _fault(error: Exception) -> VertexFault:
    """An error of the SDK or of the network as a fault."""
    import httpx
    from google.auth.exceptions import GoogleAuthError
    from google.genai.errors import APIError, UnknownApiResponseError

    said = type(error).__name__
    if isinstance(error, APIError):
        headers = getattr(error.response, "headers", None) or {}
        reason = "down" if error.code in TRANSIENT else "refused"
        return VertexFault(reason, f"status {error.code}", error.code, _retry_after(headers.get("retry-after")))
    if isinstance(error, TimeoutError | httpx.HTTPError | OSError):
        return VertexFault("down", said)
    if isinstance(error, UnknownApiResponseError | ValueError):
        return VertexFault("unreadable", said)
    if isinstance(error, GoogleAuthError):
        return VertexFault("refused", said, 401)
    raise error


def _retry_after(told: str | None) -> float | None:
    """Seconds that a Retry-After header asks for, as a number or a date."""
    if told is None:
        return None
    try:
        return max(0.0, float(told))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(told).timestamp() - time.time())
    except ValueError:
        return None
