"""Verbs of the command line that put recipes to the test: back-tests and public benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import configs
from configs.console import print_json, progress, say, write_parquet
from configs.options import AsJson, Horizon, Out, TrendType
from models.commands import tell_forecasts
from models.workspace import Workspace

backtest = typer.Typer(help="Back-tests: every step sees only its past.", no_args_is_help=True)
benchmark = typer.Typer(
    help="Public benchmarks, through the product's own generators and ranker.", no_args_is_help=True
)


@backtest.command("forecast")
def backtest_forecast(
    out: Out, trend_type: TrendType = "hashtag", horizon: Horizon = 7, as_json: AsJson = False
) -> None:
    """Forecasts at every weekly cut-off, each seeing only its past.

    Example: `harmonic backtest forecast --type hashtag --horizon 7 --out backtest.parquet`
    """
    from training.backtest import backtest as run

    work = Workspace()
    with progress("backtest") as told:
        table = run(work.lake, trend_type, horizon, work.settings.forecast, told)
        write_parquet(table, out)
    tell_forecasts(len(table), int(table["cutoff"].nunique()), out, as_json)


@benchmark.command("tiktok")
def benchmark_tiktok(
    train: Annotated[Path, typer.Option(help="Parquet: user, item.")],
    val: Annotated[Path, typer.Option(help="Parquet: user, item.")],
    out: Out,
    image: Annotated[Path | None, typer.Option(help="Vectors per item, .npy.", show_default=False)] = None,
    audio: Annotated[Path | None, typer.Option(help="Vectors per item, .npy.", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """The micro-video benchmark: learn from train, list 20 items per user, score on val.

    Example: `harmonic benchmark tiktok --train a.parquet --val b.parquet --image i.npy --audio j.npy --out r.parquet`
    """
    from training.benchmark import benchmark_tiktok as run

    with progress("benchmark") as told:
        result = run(train, val, image, audio, configs.current().benchmark, told)
        write_parquet(result.frame, out)
    if as_json:
        print_json(result.figures)
        return
    for name, value in result.figures.items():
        say(f"{name:>16}  {value:.4f}")
