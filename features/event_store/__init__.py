"""The event store: the log, checked once and kept as Parquet, bucketed by user; and the same work on Spark."""
