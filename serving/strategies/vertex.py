"""The only door to Google's SDK: drafts of a model of Vertex AI, one by one or many in a job."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from configs import VertexSettings
from serving.strategies.drafting.attempts import Attempts
from serving.strategies.drafting.breaker import CircuitBreaker
from serving.strategies.drafting.faults import Deadline, VertexFault, retry_after
from serving.strategies.drafting.received import Received
from serving.strategies.drafting.spending import Account, SpendingLedger
from serving.strategies.prompt import Draft, Prompt, response_schema

if TYPE_CHECKING:
    import httpx
    from google.genai import Client
    from google.genai.types import BatchJob, GenerateContentConfig

T = TypeVar("T")
TRANSIENT: Final = frozenset({408, 429, 500, 502, 503, 504})
REFUSED: Final = frozenset({400, 401, 403, 404, 429})
"""Statuses with which the API has certainly not worked, and charges nothing."""
LOCAL: Final = frozenset({"127.0.0.1", "localhost"})
HARMS: Final = tuple(
    f"HARM_CATEGORY_{kind}" for kind in ("HARASSMENT", "HATE_SPEECH", "SEXUALLY_EXPLICIT", "DANGEROUS_CONTENT")
)
SUCCEEDED: Final = frozenset({"JOB_STATE_SUCCEEDED", "JOB_STATE_PARTIALLY_SUCCEEDED"})


class _Connection(NamedTuple):
    client: Client
    http: httpx.AsyncClient


class Vertex:
    """Asks one model; keeps its breaker, and shares its ledger with other processes.

    Each event loop that asks has connections of its own; `aclose` in the loop that used them.

    Args:
        settings: with a project.
        ledger: of spending.
        credentials: of google-auth; application-default where absent, none needed for a server on this machine.
    """

    def __init__(self, settings: VertexSettings, ledger: SpendingLedger, credentials: Any = None) -> None:
        self.settings, self.ledger = settings, ledger
        self.breaker = CircuitBreaker(settings.breaker_failures, settings.breaker_seconds)
        self._attempts = Attempts(settings, self.breaker, _fault)
        self._credentials = credentials
        self._made: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[_Connection]] = WeakKeyDictionary()

    async def draft(
        self, prompt: Prompt, account: Account, deadline: Deadline, progress: Callable[[int], None] | None = None
    ) -> Draft:
        """One draft; streamed where somebody wants to know how many characters have come.

        Args:
            account: that each attempt is charged to.

        Raises:
            VertexFault: there is none, and why.
        """
        least = self.cost(0, self.settings.max_output_tokens)
        if not await asyncio.to_thread(account.reaches, least):
            raise VertexFault("budget", "the budget does not reach for another call")
        tokens = await self.count(prompt, deadline)
        if tokens > self.settings.max_input_tokens:
            raise VertexFault("too long", f"{tokens} tokens of {self.settings.max_input_tokens}")
        return await self.asked(lambda left: self._paid(prompt, tokens, account, left, progress), deadline)

    async def count(self, prompt: Prompt, deadline: Deadline) -> int:
        """Tokens of a prompt, counted by the server; costs nothing.

        Raises:
            VertexFault: the server does not say.
        """
        return await self.asked(lambda left: self._count(prompt, left), deadline)

    async def asked(self, call: Callable[[float], Awaitable[T]], deadline: Deadline) -> T:
        """See `Attempts.asked`."""
        return await self._attempts.asked(call, deadline)

    @staticmethod
    def prepare() -> None:
        """Load the SDK, which takes seconds."""
        import google.genai  # noqa: F401

    async def connected(self) -> Client:
        """The client of this event loop; finding credentials may take seconds, so it is made off the loop."""
        return (await self._connection()).client

    def cost(self, asked: int, answered: int) -> float:
        """Dollars for so many tokens."""
        prices = self.settings.usd_per_million_input, self.settings.usd_per_million_output
        return (asked * prices[0] + answered * prices[1]) / 1e6

    async def aclose(self) -> None:
        """Close the connections of this event loop."""
        task = self._made.pop(asyncio.get_running_loop(), None)
        if task is None:
            return
        try:
            made = await task
        except VertexFault:
            return
        await made.client.aio.aclose()
        made.client.close()
        await made.http.aclose()

    async def _paid(
        self, prompt: Prompt, tokens: int, account: Account, left: float, progress: Callable[[int], None] | None
    ) -> Draft:
        """One call for which the most that it can cost is set aside first; without an answer it may have cost that."""
        call = await asyncio.to_thread(account.reserve, self.cost(tokens, self.settings.max_output_tokens))
        if call is None:
            self.breaker.abandoned()
            raise VertexFault("budget", "the budget does not reach for another call")
        try:
            answer = await self._generate(prompt, left, progress)
        except Exception as error:
            if _fault(error).code in REFUSED:
                await asyncio.to_thread(account.settle, call, 0.0, 0, 0)
            raise
        if answer.tokens:
            await asyncio.to_thread(account.settle, call, self.cost(*answer.tokens), *answer.tokens)
        return answer.draft()

    async def _generate(self, prompt: Prompt, left: float, progress: Callable[[int], None] | None) -> Received:
        models, model, config = (await self.connected()).aio.models, self.settings.model, self._config(prompt, left)
        answer = Received()
        if progress is None:
            answer.add(await models.generate_content(model=model, contents=prompt.text, config=config))
            return answer
        parts: AsyncIterator[Any] = await models.generate_content_stream(
            model=model, contents=prompt.text, config=config
        )
        async for part in parts:
            answer.add(part)
            progress(len(answer.text))
        return answer

    async def _count(self, prompt: Prompt, left: float) -> int:
        from google.genai import types

        client = await self.connected()
        shape = types.GenerationConfig(response_mime_type="application/json", response_json_schema=response_schema())
        config = types.CountTokensConfig(
            system_instruction=prompt.system, generation_config=shape, http_options=_patience(left)
        )
        counted = await client.aio.models.count_tokens(model=self.settings.model, contents=prompt.text, config=config)
        if not counted.total_tokens or counted.total_tokens < 0:
            raise VertexFault("down", "the server did not count tokens")
        return counted.total_tokens

    def _config(self, prompt: Prompt, left: float) -> GenerateContentConfig:
        from google.genai import types

        least = types.HarmBlockThreshold.BLOCK_MEDIUM_AND_ABOVE
        return types.GenerateContentConfig(
            system_instruction=prompt.system,
            response_mime_type="application/json",
            response_json_schema=response_schema(),
            temperature=self.settings.temperature,
            max_output_tokens=self.settings.max_output_tokens,
            safety_settings=[types.SafetySetting(category=types.HarmCategory(harm), threshold=least) for harm in HARMS],
            labels=dict(self.settings.labels),
            http_options=_patience(left),
        )

    async def _connection(self) -> _Connection:
        loop = asyncio.get_running_loop()
        task = self._made.get(loop)
        if task is None or (task.done() and (task.cancelled() or task.exception())):
            task = self._made[loop] = loop.create_task(asyncio.to_thread(self._connect))
        return await asyncio.shield(task)  # who gives up waiting leaves it to the others

    def _connect(self) -> _Connection:
        import httpx
        from google import genai
        from google.auth.exceptions import GoogleAuthError
        from google.genai.types import HttpOptions

        # A client of our own: the SDK's other transport repeats calls by itself, after 1 to 10 seconds.
        http = httpx.AsyncClient(follow_redirects=False)
        options = HttpOptions(base_url=self.settings.base_url, httpx_async_client=http)
        project, location = self.settings.project, self.settings.location
        try:
            client = genai.Client(
                vertexai=True, project=project, location=location, credentials=self.credentials(), http_options=options
            )
        except (GoogleAuthError, ValueError) as error:
            raise VertexFault("refused", f"no credentials: {error}", 401) from error
        return _Connection(client, http)

    def credentials(self) -> Any:
        """Those that were given, or ones for a server on this machine; None for application-default."""
        base = self.settings.base_url
        if self._credentials is None and base and urlsplit(base).hostname in LOCAL:
            return anonymous_credentials()
        return self._credentials


class Job(NamedTuple):
    """A batch prediction job as it stands; `name` is its resource name."""

    name: str
    state: str
    output: str | None
    error: str | None

    @property
    def succeeded(self) -> bool:
        """Whether there is output to read."""
        return self.state in SUCCEEDED


class VertexBatches:
    """Batch prediction jobs, and the files in Cloud Storage that they read and write.

    `STORAGE_EMULATOR_HOST` names another server for the files, as everywhere in Google's SDK.
    """

    def __init__(self, vertex: Vertex) -> None:
        self._vertex, self._settings = vertex, vertex.settings

    async def submit(self, name: str, source: str, target: str, deadline: Deadline) -> Job:
        """Make a job, or find the one that was made under this display name.

        Args:
            source: address of the input in Cloud Storage, one request a line.
            target: of the folder for its output.

        Raises:
            VertexFault: neither worked.
        """
        from google.genai import types

        async def make(left: float) -> Job:
            batches, wait = (await self._vertex.connected()).aio.batches, _patience(left)
            listed = types.ListBatchJobsConfig(filter=f'display_name="{name}"', http_options=wait)
            async for job in await batches.list(config=listed):
                if job.display_name == name:
                    return _job(job)
            place = types.BatchJobDestination(format="jsonl", gcs_uri=target)
            config = types.CreateBatchJobConfig(display_name=name, dest=place, http_options=wait)
            return _job(await batches.create(model=self._settings.model, src=source, config=config))

        return await self._vertex.asked(make, deadline)

    async def job(self, name: str, deadline: Deadline) -> Job:
        """A job by its resource name, as it stands.

        Raises:
            VertexFault: nobody says.
        """
        from google.genai import types

        async def get(left: float) -> Job:
            batches = (await self._vertex.connected()).aio.batches
            return _job(await batches.get(name=name, config=types.GetBatchJobConfig(http_options=_patience(left))))

        return await self._vertex.asked(get, deadline)

    def upload(self, path: Path, address: str) -> None:
        """Put a file where a job can read it; what was there before is replaced.

        Raises:
            VertexFault: it could not be put there.
        """
        with _storage_faults():
            self._blob(address).upload_from_filename(str(path), content_type="application/jsonl")

    def download(self, address: str, folder: Path) -> list[Path]:
        """Every file of lines below an address, in a folder here.

        Raises:
            VertexFault: they could not be read.
        """
        with _storage_faults():
            bucket, _, prefix = address.removeprefix("gs://").partition("/")
            found = [blob for blob in self._storage().list_blobs(bucket, prefix=prefix) if blob.name.endswith(".jsonl")]
            paths = [folder / f"{place}.jsonl" for place, _ in enumerate(found)]
            for blob, path in zip(found, paths, strict=True):
                blob.download_to_filename(str(path))
        return paths

    def _blob(self, address: str) -> Any:
        bucket, _, name = address.removeprefix("gs://").partition("/")
        return self._storage().bucket(bucket).blob(name)

    def _storage(self) -> Any:
        from google.cloud import storage  # type: ignore[attr-defined]

        return storage.Client(project=self._settings.project, credentials=self._vertex.credentials())


@contextmanager
def _storage_faults() -> Iterator[None]:
    """Errors of Cloud Storage as faults."""
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError
    from google.cloud.exceptions import GoogleCloudError

    try:
        yield
    except (GoogleAPIError, GoogleCloudError, OSError) as error:
        raise VertexFault("down", f"Cloud Storage: {type(error).__name__}: {error}") from error
    except GoogleAuthError as error:
        raise VertexFault("refused", f"Cloud Storage: {error}", 401) from error


def _job(told: BatchJob) -> Job:
    output = told.output_info.gcs_output_directory if told.output_info else None
    error = told.error.message if told.error else None
    return Job(told.name or "", told.state.value if told.state else "", output, error)


def anonymous_credentials() -> Any:
    """Credentials for a server that wants none; without a token they would try to refresh."""
    from google.auth.credentials import AnonymousCredentials

    credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]
    credentials.token = "local"
    return credentials


def _patience(seconds: float) -> Any:
    from google.genai.types import HttpOptions

    return HttpOptions(timeout=max(1, math.floor(seconds * 1000)))


def _fault(error: Exception) -> VertexFault:
    """An error of the SDK or of the network as a fault; any other error as it is."""
    import httpx
    from google.auth.exceptions import GoogleAuthError
    from google.genai.errors import APIError, UnknownApiResponseError

    said = type(error).__name__
    if isinstance(error, VertexFault):
        return error
    if isinstance(error, APIError):
        headers = getattr(error.response, "headers", None) or {}
        reason = "down" if error.code in TRANSIENT else "refused"
        return VertexFault(reason, f"status {error.code}", error.code, retry_after(headers.get("retry-after")))
    if isinstance(error, TimeoutError | httpx.HTTPError | OSError):
        return VertexFault("down", said)
    if isinstance(error, UnknownApiResponseError | ValueError):
        return VertexFault("unreadable", said)
    if isinstance(error, GoogleAuthError):
        return VertexFault("refused", said, 401)
    raise error
