"""Answers of two engines beside each other."""

import pytest


def alike(found: object, expected: object) -> bool:
    """Whether two answers are the same, numbers to the last digits that the order of sums decides."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return found.keys() == expected.keys() and all(alike(found[key], expected[key]) for key in expected)
    if isinstance(expected, list) and isinstance(found, list):
        return len(found) == len(expected) and all(map(alike, found, expected))
    return found == (pytest.approx(expected, rel=1e-6, nan_ok=True) if isinstance(expected, float) else expected)
