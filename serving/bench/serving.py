"""Three servers side by side on one drawn world and one model: the tutorial's, this one, and the bare scorers."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import configs
from configs import Settings
from models.interactions import Floats
from models.ranker import Ranker
from serving.bench import tutorial
from serving.bench.bars import judged
from serving.bench.load import Answered, LoadClient, write_bodies
from serving.bench.processes import Server, ending_on_signals, machine, service
from serving.bench.processes import tutorial as tutorial_server
from serving.bench.rankers import (
    LEAVES,
    REFERENCE_FEATURES,
    TREES,
    Reference,
    champion,
    reference_rows,
    release,
    rows_of,
)
from serving.bench.scorers import BareScorers
from serving.bench.world import World
from serving.errors import BenchmarkFault

ROUTE: Final = "/v1/recommendations"
ROUNDS: Final = 3
CLIENTS: Final = 8
WORKERS: Final = 2
MOST_CREATORS: Final = 2_000
PACE: Final = 0.7
K: Final = 20
TIMES: Final = 10
"""How many times the candidates, and the trends, of the figures that show how they grow."""

SWAP_SECONDS: Final = 90.0
WARM_UP: Final = 0.3
"""Of the seconds of a figure, before the first of its rounds."""

SEED: Final = 0

Told = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What is measured, and for how long.

    Attributes:
        candidates: that the trees of the reference score.
        trends: that are live.
        seconds: of every figure, over all rounds.
        quick: leave out what takes another world, or more candidates.
        redis: `host:port` of the tutorial's online store; SQLite where absent.
        tutorial_workers: processes of the tutorial's server.
    """

    candidates: int
    trends: int
    seconds: float
    quick: bool
    redis: str | None = None
    tutorial_workers: int = 1


def serving(plan: Plan, cache: Path, told: Told) -> dict[str, Any]:
    """Run the benchmark in a state folder of its own; the figures fit JSON.

    Args:
        cache: where the compiled load client is kept.
        told: takes what is going on.

    Raises:
        BenchmarkFault: there is no compiler, a server did not start, or a request failed.
    """
    with ending_on_signals(), tempfile.TemporaryDirectory(prefix="harmonic-bench-") as folder:
        client = LoadClient.compiled(cache)
        return _Benchmark(plan, client, Path(folder), told).figures()


class _Benchmark:
    """One run of the benchmark; arguments as of `serving`."""

    def __init__(self, plan: Plan, client: LoadClient, folder: Path, told: Told) -> None:
        self._plan, self._client, self._folder, self._told = plan, client, folder, told
        self._settings = _own(folder / "home")
        self._creators = min(MOST_CREATORS, 2 * plan.trends)
        told(f"drawing {plan.trends:,} trends and {self._creators:,} creators")
        self._world = World.of(plan.trends, self._creators, SEED, self._settings.trends)
        told(f"learning the reference model: {TREES} trees × {LEAVES} leaves × {len(REFERENCE_FEATURES)} features")
        self._rows = rows_of(self._world, self._settings.ranker)
        self._reference = Reference.of(self._rows, plan.candidates, self._settings.ranker)
        bodies = [{"creator_id": creator.creator_id, "k": K} for creator in self._world.creators]
        self._bodies = write_bodies(folder / "bodies.jsonl", bodies)

    def figures(self) -> dict[str, Any]:
        plan, before = self._plan, machine()
        self._world.publish(self._settings)
        self._release(self._reference.ranker, "reference", self._settings)
        with ExitStack() as alone:
            one = alone.enter_context(service(self._settings, 1, "service of 1 worker"))
            with ExitStack() as beside:
                figures = self._beside(one, beside)
            figures["champion"] = self._champion(one)
            if not plan.quick:
                figures["many_candidates"] = self._many_candidates(one)
                figures["many_trends"] = self._many_trends(one)
        shape = {"trees": TREES, "leaves": LEAVES, "features": len(REFERENCE_FEATURES)}
        head = {"machine": before, "candidates": plan.candidates, "trends": plan.trends, "k": K, "model": shape}
        whole = {**head, **figures, "ratios": _ratios(figures), "load_average_after": machine()["load_average"]}
        return {**whole, "bars": judged(whole)}

    def _beside(self, one: Server, started: ExitStack) -> dict[str, Any]:
        """The tutorial's server, this service with one worker and with two, and the bare scorers, round by round."""
        plan = self._plan
        two = started.enter_context(service(self._settings, WORKERS, f"service of {WORKERS} workers"))
        self._told("bringing the features into Feast's online store, for the tutorial's server")
        tutorial.prepare(self._world, self._reference, plan.candidates, self._settings.home, plan.redis)
        other = started.enter_context(tutorial_server(self._settings, plan.tutorial_workers))
        bare = self._bare(self._reference.ranker, plan.candidates, [self._reference.booster], reference_rows)
        self._wait(one, two)
        other.wait_until_ready(tutorial.READY)
        self._told("1 client: the tutorial's server, this service, the bare scorers in turn")
        single = self._interleaved({"tutorial": (other, 1), "service": (one, 1)}, bare)
        self._told(f"{CLIENTS} clients")
        many = self._interleaved({"tutorial": (other, CLIENTS), "service": (two, CLIENTS)})
        self._told(f"{CLIENTS} clients at {PACE:.0%} of the highest throughput")
        paced = Answered.joined(self._paced(two) for _ in range(ROUNDS))
        return {
            "tutorial": {**_latency(single["tutorial"]), "rps_8": many["tutorial"].rate},
            "service": {
                **_latency(single["service"]),
                "rps_8": many["service"].rate,
                "rss_mb": max(two.worker_memory().values()),
                "p99_at_70_ms": paced.quantile(0.99),
            },
            **_bare_figures(bare),
        }

    def _champion(self, one: Server) -> dict[str, Any]:
        self._told("the champion's shape")
        ranker = champion(self._rows, self._settings.ranker)
        self._swap(one, ranker, "as-trained")
        own = self._bare(ranker, ranker.shortlist, ranker.boosters)
        alike = self._bare(ranker, self._plan.candidates, ranker.boosters)
        found = self._interleaved({"service": (one, 1)}, own)
        alike.run(self._plan.seconds / ROUNDS)
        whole = {"trees": ranker.trees, "candidates": own.rows, **_latency(found["service"]), **_bare_figures(own)}
        return {**whole, "lightgbm_predict_as_many_ms": alike.milliseconds("predict")}

    def _many_candidates(self, one: Server) -> dict[str, Any]:
        most = min(TIMES * self._plan.candidates, self._plan.trends)
        self._told(f"{most:,} candidates")
        ranker = replace(self._reference.ranker, shortlist=most)
        self._swap(one, ranker, "many-candidates")
        bare = self._bare(ranker, most, [self._reference.booster], reference_rows, creators=4)
        found = self._interleaved({"service": (one, 1)}, bare)
        return {"candidates": bare.rows, **_latency(found["service"]), **_bare_figures(bare)}

    def _many_trends(self, one: Server) -> dict[str, Any]:
        trends = TIMES * self._plan.trends
        self._told(f"{trends:,} trends beside {self._plan.trends:,}")
        settings = _own(self._folder / "larger")
        World.of(trends, self._creators, SEED, settings.trends).publish(settings)
        self._release(self._reference.ranker, "reference", settings)
        with service(settings, 1, "service of many trends") as larger:
            self._swap(one, self._reference.ranker, "reference-again")
            self._wait(larger)
            found = self._interleaved({"few": (one, 1), "many": (larger, 1)})
            memory = max(larger.worker_memory().values())
        few, many = found["few"], found["many"]
        growth = many.quantile(0.5) / few.quantile(0.5)
        return {
            "trends": trends,
            **_latency(many),
            "rss_mb": memory,
            "p50_of_few_ms": few.quantile(0.5),
            "growth": growth,
        }

    def _bare(
        self,
        ranker: Ranker,
        candidates: int,
        boosters: Any,
        columns: Callable[[Floats], Floats] | None = None,
        creators: int = 20,
    ) -> BareScorers:
        some = self._world.creators[:creators]
        more = {} if columns is None else {"columns": columns}
        return BareScorers(ranker, self._world.market, some, candidates, boosters, **more)

    def _interleaved(
        self, servers: Mapping[str, tuple[Server, int]], bare: BareScorers | None = None
    ) -> dict[str, Answered]:
        """Every server asked by so many clients, in rounds, so that noise meets all alike."""
        seconds = self._plan.seconds / ROUNDS
        found: dict[str, list[Answered]] = {name: [] for name in servers}
        for server, clients in servers.values():
            self._asked(server, clients, WARM_UP * self._plan.seconds)
        for _ in range(ROUNDS):
            for name, (server, clients) in servers.items():
                found[name].append(self._asked(server, clients, seconds))
            if bare:
                bare.run(seconds / 2)
        return {name: Answered.joined(parts) for name, parts in found.items()}

    def _paced(self, server: Server) -> Answered:
        """A share of the highest throughput, taken anew right before: the machine may have other work by now."""
        highest = self._asked(server, CLIENTS, self._plan.seconds / ROUNDS).rate
        return self._asked(server, CLIENTS, self._plan.seconds / ROUNDS, PACE * highest)

    def _asked(self, server: Server, clients: int, seconds: float, rate: float = 0.0) -> Answered:
        route = tutorial.ROUTE if server.name.startswith("tutorial") else ROUTE
        found = self._client.run(server.port, route, self._bodies, clients, seconds, rate)
        if found.failed or not len(found.milliseconds):
            said = server.log.read_text(errors="replace")[-1000:]
            raise BenchmarkFault(f"{found.failed} requests to the {server.name} failed; it said: {said}")
        return found

    def _wait(self, *servers: Server) -> None:
        for server in servers:
            server.wait_until_ready("/readyz")
            slate = server.ask(ROUTE, {"creator_id": self._world.creators[0].creator_id, "k": K})
            if not slate["known_creator"] or slate["degraded"] or not slate["items"]:
                raise BenchmarkFault(f"the {server.name} does not know the drawn creators")

    def _release(self, ranker: Ranker, version: str, settings: Settings) -> None:
        release(ranker, self._rows, version, settings.released_models)

    def _swap(self, server: Server, ranker: Ranker, version: str) -> None:
        """Release another ranker, and wait until the server answers with it."""
        self._release(ranker, version, self._settings)
        body = {"creator_id": self._world.creators[0].creator_id, "k": K}
        deadline = time.monotonic() + SWAP_SECONDS
        while server.ask(ROUTE, body)["model"] != version:
            if time.monotonic() > deadline:
                raise BenchmarkFault(f"the {server.name} did not take the model «{version}» in")
            time.sleep(0.2)


def _own(home: Path) -> Settings:
    home.mkdir(parents=True)
    return configs.load(home=home)


def _latency(found: Answered) -> dict[str, Any]:
    return {"p50_ms": found.quantile(0.5), "p99_ms": found.quantile(0.99), "requests": len(found.milliseconds)}


def _bare_figures(bare: BareScorers) -> dict[str, float]:
    return {
        "lightgbm_predict_ms": bare.milliseconds("predict"),
        "scorer_ms": bare.milliseconds("scorer"),
        "pick_and_score_ms": bare.milliseconds("pick_and_score"),
    }


def _ratios(figures: Mapping[str, Any]) -> dict[str, float]:
    """The figures that the bars speak of."""
    other, own = figures["tutorial"], figures["service"]
    ratios = {
        "request_to_predict": own["p50_ms"] / figures["lightgbm_predict_ms"],
        "p99_to_p50": own["p99_ms"] / own["p50_ms"],
        "tutorial_to_service_p50": other["p50_ms"] / own["p50_ms"],
        "service_to_tutorial_rps": own["rps_8"] / other["rps_8"],
        "champion_request_to_predict": figures["champion"]["p50_ms"]
        / figures["champion"]["lightgbm_predict_as_many_ms"],
    }
    if many := figures.get("many_candidates"):
        ratios["many_candidates_request_to_predict"] = many["p50_ms"] / many["lightgbm_predict_ms"]
    if larger := figures.get("many_trends"):
        ratios["many_trends_growth"] = larger["growth"]
    return ratios
