"""Fitting: trees, regressions, their blend and calibration."""
