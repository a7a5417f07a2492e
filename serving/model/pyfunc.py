"""The model as MLflow's own tools load it (models from code): a frame of features in, probabilities out.

The service loads the same files natively; this file is for `mlflow models`, notebooks and other people's programs.
"""

from pathlib import Path

import features.system.telemetry  # noqa: F401

import mlflow
import numpy as np
import pandas as pd
import polars as pl
from numpy.typing import NDArray

from serving.model.model import Model
from serving.model.uplift import UpliftModel


class Propensity(mlflow.pyfunc.PythonModel):  # type: ignore[name-defined]
    """Calibrated probability of an outcome, or predicted uplift."""

    def load_context(self, context: mlflow.pyfunc.PythonModelContext) -> None:  # type: ignore[name-defined]
        """Read the boosters, the numbers and the card."""
        found = context.artifacts
        self.model: Model | UpliftModel = (
            UpliftModel.load(Path(found["uplift"]).parent, "pyfunc")
            if "uplift" in found
            else Model.load(Path(found["card"]).parent, "pyfunc")
        )

    def predict(
        self, context: object, model_input: pd.DataFrame, params: dict[str, object] | None = None
    ) -> NDArray[np.float64]:
        """Score feature rows.

        Args:
            context: unused.
            model_input: the columns of the card, in any order.
            params: unused.
        """
        rows = pl.from_pandas(model_input)
        return self.model.predict(self.model.matrix(rows))


mlflow.models.set_model(Propensity())
