"""Upkeep of a home: erase users everywhere, back up and restore it, and materialize profiles."""
