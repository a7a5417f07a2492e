"""Reports: of a training run, and of segments."""
