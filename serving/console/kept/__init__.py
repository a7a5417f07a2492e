"""What pages show of the newest batch and of the registry: read once, and kept until it changes."""
