"""Folding live messages into the stored profiles: each once, in order, alone or as persons of several ids."""
