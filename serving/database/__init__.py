"""The database of the live path: its tables, schema versions, identity, the log of messages and dead letters."""
