"""Baselines: the simple models a learned one has to beat."""
