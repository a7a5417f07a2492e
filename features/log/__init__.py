"""The event log: read where it lies (`source`), and kept sorted by user and time (`store`)."""
