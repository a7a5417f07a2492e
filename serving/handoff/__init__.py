"""Moves of users between segments: kept with their cause, and handed to whoever acts on them."""
