"""Scoring: from feature rows to records, for a batch and for one user alike."""
