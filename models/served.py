"""The ranker in MLflow's own form: the script that a logged model is loaded from, by batch jobs and notebooks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

from models.ranker import Ranker


class ServedRanker(PythonModel):  # type: ignore[misc]
    """What the trees add to the linear stage, for a frame of `models.pairs.FEATURES`."""

    def load_context(self, context: Any) -> None:
        """Read the forest that was logged with the model."""
        self.ranker = Ranker.load(Path(context.artifacts["ranker"]))

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        """Corrections, shape (m,), of a frame whose columns are the features; MLflow takes type hints for a schema."""
        from models.pairs import FEATURES

        return self.ranker.correction(model_input[list(FEATURES)].to_numpy(float))


set_model(ServedRanker())
