"""Formulas of probabilities: whether they come true, and how well they rank before that is known."""
