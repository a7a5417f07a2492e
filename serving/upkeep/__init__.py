"""Upkeep of a home: erasing users everywhere, and copying it whole."""
