"""Reports: of a training run, and of segments."""

import training.report.no_grammar  # noqa: F401
