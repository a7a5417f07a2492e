"""The engines that read event logs; the only place that knows DuckDB."""
