"""Profiles: one user's events folded into a run of 64-bit words, packed, kept, and read as a feature row."""
