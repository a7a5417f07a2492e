"""The log on Spark."""
