"""The one command line: its verbs live beside the jobs that do them; here they are put together."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

import configs
import features.commands
import models.commands
import serving.commands
import training.commands
from configs.console import fail
from configs.options import AsJson, AsOf
from models.workspace import Workspace
from serving.access.commands import keys
from serving.bench.commands import bench
from serving.strategies.commands import library, strategies, strategy
from training.trial_commands import backtest, benchmark

__all__ = ["Workspace", "app", "main", "prepare"]


def up(
    data: Annotated[
        Path | None, typer.Option("--data", help="Your own metrics: a file or folder.", show_default=False)
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Stop after the first recommendation.")] = False,
) -> None:
    """Everything from nothing: ingest → features → train → promote → serve, and one recommendation.

    What is there already is reused. Examples: `harmonic up` · `harmonic up --data metrics/`
    """
    work = Workspace()
    serving.commands.refuse_address(work.settings, work.settings.serving.host, work.settings.serving.port)
    prepare(work, data)
    serving.commands.serve_with_example(work.settings, once)


def score(
    out: Annotated[Path, typer.Option("--out", help="Parquet file to write.")],
    k: Annotated[int, typer.Option(min=1, max=1000, help="Items per creator.")] = 20,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Batch scoring: the slate of every creator as of an instant; trains first where no model from before it serves.

    Example: `harmonic score --as-of 2026-11-01T00:00:00Z --k 20 --out slates.parquet`
    """
    work = Workspace()
    at = models.commands.told_instant(work, as_of)
    serving.commands.write_slates(work, training.commands.model_before(work, at), at, k, out, as_json)


def prepare(work: Workspace, data: Path | None = None) -> None:
    """Everything between nothing and serving, where it has not been done yet: ingest, publish the market and train.

    Args:
        work: what to work on.
        data: metrics to ingest; without any, a simulated world fills an empty lake.

    Raises:
        NotReady: no trend is live.
        NoChampion: no model beats popularity on these metrics.
    """
    features.commands.fill_lake(work.lake, work.settings, data)
    as_of = work.instant(None)
    serving.commands.publish_visibly(work, as_of)  # first: without a live trend there is nothing to train a ranker for
    training.commands.release_visibly(work, as_of)


VERBS = (
    up,
    features.commands.ingest,
    features.commands.simulate,
    serving.commands.materialize,
    training.commands.train,
    training.commands.evaluate,
    training.commands.promote,
    training.commands.rollback,
    models.commands.models,
    models.commands.audit,
    score,
    serving.commands.recommend,
    strategies,
    serving.commands.serve,
    serving.commands.consume,
    training.commands.tune,
    training.commands.ablate,
    models.commands.forecast,
)
"""As `harmonic --help` lists them: from nothing to serving, then the studies."""

GROUPS = {
    "strategy": strategy,
    "library": library,
    "backtest": backtest,
    "benchmark": benchmark,
    "bench": bench,
    "keys": keys,
}

app = typer.Typer(
    name="harmonic",
    help="Trend recommendations for artists and creators on TikTok.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
for verb in VERBS:
    app.command()(verb)
for name, group in GROUPS.items():
    app.add_typer(group, name=name)


def main() -> None:
    """Run the command line; a user's mistake ends in one line, not in a traceback."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait by spinning starve a busy machine
    from pydantic import ValidationError

    from features.errors import FeatureError
    from models.errors import ModelError
    from serving.errors import ServingError
    from training.errors import TrainingError

    try:
        app()
    except ValidationError as error:
        fail(ValueError(configs.faults_of(error)))
    except (configs.SettingsError, FeatureError, ModelError, TrainingError, ServingError) as error:
        fail(error)


if __name__ == "__main__":
    main()
