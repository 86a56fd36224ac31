"""Job: search hyperparameters with Optuna on a validation period; the test period is never looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from configs import RankerSettings, Settings
from features.lake import Lake
from features.materialize import dense_from, known_by
from features.store import FeatureRepository
from models.errors import TooLittleData
from models.panel import Panel
from models.ranker import Ranker, fit_ranker
from models.registry import Registry, TrialRecord
from training.evaluate import figures, score_panels
from training.panels import Progress, build_panels, chosen
from training.split import Split, plan

VALIDATION_CUTOFFS: Final = 3
TUNED_FILE: Final = "tuned.yaml"


@dataclass(frozen=True)
class Tuned:
    """What a search found.

    Attributes:
        best: setting's path below `ranker` → value.
        value: its validation NDCG@20.
        default: the validation NDCG@20 of the settings as they are.
        trials: how many trials the study holds, those of earlier searches among them.
        path: the YAML file that `harmonic train --tuned` reads.
    """

    best: Mapping[str, Any]
    value: float
    default: float
    trials: int
    path: Path


def selection_panels(
    lake: Lake, features: FeatureRepository, as_of: datetime, settings: Settings, progress: Progress
) -> tuple[list[Panel], list[Panel]]:
    """Panels to learn from and to choose by, all of whose labels end before the test period of a run as of `as_of`.

    Raises:
        TooLittleData: the data are too short for a period to choose by.
    """
    start = dense_from(lake, as_of, settings)
    outer = plan(start, as_of, settings.ranker)
    end = min(outer.test) if outer.test else as_of
    inner: Split = plan(
        start,
        end,
        settings.ranker.model_copy(update={"test_cutoffs": VALIDATION_CUTOFFS, "validation_cutoffs": 0}),
    )
    panels = build_panels(lake, features, known_by(lake, end, settings), inner, settings, progress)
    learn, judge = chosen(panels, inner.train), chosen(panels, inner.test)
    if not learn or not judge:
        raise TooLittleData("the data are too short to choose hyperparameters on: keep the defaults")
    return learn, judge


def tune(
    lake: Lake,
    features: FeatureRepository,
    registry: Registry,
    as_of: datetime,
    settings: Settings,
    *,
    trials: int,
    minutes: float,
    progress: Progress = lambda *_: None,
) -> Tuned:
    """Search for at most `trials` trials or `minutes`, whichever ends first; a second call goes on where it stopped.

    Raises:
        TooLittleData: the data are too short for a period to choose by.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    learn, judge = selection_panels(lake, features, as_of, settings, lambda text, share: progress(text, 0.3 * share))
    default = _validation(fit_ranker(learn, settings.ranker), judge)
    study = _study(as_of, lake, settings)

    def objective(trial: Any) -> float:
        options = _suggest(trial, settings.ranker)
        weighted = _weighted(learn, settings.ranker, options)
        trial.report(_validation(fit_ranker(weighted, _without_trees(options)), judge), 0)
        if trial.should_prune():
            raise optuna.TrialPruned
        return _validation(fit_ranker(weighted, options), judge)

    def told(study: Any, trial: Any) -> None:
        progress(f"trial {trial.number}: {trial.value or 0:.4f}", 0.3 + 0.7 * min((trial.number + 1) / trials, 1))

    study.optimize(objective, n_trials=trials, timeout=60 * minutes, callbacks=[told])
    records = [TrialRecord(t.number, t.params, t.value, t.state.name) for t in study.trials]
    registry.log_study(study.study_name, records, {"default.ndcg": default})
    return _keep(study, default, settings.home)


def _study(as_of: datetime, lake: Lake, settings: Settings) -> Any:
    """The search of these data and settings, with the trials it has already."""
    import optuna

    folder = settings.home / "mlflow"
    folder.mkdir(parents=True, exist_ok=True)
    told = settings.model_dump_json(include={"lake", "trends", "candidates", "ranker", "forecast"})
    study = optuna.create_study(
        study_name=f"ranker {as_of:%Y-%m-%d} {lake.fingerprint()[:12]} {sha256(told.encode()).hexdigest()[:12]}",
        storage=f"sqlite:///{folder / 'tune.db'}",
        load_if_exists=True,
        direction="maximize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5),
    )
    # the seed alone would draw the first trials of the study once more
    study.sampler = optuna.samplers.TPESampler(seed=settings.ranker.seed + len(study.trials))
    return study


def _weighted(panels: Sequence[Panel], made_with: RankerSettings, options: RankerSettings) -> list[Panel]:
    """The panels as they would weigh with another half-life: weights are 0.5 ** (age ÷ half-life)."""
    power = made_with.half_life_days / options.half_life_days
    return [replace(panel, weight=panel.weight**power) for panel in panels]


def tuned_settings(settings: Settings) -> Settings:
    """The settings with what the last search found put in; as they are where nothing has been searched."""
    import yaml

    path = settings.home / TUNED_FILE
    if not path.is_file():
        return settings
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return settings.model_copy(update={"ranker": _with(settings.ranker, found)})


def _suggest(trial: Any, options: RankerSettings) -> RankerSettings:
    return _with(
        options,
        {
            "half_life_days": trial.suggest_float("half_life_days", 10, 120, log=True),
            "linear.ridge": trial.suggest_float("linear.ridge", 0.5, 50, log=True),
            "linear.trust_queries": trial.suggest_float("linear.trust_queries", 10, 1000, log=True),
            "trees.trust_queries": trial.suggest_float("trees.trust_queries", 50, 4000, log=True),
            "trees.shortlist": trial.suggest_int("trees.shortlist", 50, 200, step=50),
            "trees.lightgbm.n_estimators": trial.suggest_int("trees.lightgbm.n_estimators", 10, 160, step=10),
            "trees.lightgbm.learning_rate": trial.suggest_float("trees.lightgbm.learning_rate", 0.01, 0.1, log=True),
            "trees.lightgbm.num_leaves": trial.suggest_int("trees.lightgbm.num_leaves", 4, 31),
            "trees.lightgbm.min_data_in_leaf": trial.suggest_int("trees.lightgbm.min_data_in_leaf", 20, 500, log=True),
            "trees.lightgbm.feature_fraction": trial.suggest_float("trees.lightgbm.feature_fraction", 0.3, 1),
        },
    )


def _with(options: RankerSettings, found: Mapping[str, Any]) -> RankerSettings:
    """The options with values at dotted paths replaced, validated again."""
    tree = options.model_dump()
    for path, value in found.items():
        *parents, leaf = path.split(".")
        node = tree
        for parent in parents:
            node = node[parent]
        node[leaf] = value
    return RankerSettings.model_validate(tree)


def _without_trees(options: RankerSettings) -> RankerSettings:
    return _with(options, {"trees.least_queries": 2**31})


def _validation(ranker: Ranker, panels: Sequence[Panel]) -> float:
    return figures(score_panels(ranker.rank_panel, panels), panels).mean("ndcg")


def _keep(study: Any, default: float, home: Path) -> Tuned:
    """Write the best trial's values, or nothing to change where the defaults are better."""
    import yaml

    finished = [trial.value for trial in study.trials if trial.state.name == "COMPLETE"]
    value = max(finished, default=default)
    best: dict[str, Any] = dict(study.best_params) if value > default else {}
    path, staged = home / TUNED_FILE, home / f".{TUNED_FILE}"
    staged.write_text(yaml.safe_dump(best))
    staged.replace(path)
    return Tuned(best, float(value), default, len(study.trials), path)
