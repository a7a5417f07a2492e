"""What the definition says of the log: where it is, who is who in it, and what its amounts are in."""
