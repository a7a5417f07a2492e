"""Events in memory and on disk: rows of columns, sorted by user and time, hashed, written, erased."""
