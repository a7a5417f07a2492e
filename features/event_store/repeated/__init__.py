"""Ids that come more than once: where they are found, and which of their rows count."""
