"""What we answer: models, reasons, the score record, the service and the batch."""

import os

# MLflow and BentoML would call home; they read this when they are imported, which only this floor and those above do
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("BENTOML_DO_NOT_TRACK", "true")
