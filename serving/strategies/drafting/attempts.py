"""Calls to a server that may fail: again where it may help, within a deadline, and never past an open breaker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from configs import VertexSettings
from serving.strategies.drafting.breaker import CircuitBreaker
from serving.strategies.drafting.faults import Deadline, VertexFault

T = TypeVar("T")


class Attempts:
    """Attempts of calls to one server.

    Args:
        settings: how many, how long each, and how long to wait.
        breaker: of the server; learns from every call.
        told: an error of the client as a fault; it raises what it does not know.
    """

    def __init__(
        self, settings: VertexSettings, breaker: CircuitBreaker, told: Callable[[Exception], VertexFault]
    ) -> None:
        self._settings, self._breaker, self._told = settings, breaker, told

    async def asked(self, call: Callable[[float], Awaitable[T]], deadline: Deadline) -> T:
        """A call, again where it may help and time is left: as late as the server says, never past an open breaker.

        Args:
            call: takes the seconds that it may take.

        Raises:
            VertexFault: it failed for good.
        """
        from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

        usual = wait_random_exponential(multiplier=self._settings.wait_seconds, max=10)

        def wait(state: RetryCallState) -> float:
            fault = state.outcome.exception() if state.outcome else None
            told = fault.retry_after if isinstance(fault, VertexFault) else None
            return usual(state) if told is None else told

        def stop(state: RetryCallState) -> bool:
            wait = state.upcoming_sleep
            late = wait >= deadline.seconds or wait > self._settings.timeout_seconds
            return late or state.attempt_number >= self._settings.attempts

        def helps(fault: BaseException) -> bool:
            return isinstance(fault, VertexFault) and fault.is_transient

        again = AsyncRetrying(wait=wait, stop=stop, retry=retry_if_exception(helps), reraise=True)
        return await again(self._guarded, call, deadline)

    async def _guarded(self, call: Callable[[float], Awaitable[T]], deadline: Deadline) -> T:
        """One call through the breaker, its errors told as faults."""
        left = min(self._settings.timeout_seconds, deadline.seconds)
        if left <= 0:
            raise VertexFault("deadline", "no time is left")
        if not self._breaker.allows():
            raise VertexFault("open", "the model's server has failed too often")
        try:
            async with asyncio.timeout(left):
                found = await call(left)
        except asyncio.CancelledError:
            self._breaker.abandoned()
            raise
        except Exception as error:
            told = self._told(error)
            self._learn(told)
            if told is error:
                raise
            raise told from error
        self._breaker.succeeded()
        return found

    def _learn(self, fault: VertexFault) -> None:
        if fault.is_transient or fault.code in (401, 403, 404):
            self._breaker.failed(fault.retry_after)
        elif fault.reason in ("blocked", "empty", "cut off", "unreadable", "refused"):
            self._breaker.succeeded()
