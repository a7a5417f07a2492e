"""How it is learnt: outcomes, dataset, split, fit, evaluation, registry."""

import serving as _serving  # noqa: F401 - its settings for MLflow have to stand before MLflow is imported
