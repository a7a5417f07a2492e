"""Exports of other tools made into an event log: a declared mapping each, one Parquet file for each file."""
