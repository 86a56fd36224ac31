"""The one command line: a thin face that hands each verb to the job that does it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

import configs

if TYPE_CHECKING:
    from features.ingest import Progress as IngestProgress
    from features.lake import Lake
    from features.store import FeatureRepository
    from models.registry import Registry
    from serving.key_stores import KeyStore
    from serving.publish import Published
    from training.run import Outcome

app = typer.Typer(
    name="harmonic",
    help="Trend recommendations for artists and creators on TikTok.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
bench = typer.Typer(help="Benchmarks: commands that print figures.", no_args_is_help=True)
app.add_typer(bench, name="bench")
backtest = typer.Typer(help="Back-tests: every step sees only its past.", no_args_is_help=True)
app.add_typer(backtest, name="backtest")
benchmark = typer.Typer(
    help="Public benchmarks, through the product's own generators and ranker.", no_args_is_help=True
)
app.add_typer(benchmark, name="benchmark")
keys = typer.Typer(help="API keys: shown once, kept as hashes.", no_args_is_help=True, rich_markup_mode="markdown")
app.add_typer(keys, name="keys")
library = typer.Typer(
    help="Two libraries measured on the lake: content strategies and viral artists.", no_args_is_help=True
)
app.add_typer(library, name="library")

AsOf = Annotated[
    datetime | None,
    typer.Option(
        "--as-of",
        formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"],
        help="Use only what was known at this instant (UTC); the latest instant in the lake where absent.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines, and nothing else, to stdout.")]
NOT_PROMOTED = 3
"""Exit code of `promote` when the champion stays."""


class Workspace:
    """The lake, the feature store and the registry of these settings, each opened when first used."""

    def __init__(self, settings: configs.Settings | None = None) -> None:
        self.settings = settings or configs.current()
        self._features: FeatureRepository | None = None
        self._registry: Registry | None = None

    @property
    def lake(self) -> Lake:
        """Where metrics are kept."""
        from features.lake import Lake

        return Lake(self.settings.home / "lake", self.settings.lake.memory_limit)

    @property
    def features(self) -> FeatureRepository:
        """The feature store, its definitions applied."""
        if self._features is None:
            from features.store import FeatureRepository

            self._features = FeatureRepository.open(self.settings)
            self._features.apply()
        return self._features

    @property
    def registry(self) -> Registry:
        """Runs and registered models."""
        if self._registry is None:
            from models.registry import Registry

            self._registry = Registry(self.settings.mlflow, self.settings.home)
        return self._registry

    def instant(self, as_of: datetime | None) -> datetime:
        """An instant in UTC; the latest in the lake where none is given."""
        from features.materialize import latest_instant

        if as_of is None:
            return latest_instant(self.lake)
        return as_of.replace(tzinfo=UTC) if as_of.tzinfo is None else as_of.astimezone(UTC)


@app.command()
def up(
    data: Annotated[
        Path | None, typer.Option("--data", help="Your own metrics: a file or folder.", show_default=False)
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Stop after the first recommendation.")] = False,
) -> None:
    """Everything from nothing: ingest → features → train → promote → serve, and one recommendation.

    What is there already is reused. Examples: `harmonic up` · `harmonic up --data metrics/`
    """
    from serving.auth import refuse_open_service
    from serving.launch import refuse_taken_port

    work = Workspace()
    refuse_open_service(work.settings)
    refuse_taken_port(work.settings.serving.host, work.settings.serving.port)
    prepare(work, data)
    _serve(work, once=once)


@app.command()
def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Files or folders: Parquet, CSV, JSONL(.gz), account exports.")],
    as_json: AsJson = False,
) -> None:
    """Load metrics into the lake. Loading the same file twice changes nothing; bad rows go to quarantine.

    Example: `harmonic ingest exports/ videos.parquet`
    """
    report = _ingest(Workspace(), paths)
    if as_json:
        _print_json(report)
        return
    _say(" · ".join(f"{name} {report[name]:,}" for name in ("rows", "new", "duplicates", "quarantined")))
    for skipped in report["skipped"]:
        _say(f"skipped {skipped['file']}: {skipped['reason']}")
    if report["quarantined"]:
        for reason, count in report["reasons"].items():
            _say(f"  {count:,} × {reason}")


@app.command()
def simulate(
    out: Annotated[Path, typer.Option("--out", help="Folder to write to.")],
    creators: Annotated[int, typer.Option(min=10)] = 400,
    trends: Annotated[int, typer.Option(min=10)] = 600,
    days: Annotated[int, typer.Option(min=30)] = 120,
    seed: int = 0,
    as_json: AsJson = False,
) -> None:
    """Write a world with known truth: videos, trend lists, and truth/ beside them.

    Example: `harmonic simulate --creators 1000 --trends 2000 --days 180 --out world/`
    """
    from features.simulated import write_world

    size = configs.SimulatorSettings(creators=creators, trends=trends, days=days, seed=seed)
    rows = write_world(size, out)
    _print_json({"videos": rows, "out": out}) if as_json else _say(f"wrote {rows:,} observations of posts to {out}")


@app.command()
def materialize(as_of: AsOf = None, as_json: AsJson = False) -> None:
    """Compute features into Feast, offline and online, and publish them to serving.

    Example: `harmonic materialize --as-of 2026-11-01`
    """
    work = Workspace()
    published = _publish(work, work.instant(as_of))
    if as_json:
        _print_json(vars(published))
    elif published.trends is None:
        _say(f"{published.market} is published already")
    else:
        _say(f"published {published.trends:,} trends as {published.market}")


@app.command()
def train(
    as_of: AsOf = None,
    tuned: Annotated[bool, typer.Option("--tuned", help="With what the last `harmonic tune` found.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train a ranker and its baselines, log the run in MLflow, register the challenger.

    The first model that beats popularity becomes champion. Example: `harmonic train --as-of 2026-11-01`
    """
    from training.tune import tuned_settings

    work = Workspace(tuned_settings(configs.current()) if tuned else None)
    outcome = _train(work, work.instant(as_of))
    if as_json:
        _print_json(
            {
                "version": outcome.version,
                "promoted": outcome.verdict.promoted,
                "warning": outcome.trained.judged.warning,
                **outcome.trained.record.metrics,
            }
        )
    else:
        _report_training(outcome)


@app.command()
def evaluate(
    as_of: AsOf = None,
    rolling: Annotated[
        bool, typer.Option("--rolling", help="Train at several cut-offs in turn, and judge each on what came after.")
    ] = False,
    cutoffs: Annotated[
        str | None,
        typer.Option(help="Rolling: these cut-offs (UTC), e.g. 2026-10-01,2026-10-08.", show_default=False),
    ] = None,
    last: Annotated[int, typer.Option(min=1, max=52, help="Rolling: how many cut-offs, where none are named.")] = 4,
    step_days: Annotated[int, typer.Option(min=1, help="Rolling: days between those.")] = 7,
    horizon: Annotated[
        int | None,
        typer.Option(
            min=1, max=60, help="Rolling: judged are this many days after a cut-off; as trained where absent."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Judge the champion and every baseline on the held-out queries before an instant; or the recipe, rolling.

    Rolling evaluation needs no champion: at every cut-off it trains as `harmonic train --as-of` would, on what was
    known then, compares with every generator and popularity baseline, and logs one MLflow run with its report.

    Examples: `harmonic evaluate --json` · `harmonic evaluate --rolling --last 6` ·
    `harmonic evaluate --cutoffs 2026-10-01,2026-10-08`
    """
    if rolling or cutoffs is not None:
        _evaluate_rolling(as_of, cutoffs, last, step_days, horizon, as_json)
        return
    from models.registry import CHAMPION
    from training.run import evaluate as judge

    work = Workspace()
    champion = work.registry.load(CHAMPION)
    with _progress("evaluate") as told:
        judged = judge(work.lake, work.features, champion, work.instant(as_of), work.settings, told)
    _print_json({"warning": judged.warning, **judged.metrics}) if as_json else _say(judged.summary)
    _warn(judged.warning)


def _evaluate_rolling(
    as_of: datetime | None, cutoffs: str | None, last: int, step_days: int, horizon: int | None, as_json: bool
) -> None:
    from training.rolling import evaluate_rolling, regular_cutoffs
    from training.rolling_report import for_terminal

    work = Workspace()
    at, days = work.instant(as_of), horizon or work.settings.ranker.horizon_days
    chosen = _instants(cutoffs) if cutoffs is not None else regular_cutoffs(at, last, step_days, days)
    with _progress("evaluate") as told:
        found = evaluate_rolling(
            work.lake,
            work.features,
            work.registry,
            at,
            chosen,
            work.settings,
            horizon_days=days,
            progress=told,
        )
    _print_json(found.to_dict()) if as_json else _say(for_terminal(found))
    _warn(found.warning)


def _instants(text: str) -> list[datetime]:
    """Instants in UTC from a list with commas."""
    try:
        found = [datetime.fromisoformat(part.strip()) for part in text.split(",")]
    except ValueError as error:
        raise typer.BadParameter(f"{error}; write e.g. 2026-10-01,2026-10-08", param_hint="--cutoffs") from None
    return [at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC) for at in found]


@app.command()
def promote(as_of: AsOf = None, as_json: AsJson = False) -> None:
    """Let the challenger become champion, only for a gain whose interval excludes zero.

    Exit code 0: promoted; 3: the champion stays. Example: `harmonic promote && echo new champion`
    """
    from training.run import promote as decide

    work = Workspace()
    with _progress("promote") as told:
        verdict = decide(
            work.lake,
            work.features,
            work.registry,
            work.instant(as_of),
            work.settings,
            datetime.now(UTC),
            told,
        )
    _print_json(
        {"promoted": verdict.promoted, "version": verdict.version, "message": verdict.message}
    ) if as_json else _say(verdict.message)
    if not verdict.promoted:
        raise typer.Exit(NOT_PROMOTED)


@app.command()
def rollback(as_json: AsJson = False) -> None:
    """Make the champion before the present one champion again.

    Example: `harmonic rollback`
    """
    from training.run import rollback as go_back

    work = Workspace()
    version = go_back(work.registry, work.settings, datetime.now(UTC))
    _print_json({"champion": version}) if as_json else _say(f"version {version} is champion again")


@app.command()
def models(as_json: AsJson = False) -> None:
    """Champion and challenger, and what serving processes are given of them; a release that they refuse is named.

    Example: `harmonic models`
    """
    from models.registry import CHALLENGER, CHAMPION
    from models.releases import released, trouble

    work = Workspace()
    told: dict[str, Any] = {}
    for alias in (CHAMPION, CHALLENGER):
        release = released(work.settings.released_models, alias)
        told[alias] = {
            "registered": work.registry.version(alias),
            "released": release.version if release else None,
            "trouble": trouble(release) if release else None,
        }
    if as_json:
        _print_json(told)
        return
    for alias, about in told.items():
        line = f"{alias}: version {about['registered'] or '–'}, released {about['released'] or '–'}"
        _say(line + (f", refused: {about['trouble']}" if about["trouble"] else ""))


@app.command()
def audit(as_json: AsJson = False) -> None:
    """Who was champion from when to when, and why.

    Example: `harmonic audit`
    """
    tenures = Workspace().registry.audit()
    if as_json:
        _print_json([vars(tenure) for tenure in tenures])
        return
    for t in tenures:
        until = f"{t.until:%Y-%m-%d %H:%M}" if t.until else "now"
        _say(f"version {t.version}: {t.since:%Y-%m-%d %H:%M} to {until} · {t.reason}")


@app.command()
def score(
    out: Annotated[Path, typer.Option("--out", help="Parquet file to write.")],
    k: Annotated[int, typer.Option(min=1, max=1000, help="Items per creator.")] = 20,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Batch scoring: the slate of every creator as of an instant; trains first where no model from before it serves.

    Example: `harmonic score --as-of 2026-11-01T00:00:00Z --k 20 --out slates.parquet`
    """
    from serving.batch import pipeline_at, score_all

    work = Workspace()
    at = work.instant(as_of)
    model = _model_before(work, at)
    with _progress("score") as told:
        table = score_all(pipeline_at(work.lake, work.features, model, at, work.settings), k, told)
        _write_parquet(table, out)
    summary = {
        "creators": int(table["creator_id"].nunique()),
        "rows": len(table),
        "as_of": at,
        "model_version": model.version,
    }
    _print_json(summary) if as_json else _say(f"{summary['rows']:,} rows for {summary['creators']:,} creators → {out}")


@app.command()
def recommend(
    creator: Annotated[str, typer.Argument(help="The creator's username.")],
    k: Annotated[int, typer.Option(min=1, max=100)] = 10,
    kind: Annotated[
        list[str] | None, typer.Option("--kind", help="sound or hashtag; repeatable.", show_default=False)
    ] = None,
    region: Annotated[str | None, typer.Option(help="Two-letter region.", show_default=False)] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", help="Declared hashtag of a newcomer.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """One slate, readable on a terminal.

    Example: `harmonic recommend creator_0007 --k 5 --kind sound`
    """
    from serving.answers import Alone, Answers
    from serving.assemble import pipeline
    from serving.schemas import RecommendationRequest, Slate

    made = pipeline(configs.current())
    request = {"creator_id": creator, "k": k, "kinds": kind or None, "region": region, "tags": tag or ()}
    answer = Answers(Alone(lambda: made)).slate(RecommendationRequest.model_validate(request))
    slate = Slate.model_validate(answer).model_dump(mode="json")
    _print_json(slate) if as_json else _show_slate(slate)


@app.command()
def strategy(
    creator: Annotated[str, typer.Argument(help="The creator's username.")],
    goal: Annotated[
        str | None, typer.Option(help="What it should serve, e.g. 'followers'.", show_default=False)
    ] = None,
    locale: Annotated[str, typer.Option(help="Language wanted, e.g. de-DE; the plan says which it is in.")] = "en",
    region: Annotated[str | None, typer.Option(help="Two-letter region.", show_default=False)] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", help="Declared hashtag of a newcomer.", show_default=False)
    ] = None,
    utc_offset: Annotated[
        float | None, typer.Option(help="Hours the creator's clock is ahead of UTC.", show_default=False)
    ] = None,
    business: Annotated[bool, typer.Option("--business", help="A business account: cleared sounds only.")] = False,
    as_json: AsJson = False,
) -> None:
    """A written strategy in which every number and every trend can be checked.

    Example: `harmonic strategy creator_0007 --utc-offset -5`
    """
    from rich.console import Console

    from serving.strategies.assemble import planner
    from serving.strategies.schemas import StrategyRequest
    from serving.strategies.show import show_strategy

    request = StrategyRequest(
        creator_id=creator,
        goal=goal,
        locale=locale,
        region=region,
        tags=tuple(tag or ()),
        utc_offset_hours=utc_offset,
        is_business=business,
    )
    written, evidence = planner(configs.current()).written(request)
    _print_json(written.model_dump(mode="json")) if as_json else show_strategy(written, evidence, Console())


@library.command("build")
def library_build(as_of: AsOf = None, as_json: AsJson = False) -> None:
    """Measure the strategies on the lake, find the viral artists, publish both; `materialize` and `up` do so, too.

    Example: `harmonic library build`
    """
    from serving.strategies.build import build_library, known_until

    work = Workspace()
    at = work.instant(as_of) if as_of else known_until(work.lake, work.instant(None))
    built = build_library(work.lake, at, work.settings)
    measured = sum(measure.lift is not None for measure in built.measures.values())
    summary = {"as_of": at, "queries": len(built.measures), "measured": measured, "artists": len(built.artists)}
    said = f"{measured} measured ways of posting, {len(built.artists)} viral artists"
    _print_json(summary) if as_json else _say(said)


@library.command("strategies")
def library_strategies(
    creator: Annotated[
        str | None, typer.Option(help="Only what applies to them, best first.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Content strategies, each with its measured lift, sample and interval.

    Example: `harmonic library strategies --creator creator_0007`
    """
    from rich.console import Console

    from serving.strategies.assemble import planner
    from serving.strategies.show import show_strategies

    answer = planner(configs.current()).strategies(creator)
    _print_json(answer) if as_json else show_strategies(answer, Console())


@library.command("artists")
def library_artists(
    creator: Annotated[str | None, typer.Option(help="Nearest to them first.", show_default=False)] = None,
    region: Annotated[str | None, typer.Option(help="Two-letter region.", show_default=False)] = None,
    tag: Annotated[str | None, typer.Option(help="Hashtag of theirs.", show_default=False)] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 20,
    as_json: AsJson = False,
) -> None:
    """Artists and creators who burst, when, and what they did in the two weeks before.

    Example: `harmonic library artists --creator creator_0007 --limit 5`
    """
    from rich.console import Console

    from serving.strategies.assemble import planner
    from serving.strategies.show import show_artists

    answer = planner(configs.current()).artists(creator, region, tag.lstrip("#").lower() if tag else None, limit)
    _print_json(answer) if as_json else show_artists(answer, Console())


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(show_default=False)] = None,
    port: Annotated[int | None, typer.Option(show_default=False)] = None,
) -> None:
    """The BentoML service on what has been published.

    Example: `harmonic serve --port 3000`
    """
    from serving.auth import refuse_open_service
    from serving.launch import refuse_taken_port, run

    settings = configs.current()
    address = (host or settings.serving.host, port or settings.serving.port)
    refuse_open_service(settings, address[0])
    refuse_taken_port(*address)
    raise typer.Exit(run(*address, settings))


@app.command()
def consume(
    while_parent_lives: Annotated[bool, typer.Option("--while-parent-lives", hidden=True)] = False,
) -> None:
    """Apply events as they come in: to features, to what is served, to the lake. `harmonic serve` starts one itself.

    Example: `harmonic consume`
    """
    import signal
    import threading

    from serving.consume import consume as run
    from serving.parent import started_by

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    run(configs.current(), stop, _say, started_by() if while_parent_lives else None)


@app.command()
def tune(
    trials: Annotated[int, typer.Option(min=1, help="At most this many trials now.")] = 40,
    minutes: Annotated[float, typer.Option(min=0.1, help="At most this long.")] = 15.0,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Search hyperparameters on a validation period; a second call goes on where the first stopped.

    Example: `harmonic tune --minutes 10 && harmonic train --tuned`
    """
    from training.tune import tune as search

    work = Workspace()
    with _progress("tune") as told:
        found = search(
            work.lake,
            work.features,
            work.registry,
            work.instant(as_of),
            work.settings,
            trials=trials,
            minutes=minutes,
            progress=told,
        )
    if as_json:
        _print_json(vars(found))
        return
    _say(f"{found.trials} trials: best validation NDCG@20 {found.value:.4f}, defaults {found.default:.4f}")
    _say(f"wrote {found.path}; «harmonic train --tuned» uses it" if found.best else "the defaults stay")


@app.command()
def ablate(as_of: AsOf = None, as_json: AsJson = False) -> None:
    """What each family of features is worth on a validation period, logged as one MLflow run.

    Example: `harmonic ablate --json`
    """
    from training.ablate import ablate as leave_out

    work = Workspace()
    with _progress("ablate") as told:
        found = leave_out(work.lake, work.features, work.registry, work.instant(as_of), work.settings, told)
    if as_json:
        _print_json([{"family": a.family, **vars(a.loss)} for a in found])
        return
    for a in found:
        _say(f"without {a.family:<12} NDCG@20 falls by {a.loss.mean:+.4f} [{a.loss.low:+.4f}, {a.loss.high:+.4f}]")


TrendTypeOption = Annotated[str, typer.Option("--type", help="hashtag, sound or creator.")]
Horizon = Annotated[int, typer.Option(min=1, max=60, help="Days ahead.")]
Out = Annotated[Path, typer.Option("--out", help="Parquet file to write.")]


@app.command()
def forecast(
    out: Out, trend_type: TrendTypeOption = "hashtag", horizon: Horizon = 7, as_of: AsOf = None, as_json: AsJson = False
) -> None:
    """Log growth of every trend with a public count, with its 80 % interval.

    Example: `harmonic forecast --type sound --horizon 7 --out growth.parquet`
    """
    from models.forecaster import forecast as predict

    work = Workspace()
    at = work.instant(as_of) if as_of else work.lake.latest_at() or work.instant(None)
    with _progress("forecast") as told:
        table = predict(work.lake, trend_type, horizon, at, work.settings.forecast, told)
        _write_parquet(table, out)
    _tell_forecasts(len(table), 1, out, as_json)


@backtest.command("forecast")
def backtest_forecast(
    out: Out, trend_type: TrendTypeOption = "hashtag", horizon: Horizon = 7, as_json: AsJson = False
) -> None:
    """Forecasts at every weekly cut-off, each seeing only its past.

    Example: `harmonic backtest forecast --type hashtag --horizon 7 --out backtest.parquet`
    """
    from training.backtest import backtest as run

    work = Workspace()
    with _progress("backtest") as told:
        table = run(work.lake, trend_type, horizon, work.settings.forecast, told)
        _write_parquet(table, out)
    _tell_forecasts(len(table), int(table["cutoff"].nunique()), out, as_json)


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

    with _progress("benchmark") as told:
        result = run(train, val, image, audio, configs.current().benchmark, told)
        _write_parquet(result.frame, out)
    if as_json:
        _print_json(result.figures)
        return
    for name, value in result.figures.items():
        _say(f"{name:>16}  {value:.4f}")


def _tell_forecasts(rows: int, cutoffs: int, out: Path, as_json: bool) -> None:
    summary = {"rows": rows, "cutoffs": cutoffs, "out": out}
    _print_json(summary) if as_json else _say(f"{rows:,} forecasts at {cutoffs:,} cut-offs → {out}")


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
    from serving.bench_freshness import freshness as run

    figures = run(configs.current(), rate, seconds, trials, _silent if as_json else _say)
    if as_json:
        _print_json(figures)
        return
    for name, value in figures.items():
        _say(f"{name}: {value}")


def _silent(_: str) -> None:
    """For machines: nothing but JSON is printed."""


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
    figures = serving(plan, configs.current().home / "cache", _note)
    if as_json:
        _print_json(figures)
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

    figures = run(minutes, load, configs.current().home / "cache", _note)
    if as_json:
        _print_json(figures)
        return
    for name, value in figures.items():
        _say(f"{name:>16}  {value}")


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

    figures = offline_join(rows, source_rows)
    if as_json:
        _print_json(figures)
    else:
        for name, value in figures.items():
            _say(f"{name:>28}  {value}")


@keys.command("create")
def keys_create(
    name: Annotated[str, typer.Argument(help="Whose it is.")],
    scope: Annotated[list[str], typer.Option(help="recommend, events, strategies, metrics or admin; repeatable.")],
    creator: Annotated[str | None, typer.Option(help="The only creator it may name.", show_default=False)] = None,
    days: Annotated[int, typer.Option(min=1, max=3650, help="Valid for so long.")] = 90,
    as_json: AsJson = False,
) -> None:
    """Make a key; its token is shown now and never again.

    Example: `harmonic keys create frontend --scope recommend --scope events --days 30`
    """
    from serving.keys import create

    _tell_key(create(_key_store(), name, scope, creator, days, datetime.now(UTC)).told(), as_json)


@keys.command("list")
def keys_list(as_json: AsJson = False) -> None:
    """Every key, the oldest first; no token can be shown again.

    Example: `harmonic keys list --json`
    """
    from serving.keys import listed

    rows = listed(_key_store(), datetime.now(UTC))
    if as_json:
        _print_json(rows)
        return
    for row in rows:
        may = " ".join(row["scopes"]) + (f", only creator {row['creator_id']}" if row["creator_id"] else "")
        _say(f"{row['id']}  {row['state']:<8} until {row['expires_at'][:10]}  {row['name']}: {may}")


@keys.command("rotate")
def keys_rotate(
    key_id: Annotated[str, typer.Argument(help="The key's id, as `harmonic keys list` shows it.")],
    grace_hours: Annotated[float, typer.Option(min=0, help="How long the old token is still taken.")] = 24.0,
    as_json: AsJson = False,
) -> None:
    """Give a key a new token, shown now and never again; the expiry stays.

    Example: `harmonic keys rotate 0f3a5c7e9b1d2f4a --grace-hours 2`
    """
    from serving.keys import rotate

    _tell_key(rotate(_key_store(), key_id, timedelta(hours=grace_hours), datetime.now(UTC)).told(), as_json)


@keys.command("revoke")
def keys_revoke(key_id: Annotated[str, typer.Argument(help="The key's id.")], as_json: AsJson = False) -> None:
    """Make a key worthless; the service follows within seconds.

    Example: `harmonic keys revoke 0f3a5c7e9b1d2f4a`
    """
    from serving.keys import described, revoke

    key = revoke(_key_store(), key_id, datetime.now(UTC))
    _print_json(described(key)) if as_json else _say(f"{key.id} ({key.name}) is revoked")


def _key_store() -> KeyStore:
    from serving.key_stores import key_store

    settings = configs.current()
    return key_store(settings.auth, settings.home / "serving")


def _tell_key(told: dict[str, Any], as_json: bool) -> None:
    if as_json:
        _print_json(told)
        return
    _say(f"key {told['id']} ({told['name']}): {', '.join(told['scopes'])}, valid until {told['expires_at'][:10]}")
    _say(f"{told['token']}\nkeep it now: it is shown only this once")


def prepare(work: Workspace, data: Path | None = None) -> None:
    """Everything between nothing and serving, where it has not been done yet: ingest, train and publish.

    Args:
        work: what to work on.
        data: metrics to ingest; without any, a simulated world fills an empty lake.
    """
    from models.errors import NoChampion
    from serving.assemble import has_model

    _fill_lake(work, data)
    as_of = work.instant(None)
    if not has_model(work.settings):
        outcome = _train(work, as_of)
        _report_training(outcome)
        if not outcome.verdict.promoted:
            raise NoChampion(
                "nothing can be served before a model beats popularity: ingest more posts, and run it again"
            )
    _publish(work, as_of)


def _fill_lake(work: Workspace, data: Path | None) -> None:
    """Ingest the given data; without any, and with an empty lake, a simulated world."""
    from features.simulated import make_way, stand_in

    if data is not None:
        if data.exists() and (aside := make_way(work.settings.home)):
            _say(f"the simulated world makes way for your data; it is kept in {aside}")
        report = _ingest(work, [data])
        _say(f"ingested {report['rows']:,} rows, {report['new']:,} new")
    elif work.lake.latest_at() is None:
        _say("no data yet: simulating a world of creators and trends")
        with _ingest_progress() as told:
            made = stand_in(work.lake, work.settings, datetime.now(UTC), told)
        _say(f"ingested {made.rows:,} rows, {made.new:,} new" if made else "the lake has been filled meanwhile")


def _ingest(work: Workspace, paths: list[Path]) -> dict[str, Any]:
    from features.ingest import ingest
    from features.simulated import no_longer_only

    with _ingest_progress() as told:
        report = ingest(paths, work.lake, datetime.now(UTC), work.settings.lake.batch_rows, told)
    if report.new:
        no_longer_only(work.settings.home)
    return report.to_dict()


@contextmanager
def _ingest_progress() -> Iterator[Callable[[IngestProgress], None]]:
    with _progress("ingest") as told:
        yield lambda p: told(f"{p.file.name}: {p.rows:,} rows", (p.files_done + p.fraction) / max(p.files, 1))


def _train(work: Workspace, as_of: datetime) -> Outcome:
    from training.run import train_and_register

    with _progress("train") as told:
        outcome = train_and_register(
            work.lake, work.features, work.registry, as_of, work.settings, datetime.now(UTC), told
        )
    _warn(outcome.trained.judged.warning)
    return outcome


def _report_training(outcome: Outcome) -> None:
    _say(outcome.trained.judged.summary)
    _say(outcome.verdict.message)


def _publish(work: Workspace, as_of: datetime) -> Published:
    from serving.publish import materialize_and_publish
    from serving.strategies.build import build_library, has_library, known_until

    with _progress("materialize") as told:
        published = materialize_and_publish(work.lake, work.features, as_of, work.settings, told)
        if published.trends is not None or not has_library(work.settings):
            told("libraries", 0.95)
            build_library(work.lake, known_until(work.lake, as_of), work.settings)
    return published


def _model_before(work: Workspace, as_of: datetime) -> Any:
    """The champion where it has seen nothing after `as_of`; else one trained as of that instant."""
    from models.registry import CHAMPION
    from serving.score import Model

    champion = work.registry.version(CHAMPION)
    registered = work.registry.load(CHAMPION) if champion else None
    if registered is None or registered.as_of > as_of:
        registered = work.registry.load(_train(work, as_of).version)
    return Model.of(registered.version, registered.ranker)


def _serve(work: Workspace, once: bool) -> None:
    """Start the service, ask it for one recommendation, show it with the curl that gets it, and stay until stopped."""
    import signal
    import subprocess

    from serving.launch import ConsumerProcess, command, environment, first_recommendation, wait_until_ready

    settings = work.settings
    base = f"http://{settings.serving.host}:{settings.serving.port}"
    process = subprocess.Popen(
        command(settings.serving.host, settings.serving.port),
        env=environment(settings),
        cwd=Path(__file__).parent,
        stdout=sys.stderr,  # its log is not what was asked for
    )
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    consumer = None
    try:
        wait_until_ready(base, process, seconds=60)
        body, slate = first_recommendation(base, settings)
        _show_slate(slate)
        _say(f"\ncurl -s {base}/v1/recommendations -H 'content-type: application/json' -d '{json.dumps(body)}'")
        if not once:
            consumer = ConsumerProcess(settings)
            _say(f"\nserving on {base} (API: {base}/docs), stop with Ctrl-C")
            process.wait()
    except KeyboardInterrupt:
        _say("stopping")
    finally:
        process.terminate()
        process.wait()
        if consumer is not None:
            consumer.stop()


def _write_parquet(table: Any, out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    staged = out.with_name(f".{out.name}.{os.getpid()}")
    table.to_parquet(staged, index=False)
    staged.replace(out)


def _show_slate(slate: dict[str, Any]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    known = "" if slate["known_creator"] else " (nobody we know yet)"
    title = f"{slate['creator_id']}{known} · as of {str(slate['as_of'])[:16]} · model {slate['model']}"
    table = Table(title=Text(title), box=SIMPLE_HEAD)
    for name in ("#", "kind", "what and why", "score", "fit", "heat", "stage"):
        table.add_column(name, overflow="fold", ratio=1 if name == "what and why" else None)
    for item in slate["items"]:
        what = Text(item["title"] + (f" – {item['author']}" if item["author"] else ""), style="bold")
        what.append("".join(f"\n{reason}" for reason in item["reasons"]), style="not bold dim")
        figures = (f"{item['score']:.3f}", f"{item['fit']:.2f}", f"{item['heat']:.2f}")
        table.add_row(str(item["rank"]), item["kind"], what, *figures, item["stage"])
    Console().print(table)


@contextmanager
def _progress(title: str) -> Iterator[Callable[[str, float], None]]:
    """A bar on a terminal's stderr; silent where nobody watches."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.fields[title]}"),
        BarColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=1.0, title=title)
        yield lambda text, share: bar.update(task, description=text, completed=share)


def _say(text: str) -> None:
    typer.echo(text)


def _note(text: str) -> None:
    """Tell what is going on: on stderr, beside the figures."""
    typer.echo(text, err=True)


def _warn(warning: str) -> None:
    """Tell what must not be overlooked: on stderr, framed, and red where a terminal shows colour; nothing if empty."""
    if warning:
        rule = "!" * 80
        typer.secho(f"{rule}\nWARNING: too good to be true. {warning}\n{rule}", err=True, fg="red", bold=True)


def _print_json(value: Any) -> None:
    import orjson

    typer.echo(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_INDENT_2, default=str).decode())


def _fail(error: Exception) -> NoReturn:
    typer.echo(f"harmonic: {error}", err=True)
    sys.exit(1)


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
        _fail(ValueError("; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())))
    except (configs.SettingsError, FeatureError, ModelError, TrainingError, ServingError) as error:
        _fail(error)


if __name__ == "__main__":
    main()
