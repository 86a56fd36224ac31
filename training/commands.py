"""Verbs of the command line by which models come and go: train, evaluate, promote, roll back, tune, ablate."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

import configs
from configs.console import print_json, progress, say, warn
from configs.options import AsJson, AsOf
from models.commands import told_instant
from models.workspace import Workspace

if TYPE_CHECKING:
    from models.registry import Registered
    from training.run import Outcome

NOT_PROMOTED = 3
"""Exit code of `promote` when the champion stays."""


def train(
    as_of: AsOf = None,
    kind: Annotated[
        Literal["trend", "strategy"], typer.Option("--kind", help="What the ranker ranks: trends, or strategies.")
    ] = "trend",
    tuned: Annotated[bool, typer.Option("--tuned", help="With what the last `harmonic tune` found.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train a ranker and its baselines, log the run in MLflow, register the challenger.

    The first model that beats popularity becomes champion. Strategies are ranked by measured lift and fit until a
    ranker of them is proven to be better. Examples: `harmonic train --as-of 2026-11-01` ·
    `harmonic train --kind strategy`
    """
    if kind == "strategy":
        _train_strategies(as_of, as_json)
        return
    from training.tune import tuned_settings

    work = Workspace(tuned_settings(configs.current()) if tuned else None)
    outcome = train_visibly(work, told_instant(work, as_of))
    if as_json:
        print_json(
            {
                "version": outcome.version,
                "promoted": outcome.verdict.promoted,
                "warning": outcome.trained.judged.warning,
                **outcome.trained.record.metrics,
            }
        )
    else:
        tell_outcome(outcome)


def _train_strategies(as_of: datetime | None, as_json: bool) -> None:
    from training.report import aligned
    from training.strategies import strategy_registry, train_strategies

    work = Workspace()
    with progress("train") as told:
        outcome = train_strategies(
            work.lake,
            strategy_registry(work.settings),
            work.instant(as_of),
            work.settings,
            datetime.now(UTC),
            told,
        )
    verdict, judged = outcome.verdict, outcome.judged
    if as_json:
        gain = vars(verdict.gain) if verdict.gain else None
        print_json({"version": verdict.version, "promoted": verdict.promoted, "gain": gain, "message": verdict.message})
        return
    if judged is not None:
        say(aligned(judged.table))
    say(verdict.message)


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
    history_days: Annotated[
        int | None,
        typer.Option(
            min=7,
            max=3650,
            help="Rolling: as if no post older than so many days were known at a cut-off, also to say what is new.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Judge the champion and every baseline on the held-out queries before an instant; or the recipe, rolling.

    Rolling evaluation needs no champion: at every cut-off it trains as `harmonic train --as-of` would, on what was
    known then, compares with every generator and popularity baseline, and logs one MLflow run with its report.

    Examples: `harmonic evaluate --json` · `harmonic evaluate --rolling --last 6` ·
    `harmonic evaluate --cutoffs 2026-10-01,2026-10-08` · `harmonic evaluate --rolling --history-days 14`
    """
    if rolling or cutoffs is not None or history_days is not None:
        _evaluate_rolling(as_of, cutoffs, last, step_days, horizon, history_days, as_json)
        return
    from models.registry import CHAMPION
    from training.run import evaluate as judge

    work = Workspace()
    champion = work.registry.load(CHAMPION)
    with progress("evaluate") as told:
        judged = judge(work.lake, work.features, champion, work.instant(as_of), work.settings, told)
    print_json({"warning": judged.warning, **judged.metrics}) if as_json else say(judged.summary)
    warn(judged.warning)


def _evaluate_rolling(
    as_of: datetime | None,
    cutoffs: str | None,
    last: int,
    step_days: int,
    horizon: int | None,
    history_days: int | None,
    as_json: bool,
) -> None:
    from training.rolling import evaluate_rolling, regular_cutoffs
    from training.rolling_report import for_terminal

    work = Workspace()
    at, days = work.instant(as_of), horizon or work.settings.ranker.horizon_days
    chosen = _instants(cutoffs) if cutoffs is not None else regular_cutoffs(at, last, step_days, days)
    with progress("evaluate") as told:
        found = evaluate_rolling(
            work.lake,
            work.features,
            work.registry,
            at,
            chosen,
            work.settings,
            horizon_days=days,
            history_days=history_days,
            progress=told,
        )
    print_json(found.to_dict()) if as_json else say(for_terminal(found))
    warn(found.warning)


def _instants(text: str) -> list[datetime]:
    """Instants in UTC from a list with commas."""
    try:
        found = [datetime.fromisoformat(part.strip()) for part in text.split(",")]
    except ValueError as error:
        raise typer.BadParameter(f"{error}; write e.g. 2026-10-01,2026-10-08", param_hint="--cutoffs") from None
    return [at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC) for at in found]


def promote(as_of: AsOf = None, as_json: AsJson = False) -> None:
    """Let the challenger become champion, only for a gain whose interval excludes zero.

    Exit code 0: promoted; 3: the champion stays. Example: `harmonic promote && echo new champion`
    """
    from training.run import promote as decide

    work = Workspace()
    with progress("promote") as told:
        verdict = decide(
            work.lake,
            work.features,
            work.registry,
            work.instant(as_of),
            work.settings,
            datetime.now(UTC),
            told,
        )
    print_json(
        {"promoted": verdict.promoted, "version": verdict.version, "message": verdict.message}
    ) if as_json else say(verdict.message)
    if not verdict.promoted:
        raise typer.Exit(NOT_PROMOTED)


def rollback(as_json: AsJson = False) -> None:
    """Make the champion before the present one champion again.

    Example: `harmonic rollback`
    """
    from training.run import rollback as go_back

    work = Workspace()
    version = go_back(work.registry, work.settings, datetime.now(UTC))
    print_json({"champion": version}) if as_json else say(f"version {version} is champion again")


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
    with progress("tune") as told:
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
        print_json(vars(found))
        return
    say(f"{found.trials} trials: best validation NDCG@20 {found.value:.4f}, defaults {found.default:.4f}")
    say(f"wrote {found.path}; «harmonic train --tuned» uses it" if found.best else "the defaults stay")


def ablate(as_of: AsOf = None, as_json: AsJson = False) -> None:
    """What each family of features is worth on a validation period, logged as one MLflow run.

    Example: `harmonic ablate --json`
    """
    from training.ablate import ablate as leave_out

    work = Workspace()
    with progress("ablate") as told:
        found = leave_out(work.lake, work.features, work.registry, work.instant(as_of), work.settings, told)
    if as_json:
        print_json([{"family": a.family, **vars(a.loss)} for a in found])
        return
    for a in found:
        say(f"without {a.family:<12} NDCG@20 falls by {a.loss.mean:+.4f} [{a.loss.low:+.4f}, {a.loss.high:+.4f}]")


def train_visibly(work: Workspace, as_of: datetime) -> Outcome:
    """Train and register as of an instant, behind a bar; warns where the result is too good to be true."""
    from training.run import train_and_register

    with progress("train") as told:
        outcome = train_and_register(
            work.lake, work.features, work.registry, as_of, work.settings, datetime.now(UTC), told
        )
    warn(outcome.trained.judged.warning)
    return outcome


def release_visibly(work: Workspace, as_of: datetime) -> None:
    """See to it that a champion that fits this code is released; trains where there is none, or it is outgrown.

    Raises:
        NoChampion: no model beats popularity on these metrics.
    """
    from models.errors import IncompatibleModel, NoChampion
    from models.registry import CHAMPION
    from models.releases import load_checked, released
    from training.run import release

    lying = released(work.settings.released_models, CHAMPION)
    try:
        ranker = load_checked(lying.folder) if lying else None
    except IncompatibleModel as error:
        say(f"what is released cannot be served: {error}")
        ranker = None
    if ranker is not None and ranker.learned:
        return
    champion = work.registry.usable(CHAMPION)
    if champion is not None and not _is_outgrown(work, champion):
        release(work.registry, work.settings)
        return
    outcome = train_visibly(work, as_of)
    tell_outcome(outcome)
    if not outcome.verdict.promoted and champion is None:
        raise NoChampion("nothing can be served before a model beats popularity: ingest more posts, and run it again")


def model_before(work: Workspace, as_of: datetime) -> Registered:
    """The champion where it fits this code and has seen nothing after `as_of`; else one trained as of that instant."""
    from models.registry import CHAMPION

    champion = work.registry.usable(CHAMPION)
    registered = work.registry.load(champion) if champion is not None else None
    if registered is None or registered.as_of > as_of or _is_outgrown(work, registered.version):
        registered = work.registry.load(train_visibly(work, as_of).version)
    return registered


def _is_outgrown(work: Workspace, version: str) -> bool:
    """Whether a model learned from nothing, and the lake has grown since."""
    unlearned = not work.registry.load(version).ranker.learned
    return unlearned and work.registry.parameters(version).get("data_hash") != work.lake.fingerprint()


def tell_outcome(outcome: Outcome) -> None:
    """How good the trained model is, and whether it is champion now."""
    say(outcome.trained.judged.summary)
    say(outcome.verdict.message)
