"""The ranker in MLflow's own form: the script that a logged model is loaded from, by batch jobs and notebooks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

from models.ranker import Ranker, stored_schema

if TYPE_CHECKING:
    import pandas as pd


class ServedRanker(PythonModel):  # type: ignore[misc]
    """What the trees add to the linear stage, for a frame of the features that the model was trained on."""

    def load_context(self, context: Any) -> None:
        """Read the forest that was logged with the model."""
        folder = Path(context.artifacts["ranker"])
        self.ranker = Ranker.load(folder, stored_schema(folder))

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        """Corrections, shape (m,), of a frame whose columns are the features; MLflow takes type hints for a schema."""
        return self.ranker.correction(model_input[list(self.ranker.schema.features)].to_numpy(float))


set_model(ServedRanker())


def save_pyfunc(booster: Any, example: pd.DataFrame, folder: Path) -> None:
    """Write a `lightgbm.Booster` as MLflow does, with the signature of a few rows of its features."""
    import mlflow

    signature = mlflow.models.infer_signature(example, booster.predict(example.to_numpy()))
    mlflow.lightgbm.save_model(booster, folder, signature=signature, pip_requirements=[])


def load_pyfunc(folder: Path) -> Any:
    """What `save_pyfunc` wrote, as `mlflow.pyfunc`: `predict` takes a frame of the features."""
    import mlflow

    return mlflow.pyfunc.load_model(str(folder))
