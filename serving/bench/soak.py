"""The service under half its load for minutes, with events and a changing market: shows whether its memory grows."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import fmean
from typing import Any, Final

import configs
from features.patches.log import TrendRows
from serving.assemble import patch_log
from serving.bench.load import Answered, LoadClient, write_bodies
from serving.bench.processes import Server, ending_on_signals, machine, service
from serving.bench.rankers import champion, release, rows_of
from serving.bench.world import AS_OF, World, market_change
from serving.errors import BenchmarkFault

WORKERS: Final = 2
CLIENTS: Final = 8
TRENDS: Final = 5_000
CREATORS: Final = 2_000
EVENTS_PER_SECOND: Final = 20.0
CHANGES_PER_SECOND: Final = 2.0
ROWS_OF_CHANGE: Final = 40
WHOLE_EVERY: Final = 120
"""Changes between two pictures of the whole market: the consumer's `stream.refresh_seconds`."""

SAMPLES: Final = 60
WARM: Final = 0.2
"""Of the time, after which the memory is taken to have settled."""

Told = Callable[[str], None]


@dataclass(frozen=True)
class Sample:
    """The resident memory of every worker (process id → MiB), so many seconds after the load began."""

    seconds: float
    memory: dict[int, float]


def soak(minutes: float, load: float, cache: Path, told: Told) -> dict[str, Any]:
    """Run it on a drawn world in a state folder of its own; the figures fit JSON.

    Args:
        minutes: how long.
        load: share of the highest throughput.
        cache: where the compiled load client is kept.
        told: takes what is going on.

    Raises:
        BenchmarkFault: there is no compiler, the service did not start, or a worker died.
    """
    with ending_on_signals(), tempfile.TemporaryDirectory(prefix="harmonic-soak-") as folder:
        client, home = LoadClient.compiled(cache), Path(folder) / "home"
        home.mkdir()
        settings = configs.load(home=home)
        told(f"drawing {TRENDS:,} trends and {CREATORS:,} creators")
        world = World.of(TRENDS, CREATORS, 0, settings.trends)
        world.publish(settings)
        rows = rows_of(world, settings.ranker)
        release(champion(rows, settings.ranker), rows, "as-trained", settings.released_models)
        with service(settings, WORKERS, f"service of {WORKERS} workers") as server:
            server.wait_until_ready("/readyz")
            return _soaked(server, world, settings, client, minutes, load, Path(folder), told)


def _soaked(
    server: Server, world: World, settings: configs.Settings, client: LoadClient, minutes: float, load: float,
    folder: Path, told: Told,
) -> dict[str, Any]:  # fmt: skip
    seconds = 60 * minutes
    slates = write_bodies(folder / "slates.jsonl", ({"creator_id": c.creator_id} for c in world.creators))
    events = write_bodies(folder / "events.jsonl", _events(world, int(seconds * EVENTS_PER_SECOND) + 1))
    before, started = machine(), server.worker_memory()
    told("the highest throughput")
    client.run(server.port, "/v1/recommendations", slates, CLIENTS, min(5, seconds / 6))
    highest = client.run(server.port, "/v1/recommendations", slates, CLIENTS, min(10, seconds / 3)).rate
    told(f"{minutes:g} minutes at {load:.0%} of {highest:,.0f} requests/s, {EVENTS_PER_SECOND:g} events/s")
    asking = client.start(server.port, "/v1/recommendations", slates, CLIENTS, seconds, load * highest)
    telling = client.start(server.port, "/v1/events", events, 2, seconds, EVENTS_PER_SECOND)
    try:
        with _changing_market(world, settings) as changes:
            samples = list(_sampled(server, seconds))
        answered, acknowledged = asking.wait(), telling.wait()
    finally:
        asking.stop()
        telling.stop()
    figures = {"machine": before, "minutes": minutes, "load": load, "highest_rps": highest, "trends": TRENDS}
    return {**figures, **_told(answered, acknowledged, changes), **_memory(started, samples)}


def _events(world: World, count: int) -> Iterator[dict[str, Any]]:
    """Posts of the world's creators with live hashtags, one after another right after the market's instant."""
    tags = world.market.ids[world.market.types == "hashtag"].tolist()
    for number in range(count):
        creator = world.creators[number * 7 % len(world.creators)].creator_id
        post = {"event_id": f"soak-{number}", "kind": "post", "id": f"soak-{number}", "creator_id": creator}
        created = AS_OF + timedelta(milliseconds=number)
        listed = [tags[number * step % len(tags)] for step in (1, 3, 5)]
        yield {"events": [{**post, "create_time": created.isoformat(), "hashtags": listed}]}


@contextmanager
def _changing_market(world: World, settings: configs.Settings) -> Iterator[list[int]]:
    """Patch the market as a consumer of events would, from a thread; gives the places of the patches."""
    log, stopped, places = patch_log(settings), threading.Event(), list[int]()

    def change() -> None:
        while not stopped.wait(1 / CHANGES_PER_SECOND):
            is_whole = len(places) % WHOLE_EVERY == WHOLE_EVERY - 1
            frame, at = market_change(world, len(places), len(world.frame) if is_whole else ROWS_OF_CHANGE)
            places.append(log.append([TrendRows.of(frame, at)], 0))
            if is_whole:
                log.mark_whole(places[-1])

    thread = threading.Thread(target=change, name="market")
    thread.start()
    try:
        yield places
    finally:
        stopped.set()
        thread.join()


def _sampled(server: Server, seconds: float) -> Iterator[Sample]:
    began = time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        yield Sample(passed, server.worker_memory())
        time.sleep(min(seconds / SAMPLES, seconds - passed))


def _told(answered: Answered, acknowledged: Answered, changes: list[int]) -> dict[str, Any]:
    return {
        "requests": len(answered.milliseconds),
        "rps": answered.rate,
        "failed": answered.failed + acknowledged.failed,
        "p50_ms": answered.quantile(0.5),
        "p99_ms": answered.quantile(0.99),
        "events": len(acknowledged.milliseconds),
        "event_p99_ms": acknowledged.quantile(0.99),
        "market_changes": len(changes),
    }


def _memory(started: dict[int, float], samples: list[Sample]) -> dict[str, Any]:
    """Each worker's memory at the start, once warm, and at the end, both of these averaged over a tenth of the time."""
    if any(sample.memory.keys() != started.keys() for sample in samples):
        raise BenchmarkFault("a worker died and was started again")
    warm, tenth = int(WARM * len(samples)), max(1, len(samples) // 10)
    workers = []
    for pid, begun in started.items():
        settled = fmean(sample.memory[pid] for sample in samples[warm : warm + tenth])
        ended = fmean(sample.memory[pid] for sample in samples[-tenth:])
        growth = 100 * (ended / settled - 1)
        workers.append({"start_mb": begun, "warm_mb": settled, "end_mb": ended, "growth_percent": growth})
    return {"workers": workers, "growth_percent": max(worker["growth_percent"] for worker in workers)}
