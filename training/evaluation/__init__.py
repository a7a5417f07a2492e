"""Evaluation: metrics with intervals, the audit, and the gate a champion must pass."""
