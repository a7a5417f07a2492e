"""The event store: the log, checked once and kept as Parquet, bucketed by user."""
