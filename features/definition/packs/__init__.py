"""Packs: ready-made states and segments, as YAML, and what includes them."""
