"""The only door to MLflow: log a run, register its ranker, move aliases, and tell who was champion when."""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from configs import MlflowSettings
from models.errors import IncompatibleModel, NoChampion
from models.interactions import Floats
from models.pairs import TRENDS
from models.ranker import Ranker
from models.releases import load_checked, publish, write_release
from models.schema import Schema

if TYPE_CHECKING:
    import pandas as pd

CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"
CODE: Final = ("configs", "features", "models")
"""The project's packages that a logged model needs to run."""

SQLITE: Final = "sqlite:///"

PACKAGES: Final = (
    "duckdb",
    "filelock",
    "lightgbm",
    "mlflow",
    "numpy",
    "pandas",
    "pyarrow",
    "pydantic",
    "pydantic-settings",
    "pyyaml",
    "scipy",
)
"""The libraries that those import."""


@dataclass(frozen=True)
class RunRecord:
    """Everything that one training run leaves behind.

    Attributes:
        parameters: settings, data hash and instants.
        metrics: name → value, segments in the name: `test.ndcg.new`.
        figures: file name → matplotlib figure.
        reports: file name → text.
        curve: metric name → value per round.
        ranker: the model that would serve, trained on everything known.
        held_out_ranker: the same recipe trained before the held-out period, for fair comparison.
        trained_through: end of the last label the held-out ranker saw.
        example: a few rows of features, shape (m, f).
        tags: searchable text.
    """

    parameters: Mapping[str, Any]
    metrics: Mapping[str, float]
    figures: Mapping[str, Any]
    reports: Mapping[str, str]
    curve: Mapping[str, tuple[float, ...]]
    ranker: Ranker
    held_out_ranker: Ranker
    trained_through: datetime
    example: Floats
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TrialRecord:
    """One trial of a hyperparameter search: what was tried, its figure (None where it was pruned), its state."""

    number: int
    parameters: Mapping[str, Any]
    value: float | None
    state: str


@dataclass(frozen=True)
class Tenure:
    """One model's time as champion; `until` is None while it lasts."""

    version: str
    since: datetime
    until: datetime | None
    reason: str


@dataclass(frozen=True)
class Registered:
    """A registered version: the ranker that serves and its held-out twin."""

    version: str
    ranker: Ranker
    held_out_ranker: Ranker
    trained_through: datetime
    as_of: datetime


class Registry:
    """Runs and registered models of one project, under one name, that rank what a schema names."""

    def __init__(self, settings: MlflowSettings, home: Path, schema: Schema = TRENDS) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        import mlflow

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        self._mlflow = mlflow
        self._name = settings.model_name
        self._schema = schema
        mlflow.set_tracking_uri(_below(home, settings.tracking_uri, _artifacts(home, settings)))
        self._client = mlflow.MlflowClient()
        if self._client.get_experiment_by_name(settings.experiment) is None:
            self._client.create_experiment(settings.experiment, artifact_location=_artifacts(home, settings))
        mlflow.set_experiment(settings.experiment)

    def log(self, record: RunRecord, name: str) -> str:
        """Log a run, register its model and make it challenger; returns the version."""
        with self._mlflow.start_run(run_name=name) as run:
            self._leave(run.info.run_id, record.parameters, record.metrics, record.curve, record.tags)
            self._leave_files(record.figures, record.reports)
            uri = self._log_model(record)
        version = self._register(uri, run.info.run_id, str(record.parameters["as_of"]))
        self._client.set_registered_model_alias(self._name, CHALLENGER, version)
        return version

    def _register(self, uri: str, run_id: str, as_of: str) -> str:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(self._name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        made = self._client.create_model_version(
            self._name, uri, run_id, tags={"as_of": as_of}, model_id=uri.removeprefix("models:/")
        )
        return str(made.version)

    def _log_model(self, record: RunRecord) -> str:
        signature = self._mlflow.models.infer_signature(
            self._frame(record.example), record.ranker.correction(record.example)
        )
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True):
            root = Path(folder)
            write_release(record.ranker, record.example, root / "ranker")
            record.held_out_ranker.save(root / "held_out")
            (root / "about.json").write_text(
                json.dumps(
                    {
                        "trained_through": record.trained_through.isoformat(),
                        "as_of": record.parameters["as_of"],
                    }
                )
            )
            info = self._mlflow.pyfunc.log_model(
                name="model",
                python_model=str(Path(__file__).with_name("served.py")),
                artifacts={
                    "ranker": str(root / "ranker"),
                    "held_out": str(root / "held_out"),
                    "about": str(root / "about.json"),
                },
                signature=signature,
                input_example=self._frame(record.example),
                code_paths=[str(Path(__file__).parents[1] / package) for package in CODE],
                pip_requirements=[f"{name}=={installed(name)}" for name in PACKAGES],
            )
        return str(info.model_uri)

    def log_study(self, name: str, trials: Sequence[TrialRecord], metrics: Mapping[str, float]) -> None:
        """Log a search as one run with a nested run per trial."""
        with self._mlflow.start_run(run_name=name):
            self._mlflow.log_metrics(dict(metrics))
            for trial in trials:
                with self._mlflow.start_run(run_name=f"trial {trial.number}", nested=True):
                    self._mlflow.set_tag("state", trial.state)
                    self._mlflow.log_params(dict(trial.parameters))
                    if trial.value is not None:
                        self._mlflow.log_metric("validation.ndcg", trial.value)

    def log_evaluation(
        self,
        name: str,
        metrics: Mapping[str, float],
        *,
        parameters: Mapping[str, Any] | None = None,
        curve: Mapping[str, tuple[float, ...]] | None = None,
        figures: Mapping[str, Any] | None = None,
        reports: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """Log a run that made figures but no model, as `RunRecord` names them; returns the run's id."""
        with self._mlflow.start_run(run_name=name) as run:
            self._leave(run.info.run_id, parameters or {}, metrics, curve or {}, tags or {})
            self._leave_files(figures or {}, reports or {})
        return str(run.info.run_id)

    def _leave(
        self,
        run_id: str,
        parameters: Mapping[str, Any],
        metrics: Mapping[str, float],
        curve: Mapping[str, tuple[float, ...]],
        tags: Mapping[str, str],
    ) -> None:
        """Values into the run that is open; MLflow takes no NaN."""
        self._mlflow.set_tags(dict(tags))
        self._mlflow.log_params({key: str(value)[:500] for key, value in parameters.items()})
        self._mlflow.log_metrics({key: value for key, value in metrics.items() if not math.isnan(value)})
        for metric, values in curve.items():
            for step, value in enumerate(values):
                self._client.log_metric(run_id, metric, value, step=step, synchronous=False)

    def _leave_files(self, figures: Mapping[str, Any], reports: Mapping[str, str]) -> None:
        for file, figure in figures.items():
            self._mlflow.log_figure(figure, f"figures/{file}")
        for file, text in reports.items():
            self._mlflow.log_text(text, f"reports/{file}")

    def version(self, alias: str) -> str | None:
        """The version an alias points to, None where it points nowhere."""
        from mlflow.exceptions import MlflowException

        try:
            return str(self._client.get_model_version_by_alias(self._name, alias).version)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise

    def load(self, version_or_alias: str) -> Registered:
        """Fetch a version, or what an alias points to.

        Raises:
            NoChampion: there is no such version or alias.
        """
        number = self._resolve(version_or_alias)
        folder = self._fetch(number)
        about = json.loads((folder / "about.json").read_text())
        return Registered(
            version=number,
            ranker=Ranker.load(folder / "ranker", self._schema),
            held_out_ranker=Ranker.load(folder / "held_out", self._schema),
            trained_through=datetime.fromisoformat(about["trained_through"]),
            as_of=datetime.fromisoformat(about["as_of"]),
        )

    def _fetch(self, number: str) -> Path:
        """The folder with everything that was logged beside a version."""
        uri = f"models:/{self._name}/{number}"
        return Path(self._mlflow.artifacts.download_artifacts(artifact_uri=uri)) / "artifacts"

    def compared(self, *names: str, metrics: tuple[str, ...] = ("",)) -> pd.DataFrame:
        """What the runs of versions or aliases logged, side by side: the parameters that differ, then the metrics.

        Args:
            names: versions or aliases.
            metrics: how the names of the wanted metrics begin.

        Returns:
            One row per parameter or metric, one column per name, NaN where a run has none.

        Raises:
            NoChampion: one of them does not exist.
        """
        import pandas as pd

        runs = {name: self._client.get_run(self._run_of(name)).data for name in names}
        parameters = pd.DataFrame({name: run.params for name, run in runs.items()})
        differ = parameters[parameters.nunique(axis=1, dropna=False) > 1]
        logged = pd.DataFrame({name: run.metrics for name, run in runs.items()}).sort_index()
        return pd.concat([differ.sort_index(), logged[logged.index.str.startswith(metrics)]])

    def _run_of(self, name: str) -> str:
        return str(self._client.get_model_version(self._name, self._resolve(name)).run_id)

    def parameters(self, version_or_alias: str) -> dict[str, str]:
        """What the run of a version logged as its parameters, as text.

        Raises:
            NoChampion: there is no such version or alias.
        """
        return dict(self._client.get_run(self._run_of(version_or_alias)).data.params)

    def usable(self, version_or_alias: str) -> str | None:
        """A version, or that of an alias, where it is whole, fits this code and so can be released; else None."""
        from mlflow.exceptions import MlflowException

        number = version_or_alias if version_or_alias.isdigit() else self.version(version_or_alias)
        try:
            if number is not None:
                load_checked(self._fetch(number) / "ranker", self._schema)
        except (IncompatibleModel, FileNotFoundError):
            return None
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise  # a registry that cannot be reached says nothing about a model
        return number

    def _resolve(self, version_or_alias: str) -> str:
        number = version_or_alias if version_or_alias.isdigit() else self.version(version_or_alias)
        if number is None:
            raise NoChampion(f"no {version_or_alias} model yet: run «harmonic train»")
        return number

    def promote(self, version: str, reason: str, at: datetime) -> None:
        """Make a version champion and write it into the audit; a version that is champion already stays as it is."""
        if self.version(CHAMPION) == version:
            return
        tenures = self._tenures()
        if not tenures or tenures[-1]["version"] != version:
            entry = {"version": version, "since": at.isoformat(), "reason": reason}
            self._client.set_registered_model_tag(self._name, f"champion.{len(tenures) + 1:06d}", json.dumps(entry))
        self._client.set_registered_model_alias(self._name, CHAMPION, version)

    def rollback(self, at: datetime) -> str:
        """Make the champion before the present one champion again; returns its version.

        Raises:
            NoChampion: there was none before.
            IncompatibleModel: that one does not fit this code, or is damaged; nothing has changed then.
        """
        present = self._resolve(CHAMPION)
        earlier = [str(entry["version"]) for entry in self._tenures() if entry["version"] != present]
        if not earlier:
            raise NoChampion(f"version {present} is the only champion there has been: nothing to go back to")
        before = earlier[-1]
        if self.usable(before) is None:
            raise IncompatibleModel(
                f"version {before}, the champion before, cannot be released any more: nothing has changed"
            )
        self.promote(before, f"rolled back from version {present}", at)
        return before

    def audit(self) -> list[Tenure]:
        """Who was champion from when to when, oldest first."""
        entries = self._tenures()
        starts = [datetime.fromisoformat(entry["since"]) for entry in entries]
        ends: list[datetime | None] = [*starts[1:], None]
        return [Tenure(e["version"], s, u, e["reason"]) for e, s, u in zip(entries, starts, ends, strict=False)]

    def release(self, alias: str, folder: Path) -> str:
        """Copy what an alias points to into `folder`, whole or not at all; returns its version.

        Raises:
            NoChampion: the alias points nowhere.
            IncompatibleModel: the version cannot be served, see `models.releases.load_checked`.
        """
        number = self._resolve(alias)

        def fill(staged: Path) -> None:
            shutil.copytree(self._fetch(number) / "ranker", staged, dirs_exist_ok=True)

        publish(folder, alias, number, fill, self._schema)
        return number

    def _frame(self, features: Floats) -> pd.DataFrame:
        import pandas as pd

        return pd.DataFrame(features, columns=list(self._schema.features))

    def _tenures(self) -> list[dict[str, str]]:
        from mlflow.exceptions import MlflowException

        try:
            tags = self._client.get_registered_model(self._name).tags
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return []
            raise
        return [json.loads(tags[name]) for name in sorted(tags) if name.startswith("champion.")]


def _artifacts(home: Path, settings: MlflowSettings) -> str:
    return settings.artifact_root if "://" in settings.artifact_root else str(home / settings.artifact_root)


def _below(home: Path, uri: str, artifacts: str) -> str:
    """A relative SQLite address made absolute below `home`, its database made; any other address as it is."""
    if not uri.startswith(SQLITE) or uri.startswith(f"{SQLITE}/"):
        return uri
    path = home / uri.removeprefix(SQLITE)
    path.parent.mkdir(parents=True, exist_ok=True)
    _make_database(path, artifacts)
    return f"{SQLITE}{path}"


def _make_database(path: Path, artifacts: str) -> None:
    """Make MLflow's database whole or not at all: MLflow cannot go on with one whose making was killed."""
    from filelock import FileLock

    if path.exists():
        return
    with FileLock(path.with_name(f".{path.name}.lock")):
        if path.exists():
            return
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        staged = path.with_name(f".{path.name}.new")
        for leftover in (staged, staged.with_name(f"{staged.name}-journal")):
            leftover.unlink(missing_ok=True)
        SqlAlchemyStore(f"{SQLITE}{staged}", artifacts).engine.dispose()
        staged.replace(path)
