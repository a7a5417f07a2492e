"""The model as MLflow's own tools load it (models from code): a frame of features in, probabilities out.

The service loads the same files natively; this file is for `mlflow models`, notebooks and other people's programs.
"""

from pathlib import Path

import mlflow
import polars as pl

from serving.model import Model


class Propensity(mlflow.pyfunc.PythonModel):  # type: ignore[name-defined]
    """Calibrated probability of an outcome."""

    def load_context(self, context: mlflow.pyfunc.PythonModelContext) -> None:  # type: ignore[name-defined]
        """Read the booster, the numbers and the card."""
        self.model = Model.load(Path(context.artifacts["card"]).parent, "pyfunc")

    # no type hints: MLflow would read a schema out of them, and the model has a signature
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
        """Score feature rows.

        Args:
            context: unused.
            model_input: the columns of the card, in any order.
            params: unused.
        """
        rows = pl.from_pandas(model_input)
        return self.model.probabilities(self.model.matrix(rows))


mlflow.models.set_model(Propensity())
