"""Commands of a running service: its processes, keys, dead letters and destinations."""
