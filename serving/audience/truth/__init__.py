"""Why one user is in or out of a rule, condition by condition, and when that flips if nothing happens."""
