"""Which ids belong to one person, and since when."""
