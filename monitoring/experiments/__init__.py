"""Experiments: assignments read out against what happened."""
