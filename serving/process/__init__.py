"""What every process has: metrics, logs, health, a start that waits for what it needs, one shape of errors."""
