"""Verbs of the command line that measure and print figures: `harmonic bench …`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

import configs
from configs.console import note, print_json, say
from configs.options import AsJson

bench = typer.Typer(help="Benchmarks: commands that print figures.", no_args_is_help=True)


@bench.command()
def freshness(
    rate: Annotated[float, typer.Option(min=1, help="Events a second.")] = 200,
    seconds: Annotated[float, typer.Option(min=1)] = 30,
    trials: Annotated[int, typer.Option(min=0, help="Posts that are followed by a request at once.")] = 1_000,
    as_json: AsJson = False,
) -> None:
    """How soon every worker shows an acknowledged event, on a copy of what is published.

    Example: `harmonic bench freshness --rate 200 --seconds 30 --json`
    """
    from serving.bench.freshness import freshness as run

    _tell(run(configs.current(), rate, seconds, trials, _silent if as_json else say), "{}: {}", as_json)


@bench.command("serving")
def bench_serving(
    candidates: Annotated[int, typer.Option(min=10, max=5_000, help="That the trees score.")] = 500,
    trends: Annotated[int, typer.Option(min=100, help="Live ones.")] = 5_000,
    seconds: Annotated[float, typer.Option(min=0.1, help="Of every figure.")] = 5,
    quick: Annotated[bool, typer.Option("--quick", help="Without ten times the candidates, and the trends.")] = False,
    redis: Annotated[
        str | None, typer.Option(help="host:port of the tutorial's Feast; SQLite where absent.", show_default=False)
    ] = None,
    tutorial_workers: Annotated[int, typer.Option(min=1, help="Processes of the tutorial's server.")] = 1,
    as_json: AsJson = False,
) -> None:
    """This service, the stack of the tutorials and the bare scorers, side by side on a drawn world.

    Example: `harmonic bench serving --candidates 500 --json`
    """
    from serving.bench.bars import table
    from serving.bench.serving import Plan, serving

    plan = Plan(candidates, trends, seconds, quick, redis, tutorial_workers)
    figures = serving(plan, configs.current().home / "cache", note)
    if as_json:
        print_json(figures)
        return
    from rich.console import Console

    Console().print(table(figures))


@bench.command()
def soak(
    minutes: Annotated[float, typer.Option(min=0.1)] = 10,
    load: Annotated[float, typer.Option(min=0.01, max=1, help="Share of the highest throughput.")] = 0.5,
    as_json: AsJson = False,
) -> None:
    """The service under load for minutes, with events and a changing market: memory of every worker, failures, p99.

    Example: `harmonic bench soak --minutes 10 --json`
    """
    from serving.bench.soak import soak as run

    _tell(run(minutes, load, configs.current().home / "cache", note), "{:>16}  {}", as_json)


@bench.command()
def offline(
    rows: Annotated[int, typer.Option(min=1, help="Labels.")] = 1_000_000,
    source_rows: Annotated[int, typer.Option(min=1, help="Rows of the feature view.")] = 5_000_000,
    as_json: AsJson = False,
) -> None:
    """The point-in-time join beside a bare DuckDB ASOF join and Feast's own.

    Example: `harmonic bench offline --rows 100000 --source-rows 500000`
    """
    from features.bench import offline_join

    _tell(offline_join(rows, source_rows), "{:>28}  {}", as_json)


def _tell(figures: Mapping[str, Any], line: str, as_json: bool) -> None:
    """Figures as JSON, or one a line in the given format of name and value."""
    if as_json:
        print_json(figures)
        return
    for name, value in figures.items():
        say(line.format(name, value))


def _silent(_: str) -> None:
    """For machines: nothing but JSON is printed."""
