"""No usage data: MLflow and BentoML read these variables when they are imported, so this is imported before them.

Ruff's ``isort`` section ``first`` keeps it above them; ``tests/test_telemetry.py`` finds a module that lacks it.
"""

import os

#: what a deployment may set otherwise
DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "BENTOML_DO_NOT_TRACK": "true",
}

for _name, _value in DEFAULTS.items():
    os.environ.setdefault(_name, _value)
