"""Jobs: one strategy, or those of many creators into one file, in one job of Vertex AI where that is set up."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from serving.errors import ServingError
from serving.strategies.answers import WrittenStrategy
from serving.strategies.drafting.batch import StrategyBatch, Tell
from serving.strategies.schemas import Evidence, StrategyRequest
from serving.strategies.strategist import Strategist

Clock = Callable[[], datetime]

AT_ONCE: Final = 500
COLUMNS: Final = (
    "creator_id", "strategy_id", "locale", "as_of", "writer", "fallback", "cached", "claims", "faults", "calls",
    "input_tokens", "output_tokens", "usd", "strategy",
)  # fmt: skip
"""Of a Parquet file; `strategy` is the whole answer as JSON."""


class UnknownFormat(ServingError):
    """A file that is neither JSONL nor Parquet."""

    title = "Unknown format"


def strategies_of_many(
    strategist: Strategist, requests: Sequence[StrategyRequest], clock: Clock, path: Path, tell: Tell
) -> dict[str, Any]:
    """Write a strategy for each request, in their order; the file is there when it is whole.

    A job of Vertex AI that was left is taken up again by the same requests for the same file.

    Args:
        clock: the present instant, UTC: asked whenever evidence is gathered, and when a job's answers are there.
        path: `.jsonl` or `.parquet`.
        tell: how far it is, and the share.

    Returns:
        How many strategies, by which writer, why not the model, and what it cost.

    Raises:
        UnknownFormat: of the path.
        AnotherOrder, JobWaits, VertexFault: see `StrategyBatch.finish`.
        NotReady: nothing serves.
    """
    return asyncio.run(_all(strategist, requests, clock, path, tell))


def one_strategy(
    strategist: Strategist, request: StrategyRequest, now: datetime, tell: Tell
) -> tuple[WrittenStrategy, Evidence]:
    """One creator's strategy, with the evidence that it rests on.

    Raises:
        NotReady: nothing serves.
    """

    async def write() -> tuple[WrittenStrategy, Evidence]:
        commission = strategist.commission(request, now)
        try:
            async with aclosing(strategist.answering(commission)) as events:
                async for event in events:
                    if isinstance(event, WrittenStrategy):
                        answer = event
                    else:
                        tell(f"{event.stage} {event.characters:,} characters" if event.characters else event.stage, 0.0)
        finally:
            await strategist.aclose()
        return answer, commission.evidence

    return asyncio.run(write())


async def _all(
    strategist: Strategist, requests: Sequence[StrategyRequest], clock: Clock, path: Path, tell: Tell
) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    usd = 0.0
    try:
        with _File(path) as file:
            async with aclosing(_answers(strategist, requests, clock, path, tell)) as answers:
                async for answer in answers:
                    file.add(answer)
                    counts.update([answer.writer, f"why: {answer.fallback}" if answer.fallback else "proven"])
                    usd += answer.cost.usd
                    tell(f"{file.count:,} strategies", file.count / len(requests))
    finally:
        await strategist.aclose()
    shutil.rmtree(_job_folder(path), ignore_errors=True)
    why = {name.removeprefix("why: "): count for name, count in counts.items() if name.startswith("why: ")}
    writers = {name: counts[name] for name in ("vertex", "deterministic")}
    return {"strategies": file.count, **writers, "fallbacks": why, "usd": round(usd, 6), "path": str(path)}


async def _answers(
    strategist: Strategist, requests: Sequence[StrategyRequest], clock: Clock, path: Path, tell: Tell
) -> AsyncGenerator[WrittenStrategy, None]:
    vertex = strategist.vertex
    if vertex is None or vertex.settings.batch.folder is None:
        at_once = vertex.settings.batch.counts_at_once if vertex else 1
        for place in range(0, len(requests), at_once):
            now, few = clock(), requests[place : place + at_once]
            some = [strategist.commission(request, now) for request in few]
            for answer in await asyncio.gather(*map(strategist.answer, some)):
                yield answer
        return
    batch = StrategyBatch(strategist, vertex, _job_folder(path))
    await batch.finish(requests, clock(), tell)
    async for answer in batch.answers(clock()):
        yield answer


def _job_folder(path: Path) -> Path:
    """Where a job for a file is remembered until the file is there."""
    return path.with_name(f".{path.name}.job")


class _File:
    """Rows that become a file when all of them are there."""

    def __init__(self, path: Path) -> None:
        if path.suffix not in (".jsonl", ".parquet"):
            raise UnknownFormat(f"{path}: name a .jsonl or a .parquet file")
        self._path, self._staged, self.count = path, path.with_name(f".{path.name}.part"), 0
        self._rows: list[WrittenStrategy] = []
        self._parquet: Any = None

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._staged.unlink(missing_ok=True)
        return self

    def add(self, answer: WrittenStrategy) -> None:
        """One more row."""
        self.count += 1
        self._rows.append(answer)
        if len(self._rows) >= AT_ONCE:
            self._flush()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is None:
            self._flush()
        if self._parquet is not None:
            self._parquet.close()
        if error is None:
            self._staged.replace(self._path)
        else:
            self._staged.unlink(missing_ok=True)

    def _flush(self) -> None:
        if self._path.suffix == ".jsonl":
            with self._staged.open("a", encoding="utf-8") as file:
                file.writelines(f"{answer.model_dump_json()}\n" for answer in self._rows)
        else:
            self._flush_parquet()
        self._rows.clear()

    def _flush_parquet(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        kinds = {"as_of": pa.timestamp("us", "UTC"), "cached": pa.bool_(), "usd": pa.float64()}
        counts = ("claims", "faults", "calls", "input_tokens", "output_tokens")
        kinds |= {name: pa.int64() for name in counts}
        schema = pa.schema([(name, kinds.get(name, pa.string())) for name in COLUMNS])
        if self._parquet is None:
            self._parquet = pq.ParquetWriter(self._staged, schema)
        self._parquet.write_table(pa.Table.from_pylist([_row(answer) for answer in self._rows], schema))


def _row(answer: WrittenStrategy) -> dict[str, Any]:
    told = answer.model_dump(include={"creator_id", "strategy_id", "locale", "as_of", "writer", "fallback", "cached"})
    check = {"claims": answer.check.claims, "faults": len(answer.check.faults)}
    return {**told, **check, **answer.cost.model_dump(), "strategy": answer.model_dump_json()}
