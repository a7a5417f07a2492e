"""Measurements: ratios within one run on one machine, written to ``benchmarks/results.md`` and ``results.json``."""
