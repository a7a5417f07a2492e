"""Formulas of effects: arms compared, looks, several outcomes, and rankings by effect."""
